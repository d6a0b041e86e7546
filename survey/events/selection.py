"""The selection: which observations of a data store are used, by Gammapy's keys and by ranges of index columns."""

from __future__ import annotations

import difflib
import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from survey.events.datastore import DataStore
from survey.events.source import RESPONSES, ObservationSource
from survey.sky.earth_rotation import installed_rotation

log = logging.getLogger(__name__)

# Gammapy's names for lists of responses.
REQUIRED_IRF: Mapping[str, tuple[str, ...]] = {
    "full-enclosure": RESPONSES,
    "point-like": ("aeff", "edisp"),
    "all-optional": (),
}
HDU_TYPES = ("events", "gti", "aeff", "edisp", "psf", "bkg", "rad_max", "pointing")
# An index whose times are float32 is good to this, s; observations are cut to the exact time when they are loaded.
INDEX_SLACK = 60.0


@dataclass(frozen=True)
class Cone:
    """Circle that the pointing lies in.

    Parameters
    ----------
    ra, dec, radius : float
        ICRS, deg.
    """

    ra: float
    dec: float
    radius: float


@dataclass(frozen=True)
class Selection:
    """What is asked for; `create` makes it from what a configuration says.

    Parameters
    ----------
    obs_ids : tuple of int
        Empty: all.
    cone : Cone or None
        Where the pointing lies.
    windows : tuple of (float, float)
        Ranges of time [start, stop), MJD (TT). Observations are cut to them.
    required : frozenset of str
        HDU types that an observation must have.
    ranges : mapping of str to (float, float)
        Column of the index to least and greatest value, both included.
    """

    obs_ids: tuple[int, ...] = ()
    cone: Cone | None = None
    windows: tuple[tuple[float, float], ...] = ()
    required: frozenset[str] = frozenset(RESPONSES)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict, hash=False)

    @classmethod
    def create(
        cls,
        *,
        obs_ids: Iterable[int] = (),
        obs_file: str | os.PathLike | None = None,
        obs_cone: Mapping[str, Any] | None = None,
        obs_time: Mapping[str, Any] | None = None,
        required_irf: str | Iterable[str] = RESPONSES,
        obs_filter: Mapping[str, Sequence[float]] | None = None,
    ) -> Selection:
        """Selection from Gammapy's keys.

        Parameters
        ----------
        obs_ids : iterable of int
            Observation ids.
        obs_file : path, optional
            Text table whose first column lists observation ids.
        obs_cone : mapping, optional
            ``frame``, ``lon``, ``lat``, ``radius`` and, if wanted, ``border``: angles, text with a unit, or deg.
        obs_time : mapping, optional
            ``start`` and ``stop``: astropy times or ISO text (UTC), or lists of them.
        required_irf : str or iterable of str
            ``full-enclosure``, ``point-like``, ``all-optional`` or HDU types.
        obs_filter : mapping, optional
            Column of the index to [least, greatest].

        Raises
        ------
        ValueError
            With one line that says what is wrong.
        """
        ids = tuple(int(obs_id) for obs_id in obs_ids)
        if ids and obs_file is not None:
            raise ValueError("expected either obs_ids or obs_file, not both")
        if obs_file is not None:
            ids = read_ids(obs_file)
        names = (required_irf,) if isinstance(required_irf, str) else tuple(required_irf)
        required = [name for given in names for name in REQUIRED_IRF.get(given, (given,))]
        unknown = [name for name in required if name not in HDU_TYPES]
        if unknown:
            raise ValueError(f"required_irf: {unknown[0]!r} is none of {', '.join((*HDU_TYPES, *REQUIRED_IRF))}")
        ranges = {}
        for name, limits in (obs_filter or {}).items():
            low, high = (float(limit) for limit in limits)
            if not low <= high:
                raise ValueError(f"obs_filter: {name} is [{low:g}, {high:g}], expected [least, greatest]")
            ranges[name] = (low, high)
        return cls(ids, _cone(obs_cone), _windows(obs_time), frozenset(required), ranges)


def select(store: DataStore, selection: Selection) -> tuple[ObservationSource, ...]:
    """Observations of a data store.

    Parameters
    ----------
    store : DataStore
        Opened.
    selection : Selection
        What is asked for.

    Returns
    -------
    tuple of ObservationSource
        In the order of the store, cut to the selection's windows of time.

    Raises
    ------
    ValueError
        When nothing is left, with the number that there was and what removed the last; when ids are not in the store;
        when a column is not in the index.
    """
    kept = select_rows(store, selection)
    return tuple(
        store.sources[i].within(selection.windows) if selection.windows else store.sources[i] for i in kept.tolist()
    )


