"""Event files without an index: their headers say which observation they hold and where its parts are."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from survey.events.datastore import DataStore, observation_table, store_name
from survey.events.fits_file import FitsError, FitsFile, HeaderValue
from survey.events.gadf_forms import kind_of_header
from survey.events.headers import TIME_KEYWORDS
from survey.events.problems import Report
from survey.events.source import HduLocation, ObservationSource, record_json

SUFFIXES = (".fits.gz", ".fits", ".fit.gz", ".fit")
# What the observation index of such a store would say of an observation.
COLUMNS = (
    "OBJECT",
    "OBS_MODE",
    "RA_PNT",
    "DEC_PNT",
    "ALT_PNT",
    "AZ_PNT",
    "TSTART",
    "TSTOP",
    "ONTIME",
    "LIVETIME",
    "DEADC",
    "N_TELS",
    "TELLIST",
    "QUALITY",
    "MUONEFF",
    "RA_OBJ",
    "DEC_OBJ",
    *TIME_KEYWORDS,
)


def event_files(folder: Path) -> list[Path]:
    """FITS files below a folder, in a fixed order."""
    return sorted(path for path in folder.rglob("*") if path.name.lower().endswith(SUFFIXES) and path.is_file())


def open_bare(paths: Iterable[Path], *, root: Path | None = None) -> DataStore:
    """Open event files.

    Parameters
    ----------
    paths : iterable of pathlib.Path
        FITS files; those without an EVENTS HDU are left out with a warning.
    root : pathlib.Path, optional
        Folder that they belong to, whose name is the store's. Left out: that of each file.

    Returns
    -------
    DataStore
    """
    report = Report()
    sources: list[ObservationSource] = []
    seen: dict[tuple[str, int], str] = {}
    for path in paths:
        folder = root or path.parent
        relative = os.path.relpath(path, folder).replace(os.sep, "/")
        here = report.at(file=relative)
        try:
            file = FitsFile.open(str(path))
        except FitsError as error:
            here.error(str(error))
            continue
        if file.broken:
            here.error(file.broken)
            continue
        source = _source(file, relative, folder, here)
        if source is None:
            continue
        key = (str(folder), source.obs_id)
        if key in seen:
            here.error(f"duplicate OBS_ID {source.obs_id}: {seen[key]} and {relative}")
            continue
        seen[key] = relative
        sources.append(source)
    sources.sort(key=lambda source: (source.identity.rsplit("-", 1)[0], source.obs_id))
    names = sorted({source.identity.rsplit("-", 1)[0] for source in sources})
    return DataStore(
        store_name(root) if root else "+".join(names),
        tuple(sources),
        observation_table(sources, None),
        tuple(report.problems),
    )


def _source(file: FitsFile, relative: str, folder: Path, report: Report) -> ObservationSource | None:
    kinds = [(kind_of_header(hdu.header), hdu) for hdu in file.tables]
    events = [hdu for kind, hdu in kinds if kind == "events"]
    if not events:
        report.warning("has no EVENTS HDU: left out")
        return None
    names = Counter(hdu.name.upper() for hdu in file.hdus)
    found: dict[str, HduLocation] = {}
    for kind, hdu in kinds:
        if kind is None:
            continue
        label = hdu.name if hdu.name and names[hdu.name.upper()] == 1 else str(hdu.number)
        if kind in found:
            report.warning(f"several {kind} HDUs, the first is read: {found[kind].hdu}")
        else:
            found[kind] = HduLocation(kind, "", relative, label)
    header = events[0].header
    obs_id = _obs_id(header)
    if obs_id is None:
        report.at(hdu=events[0].label).error(
            f"is {header.get('OBS_ID')!r}", keyword="OBS_ID", expected="a whole number"
        )
        return None
    record = {"OBS_ID": obs_id, **{key: header[key] for key in COLUMNS if key in header}}
    identity = f"{store_name(folder)}-{obs_id}"
    return ObservationSource(identity, obs_id, "gadf", str(folder), tuple(sorted(found.values())), record_json(record))


def _obs_id(header: Mapping[str, HeaderValue]) -> int | None:
    value = header.get("OBS_ID")
    if isinstance(value, bool) or value is None:
        return None
    try:
        return int(value) if not isinstance(value, float) or value.is_integer() else None
    except (ValueError, OverflowError):
        return None


def records_of_events(sources: Sequence[ObservationSource]) -> list[ObservationSource]:
    """Sources whose record is read from their event files, for a store without an observation index."""
    result = []
    for source in sources:
        record: dict[str, HeaderValue] = {"OBS_ID": source.obs_id, **source.record}
        location = next((item for item in source.hdus if item.hdu_type == "events"), None)
        if location is not None:
            try:
                header = FitsFile.open(os.path.join(source.root, location.file)).find(location.hdu).header
            except FitsError:
                # It will be set aside when it is loaded, with the reason.
                header = {}
            record.update({key: header[key] for key in COLUMNS if key in header})
        result.append(replace(source, record_text=record_json(record)))
    return result
