"""What a worker does in one unit of the reduction: open, call the science functions, write, report.

The units themselves are listed by `survey.reduction.graph`. Arguments and results are plain values, because they go through
JSON; data pass between units through files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from survey.events.observation import Observation, ObservationRejected
from survey.events.source import ObservationSource
from survey.reduction.axes import Axes
from survey.reduction.background_fit import BackgroundFit, field_of_view, field_of_view_totals, fit_background
from survey.reduction.contribution import EXPOSURE_VARIABLES, BackgroundNorm, Sums, accumulate, add_sums
from survey.reduction.ledger import Ledger
from survey.reduction.prepare import prepare
from survey.reduction.prepared import PreparedObservation, damage_named
from survey.reduction.settings import ReductionSettings
from survey.sky.energy import EnergyAxis
from survey.sky.frames import separation
from survey.sky.grid import SkyGrid
from survey.sky.pixels import PixelGeometry
from survey.sky.regions import ExclusionSpec, exclusion_mask
from survey.sky.tiles import Tile
from survey.store import urls
from survey.store.cube import write_block
from survey.store.flat import pack, unpack

RESPONSES = ("aeff", "psf", "edisp")
"""Arrays of a prepared observation that only exposures need: half of its bytes."""
POINTING_TOLERANCE = 0.1
"""Degrees that an observation's pointing may lie from that of the index before the observation is set aside."""


def axes_from_key(key: Mapping[str, Sequence[float]]) -> Axes:
    """Axes from what `Axes.key` gives."""
    return Axes(
        EnergyAxis("energy", np.asarray(key["energy"])),
        EnergyAxis("energy_true", np.asarray(key["energy_true"])),
        np.asarray(key["rad"]),
    )


def prepare_observation(
    *,
    source: Mapping[str, Any],
    grid: Mapping[str, Any],
    axes: Mapping[str, Sequence[float]],
    settings: Mapping[str, Any],
    footprint: Sequence[float],
    out: str,
) -> dict[str, Any]:
    """Read and check one observation and bring it to the survey's axes.

    Raises ObservationRejected when it cannot be used, which sets it aside.

    Parameters
    ----------
    source, grid, axes, settings : mapping
        Plain values of `ObservationSource`, `SkyGrid`, `Axes`, `ReductionSettings`.
    footprint : sequence of float
        Right ascension, declination and radius (deg) within which the plan expects the observation.
    out : str
        Where the prepared observation is written.

    Returns
    -------
    dict
        ``ledger`` and the observation's row of ``observations.ecsv``.
    """
    try:
        return _prepare(
            ObservationSource.from_dict(source),
            SkyGrid.from_key(grid),
            axes_from_key(axes),
            ReductionSettings.from_dict(settings),
            footprint,
            out,
        )
    except ObservationRejected as error:
        # Its events were read, or could be: they end in the ledger's line of what was set aside.
        error.result = {"ledger": Ledger.of_rejected(_count_events(ObservationSource.from_dict(source))).as_dict()}
        raise


def _count_events(source: ObservationSource) -> int:
    """Events of an observation that was set aside; none where they cannot be read."""
    try:
        return source.load(responses=()).n_events
    except ObservationRejected:
        return 0


def _prepare(
    source: ObservationSource,
    grid: SkyGrid,
    axes: Axes,
    settings: ReductionSettings,
    footprint: Sequence[float],
    out: str,
) -> dict[str, Any]:
    observation = source.load(responses=needed_responses(settings))
    try:
        prepared = prepare_expected(observation, grid, axes, settings, footprint)
    except ObservationRejected as error:
        raise ObservationRejected(source.problem(error).line()) from error
    prepared.save(out)
    gti = np.stack([observation.gti_start, observation.gti_stop], axis=1)
    reference = observation.reference
    return {
        "ledger": prepared.ledger.as_dict(),
        "row": {
            "identity": prepared.identity,
            "obs_id": prepared.obs_id,
            "ra_pnt": prepared.ra,
            "dec_pnt": prepared.dec,
            "zenith": observation.zenith,
            "ontime": prepared.ontime,
            "livetime": prepared.livetime,
            "n_events": observation.n_events,
            "n_in_cube": prepared.n_in_cube,
            "energy_min": prepared.energy_min,
            "energy_max": prepared.energy_max,
            "object": str(observation.metadata.get("OBJECT", "")),
            "notes": list(prepared.notes),
        },
        "gti": gti.tolist(),
        "reference": [reference.mjdrefi, reference.mjdreff, reference.scale],
        "attribution": str(observation.metadata.get("ORIGIN", "")),
    }