def select_rows(store: DataStore, selection: Selection) -> NDArray[np.int64]:
    """Row numbers of the observations that `select` gives."""
    rows = np.arange(len(store.sources))
    total = rows.size
    cuts: list[tuple[str, Callable[[DataStore], NDArray[np.bool_]]]] = []
    if selection.obs_ids:
        _check_ids(store, selection.obs_ids)
        cuts.append(("obs_ids", lambda some: np.isin([s.obs_id for s in some.sources], selection.obs_ids)))
    for name, limits in selection.ranges.items():
        cuts.append((f"obs_filter {name}", _range_cut(store.table, name, limits)))
    if selection.required:
        cuts.append(("required_irf", lambda some: np.array([selection.required <= s.kinds for s in some.sources])))
    if selection.cone is not None:
        cone = selection.cone
        cuts.append(("obs_cone", lambda some: _in_cone(some, cone)))
    if selection.windows:
        cuts.append(("obs_time", lambda some: _in_time(some, selection.windows)))
    for name, cut in cuts:
        before, some = rows.size, store.take(rows)
        rows = rows[cut(some)]
        log.info("%s: %d of %d observations", name, rows.size, before)
        if not rows.size:
            line = f"no observation is selected: there are {total}, {name} removed the last {before}"
            if name == "required_irf":
                lacking = {kind for source in some.sources for kind in selection.required - source.kinds}
                line += f", which lack {', '.join(sorted(lacking))}"
            raise ValueError(line)
    if not rows.size:
        raise ValueError("no observation is selected: the data store has none")
    return rows


def concerns(selection: Selection, obs_id: int, record: Mapping[str, Any]) -> bool:
    """Whether a selection would ask for an observation that cannot be opened, as far as its row of the index tells.

    Parameters
    ----------
    selection : Selection
        What is asked for.
    obs_id : int
        The observation.
    record : mapping
        Its row of the observation index; a value that is not there excludes nothing.
    """
    from astropy.time import TimeDelta

    from survey.events.headers import Keywords, read_reference
    from survey.events.problems import Report

    if selection.obs_ids and obs_id not in selection.obs_ids:
        return False
    for name, (low, high) in selection.ranges.items():
        value = record.get(name)
        if isinstance(value, int | float) and not low <= value <= high:
            return False
    if selection.cone is not None and {"RA_PNT", "DEC_PNT"} <= record.keys():
        pointing = np.array([[record["RA_PNT"]], [record["DEC_PNT"]]], dtype=float)
        if not _within(pointing, selection.cone)[0]:
            return False
    reference = read_reference(Keywords(record, Report()), required=False)
    if selection.windows and reference is not None and {"TSTART", "TSTOP"} <= record.keys():
        ends = np.array([record["TSTART"] - INDEX_SLACK, record["TSTOP"] + INDEX_SLACK], dtype=float)
        with installed_rotation():
            start, stop = (reference.time + TimeDelta(ends, format="sec")).tt.mjd
        return any(stop > first and start < last for first, last in selection.windows)
    return True


def read_ids(path: str | os.PathLike) -> tuple[int, ...]:
    """Observation ids in the first column of a text table; a line of titles and lines that begin with # are skipped."""
    try:
        lines = Path(path).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"obs_file {path}: cannot be read: {error}") from None
    ids = []
    titles = True
    for number, line in enumerate(lines, start=1):
        text = line.split("#")[0].strip()
        if not text:
            continue
        first = re.split(r"[\s,;]+", text)[0]
        if re.fullmatch(r"[+-]?\d+", first):
            ids.append(int(first))
        elif not titles:
            raise ValueError(f"obs_file {path}: line {number} begins with {first!r}, expected a whole number")
        titles = False
    if not ids:
        raise ValueError(f"obs_file {path}: lists no observation id")
    return tuple(ids)


def _check_ids(store: DataStore, ids: Sequence[int]) -> None:
    known = {source.obs_id for source in store.sources}
    # An observation that the store has set aside is known, and reported with its reason.
    known |= {problem.obs_id for problem in store.problems if problem.obs_id is not None}
    missing = sorted(set(ids) - known)
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise ValueError(f"obs_ids: {', '.join(map(str, missing[:5]))}{more} not in the data store {store.name}")


def _range_cut(table: Table, name: str, limits: tuple[float, float]) -> Callable[[DataStore], NDArray[np.bool_]]:
    if name not in table.colnames:
        near = difflib.get_close_matches(name.upper(), table.colnames, n=3, cutoff=0.5)
        there = f"nearest: {', '.join(near)}" if near else f"there are {', '.join(table.colnames)}"
        raise ValueError(f"obs_filter: the observation index has no column {name!r}; {there}")
    if table[name].dtype.kind not in "iufb":
        raise ValueError(f"obs_filter: column {name} holds text, expected numbers")

    def cut(some: DataStore) -> NDArray[np.bool_]:
        values = np.ma.filled(np.ma.asarray(some.table[name]).astype(np.float64), np.nan)
        return (values >= limits[0]) & (values <= limits[1])

    return cut