def prepare_expected(
    observation: Observation, grid: SkyGrid, axes: Axes, settings: ReductionSettings, footprint: Sequence[float]
) -> PreparedObservation:
    """Bring an observation to the survey's axes, if it looks where the plan expects it; runs and checks both do it here.

    Parameters
    ----------
    observation, grid, axes, settings
        See `survey.reduction.prepare.prepare`.
    footprint : sequence of float
        Right ascension, declination and radius, deg.

    Raises
    ------
    ObservationRejected
        When it cannot be prepared, or looks elsewhere.
    """
    prepared = prepare(observation, grid, axes, settings)
    ra, dec, radius = footprint
    away = float(separation(ra, dec, prepared.ra, prepared.dec))
    if away + prepared.radius <= radius:
        return prepared
    mode = observation.pointing.mode
    origin, advice = {
        "icrs": ("", "RA_PNT, DEC_PNT here or in the index"),
        "altaz": (
            " (from OBS_MODE = DRIFT, ALT_PNT, AZ_PNT and the times)",
            "OBS_MODE, ALT_PNT, AZ_PNT or the times here, or OBS_MODE, RA_PNT, DEC_PNT in the index",
        ),
        "table": (" (from the table)", "the table, or RA_PNT, DEC_PNT in the index"),
    }[mode]
    raise ObservationRejected(
        f"{observation.identity}: the pointing is RA {prepared.ra:.4f}, DEC {prepared.dec:.4f} deg{origin}, in the index "
        f"RA {ra:.4f}, DEC {dec:.4f} deg: {away:.2f} deg apart, expected at most {POINTING_TOLERANCE} deg; correct {advice}",
        part="pointing" if mode == "table" else "events",
    )


def needed_responses(settings: ReductionSettings) -> tuple[str, ...]:
    """Kinds of responses that the chosen maps and safe ranges need."""
    wanted = {"exposure": "aeff", "background": "bkg", "psf": "psf", "edisp": "edisp"}
    kinds = {kind for name, kind in wanted.items() if name in settings.selection}
    if {"psf", "edisp"} & set(settings.selection) or {"aeff-default", "aeff-max"} & set(settings.safe_methods):
        kinds.add("aeff")
    if "edisp-bias" in settings.safe_methods:
        kinds |= {"aeff", "edisp"}
    if "bkg-peak" in settings.safe_methods:
        kinds.add("bkg")
    return tuple(kind for kind in ("aeff", "edisp", "psf", "bkg") if kind in kinds)


def fit_background_norm(
    *,
    prepared: str,
    slot: str,
    grid: Mapping[str, Any],
    axes: Mapping[str, Sequence[float]],
    background: Mapping[str, Any],
    exclusion: Mapping[str, Any] | None,
    out: str,
    done: frozenset[str],
) -> dict[str, Any]:
    """Fit the background norm of one observation on the whole of its field of view.

    Parameters
    ----------
    prepared, out : str
        Where the prepared observation is, and where the fit goes.
    slot : str
        Slot of the prepared observation; when it is not in `done` there is nothing to fit.
    grid, axes : mapping
        Plain values of `SkyGrid` and `Axes`.
    background : mapping
        ``method`` (``scale`` or ``fit``), ``tilt``, ``min_counts``, ``min_npred_background``, ``on_failure``.
    exclusion : mapping or None
        Plain values of `ExclusionSpec`.

    Returns
    -------
    dict
        The fit's columns of ``observations.ecsv``.
    """
    if slot not in done:
        return {}
    observation = PreparedObservation.load(prepared, without=RESPONSES)
    sky, axis = SkyGrid.from_key(grid), axes_from_key(axes)
    geometry = field_of_view(observation, sky)
    excluded = None
    if exclusion is not None and geometry is not None:
        excluded = exclusion_mask(geometry, ExclusionSpec.from_dict(exclusion))
    totals = field_of_view_totals(observation, sky, axis, geometry, excluded)
    fit = fit_background(
        totals,
        axis,
        method=background["method"],
        tilt=background["tilt"],
        min_counts=background["min_counts"],
        min_npred_background=background["min_npred_background"],
    )
    if fit.flag and background["on_failure"] == "set_aside":
        raise ObservationRejected(
            f"{observation.identity}: the background norm could not be fitted ({fit.flag}), and "
            "datasets.background.on_failure says set_aside"
        )
    urls.write_bytes(out, json.dumps(fit.as_dict(), sort_keys=True).encode())
    return fit.as_dict()


@lru_cache(maxsize=4)
def _tile_geometry(grid: SkyGrid, tile: Tile) -> PixelGeometry:
    return grid.geometry(grid.window(tile))


def _norm_of(url: str) -> BackgroundNorm:
    with damage_named(url):
        return BackgroundFit(**json.loads(urls.read_bytes(url))).background_norm


def reduce_tile(
    *,
    cube: str,
    grid: Mapping[str, Any],
    axes: Mapping[str, Sequence[float]],
    tile: str,
    observations: Sequence[Sequence[Any]],
    variables: Sequence[str],
    partial: str | None = None,
    done: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """Add the observations of one tile and write its shard.

    Parameters
    ----------
    cube : str
        The DL4 dataset.
    grid, axes : mapping
        Plain values of `SkyGrid` and `Axes`.
    tile : str
        Name of the tile.
    observations : sequence of (identity, slots, prepared, norm)
        Slots that must all be in `done`, the prepared observation, its background fit or None.
    variables : sequence of str
        Variables of the cube to make.
    partial : str or None
        Write the sums here instead of to the cube: one part of a heavy tile.

    Returns
    -------
    dict
        Number of observations and of events added.
    """
    sky, axis = SkyGrid.from_key(grid), axes_from_key(axes)
    place = Tile.from_name(tile)
    accepted = [(identity, url, norm) for identity, slots, url, norm in observations if done.issuperset(slots)]
    without = RESPONSES if EXPOSURE_VARIABLES.isdisjoint(variables) else ()
    sums = accumulate(
        (PreparedObservation.load(url, without=without) for _, url, _ in accepted),
        _tile_geometry(sky, place),
        axis,
        norms={identity: _norm_of(norm) for identity, _, norm in accepted if norm is not None},
        variables=variables,
    )
    if partial is not None:
        urls.write_bytes(partial, pack(sums, {}))
    else:
        write_block(cube, sums, sky, place)
    return _summary(sums)


def add_parts(
    *,
    cube: str,
    grid: Mapping[str, Any],
    axes: Mapping[str, Sequence[float]],
    tile: str,
    parts: Sequence[str],
    variables: Sequence[str],
    done: frozenset[str],
) -> dict[str, Any]:
    """Add the parts of a heavy tile and write its shard."""
    sky = SkyGrid.from_key(grid)
    sums: Sums = {}
    for part in parts:
        with damage_named(part), urls.reading(part) as stream:
            found, _ = unpack(stream)
        sums = add_sums(sums, found) if sums else found
    write_block(cube, sums, sky, Tile.from_name(tile))
    return _summary(sums)


def _summary(sums: Sums) -> dict[str, Any]:
    """Totals for the record: the driver compares them with the ledger and with the cube."""
    return {"counts": int(sums["counts"].sum())} if "counts" in sums else {}