def _cone(given: Mapping[str, Any] | None) -> Cone | None:
    if given is None or given.get("lon") is None:
        return None
    from astropy.coordinates import SkyCoord

    centre = SkyCoord(_angle(given["lon"]), _angle(given["lat"]), unit="deg", frame=given.get("frame") or "icrs").icrs
    radius = _angle(given["radius"]) + _angle(given.get("border") or 0.0)
    return Cone(float(centre.ra.deg), float(centre.dec.deg), radius)


def _angle(value: Any) -> float:
    from astropy.coordinates import Angle

    return float(Angle(value, None if isinstance(value, str) or hasattr(value, "unit") else "deg").to_value("deg"))


def _windows(given: Mapping[str, Any] | None) -> tuple[tuple[float, float], ...]:
    if given is None or given.get("start") is None:
        return ()
    from astropy.time import Time

    ends = [np.atleast_1d(Time(given[key]).tt.mjd) for key in ("start", "stop")]
    if ends[0].shape != ends[1].shape or np.any(ends[0] >= ends[1]):
        raise ValueError("obs_time: expected as many stops as starts, each after its start")
    return tuple(sorted(zip(ends[0].tolist(), ends[1].tolist(), strict=True)))


def _in_cone(store: DataStore, cone: Cone) -> NDArray[np.bool_]:
    return _within(pointings(store), cone)


def _within(pointing: NDArray[np.float64], cone: Cone) -> NDArray[np.bool_]:
    """Whether pointings (2, n), ICRS, deg, lie in a circle; True where they are NaN."""
    ra, dec = np.radians(pointing)
    ra0, dec0 = np.radians(cone.ra), np.radians(cone.dec)
    # Haversine: exact for small separations, where the cosine is not.
    square = np.sin((dec - dec0) / 2) ** 2 + np.cos(dec) * np.cos(dec0) * np.sin((ra - ra0) / 2) ** 2
    inside = 2 * np.arcsin(np.sqrt(np.clip(square, 0, 1))) < np.radians(cone.radius)
    # What is not known now is decided when the observation is loaded and set aside.
    return inside | np.isnan(ra) | np.isnan(dec)


def pointings(store: DataStore) -> NDArray[np.float64]:
    """Pointings, ICRS, deg: of the index, else of the observation itself; NaN when that cannot be read.

    Returns
    -------
    numpy.ndarray (2, observations)
        Right ascension, declination.
    """
    from survey.events.observation import ObservationRejected

    result = np.full((2, len(store.sources)), np.nan)
    for i, source in enumerate(store.sources):
        record = source.record
        ra, dec = record.get("RA_PNT"), record.get("DEC_PNT")
        if isinstance(ra, int | float) and isinstance(dec, int | float):
            result[:, i] = ra, dec
            continue
        try:
            pointing = source.load(responses=()).pointing
        except ObservationRejected:
            continue
        result[:, i] = pointing.ra, pointing.dec
    return result


def _in_time(store: DataStore, windows: Sequence[tuple[float, float]]) -> NDArray[np.bool_]:
    start, stop = spans(store)
    exact = "TSTART" not in store.table.colnames or store.table["TSTART"].dtype.itemsize > 4
    slack = 0.0 if exact else INDEX_SLACK / 86400.0
    inside = np.isnan(start)
    for first, last in windows:
        inside |= (stop + slack > first) & (start - slack < last)
    return inside


def spans(store: DataStore) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """First and last moment of the observations, MJD (TT): of the index, else of the observation itself; NaN if none.

    Returns
    -------
    start, stop : numpy.ndarray
        One value an observation.
    """
    from astropy.time import Time, TimeDelta

    from survey.events.headers import Keywords, read_reference
    from survey.events.observation import ObservationRejected, TimeReference
    from survey.events.problems import Report

    seconds = np.full((2, len(store.sources)), np.nan)
    references: list[TimeReference | None] = []
    for i, source in enumerate(store.sources):
        record = source.record
        reference = read_reference(Keywords(record, Report()), required=False)
        ends = [record.get("TSTART"), record.get("TSTOP")]
        if reference is not None and all(isinstance(end, int | float) for end in ends):
            seconds[:, i] = ends
        else:
            try:
                observation = source.load(responses=())
            except ObservationRejected:
                observation = None
            if observation is not None:
                reference = observation.reference
                seconds[:, i] = observation.tstart, observation.tstop
        references.append(reference)
    result = np.full_like(seconds, np.nan)
    for reference in {reference for reference in references if reference is not None}:
        mine = np.array([one == reference for one in references])
        mine &= np.isfinite(seconds).all(axis=0) & (np.abs(seconds) < 1e11).all(axis=0)
        with installed_rotation():
            times: Time = reference.time + TimeDelta(seconds[:, mine], format="sec")
            result[:, mine] = times.tt.mjd
    return result[0], result[1]
