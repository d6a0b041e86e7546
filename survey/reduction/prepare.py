"""Prepare an observation: bring it to the survey's axes, find its safe range, sort its events into the ledger.

`survey.response` evaluates the responses, `survey.reduction.contribution` adds the result to a tile.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from survey.events.observation import Observation, ObservationRejected
from survey.reduction import safe
from survey.reduction.alignment import alignment_of
from survey.reduction.axes import Axes
from survey.reduction.camera import camera_frames
from survey.reduction.kernels_angles import squared_chord
from survey.reduction.kernels_contribution import background_rates
from survey.reduction.ledger import Ledger
from survey.reduction.prepared import PreparedObservation
from survey.reduction.room import check_share
from survey.reduction.settings import ReductionSettings
from survey.reduction.steps import TimeSteps, time_steps
from survey.response.background import BackgroundLattice, camera_background, refine_background
from survey.response.effective_area import effective_area
from survey.response.energy_dispersion import energy_dispersion
from survey.response.psf import point_spread_function
from survey.response.table import ResponseTable
from survey.sky.frames import separation, unit_vectors
from survey.sky.grid import SkyGrid
from survey.sky.pixels import Window

POINT_LIKE = "POINT-LIKE responses: exposure is that after a cut in RAD_MAX, fluxes of a cube come out too high"
NOTHING = BackgroundLattice(np.zeros((0, 0, 0), np.float32), 0.0, 0.0, 1.0, 1.0, False)


class _Responses(NamedTuple):
    aeff_offset: NDArray[np.float64]
    aeff: NDArray[np.float64]
    psf_offset: NDArray[np.float64]
    psf: NDArray[np.float64]
    edisp_offset: NDArray[np.float64]
    edisp: NDArray[np.float64]
    background: BackgroundLattice
    rotates: bool
    notes: tuple[str, ...]


def prepare(observation: Observation, grid: SkyGrid, axes: Axes, settings: ReductionSettings) -> PreparedObservation:
    """Bring an observation to the survey's axes.

    Parameters
    ----------
    observation : Observation
        Checked, with the responses that ``settings.selection`` needs.
    grid : SkyGrid
        Of the survey.
    axes : Axes
        Of the survey.
    settings : ReductionSettings
        Choices.

    Returns
    -------
    PreparedObservation
        Its ledger adds up to the events read.

    Raises
    ------
    ObservationRejected
        When a response is missing or cannot be used, or there is no good time; the message names observation, HDU and
        value.
    """
    if not (observation.livetime > 0 and observation.ontime > 0 and np.isfinite(observation.livetime)):
        raise ObservationRejected(
            f"{observation.identity}: livetime {observation.livetime} s, ontime {observation.ontime} s, "
            "expected both above 0",
            part="events",
        )
    responses = _evaluate(observation, axes, settings)
    steps = time_steps(observation, settings, rotates=responses.rotates)
    pointing = observation.pointing
    offset_max, notes = _field_of_view(responses, settings)
    energies = _safe_range(observation, responses, axes, settings)
    background = responses.background
    values: dict[str, Any] = {
        "identity": observation.identity,
        "obs_id": int(observation.obs_id),
        "ra": float(pointing.ra),
        "dec": float(pointing.dec),
        "radius": offset_max,
        "livetime": float(observation.livetime),
        "ontime": float(observation.ontime),
        "step_weight": steps.weight,
        "step_ra": steps.ra,
        "step_dec": steps.dec,
        "step_roll": steps.roll,
        **{name: getattr(responses, name) for name in _Responses._fields[:6]},
        "bkg": background.rate,
        "bkg_x0": background.x0,
        "bkg_y0": background.y0,
        "bkg_step_x": background.step_x,
        "bkg_step_y": background.step_y,
        "bkg_radial": background.radial,
        "safe_energy": energies.bins(axes.energy.edges),
        "safe_offset_max": float(settings.safe_offset_max) if "offset-max" in settings.safe_methods else float("inf"),
        "offset_max": offset_max,
        "mask_invalid_background": bool(settings.mask_invalid_background and background.rate.size),
        "energy_min": energies.low,
        "energy_max": energies.high,
        "notes": observation.notes + responses.notes + energies.notes + notes,
    }
    prepared = PreparedObservation(
        **values, **_sort_events(observation, grid, axes, settings, background, steps, values)
    )
    check_share(prepared, axes, grid.binsize)
    return prepared


def _table(observation: Observation, kind: str) -> ResponseTable:
    table = observation.responses.get(kind)  # type: ignore[call-overload]
    if table is None:
        raise ObservationRejected(
            f"{observation.identity}: no response {kind}, there are {sorted(observation.responses)}; "
            "leave its map out of datasets.map_selection or ask for it in observations.required_irf"
        )
    return table


def _evaluate(observation: Observation, axes: Axes, settings: ReductionSettings) -> _Responses:
    wanted = set(settings.selection)
    needs_aeff = bool({"exposure", "psf", "edisp"} & wanted) or "aeff-max" in settings.safe_methods
    n_true, n_energy = axes.energy_true.size, axes.energy.size
    whole = np.array([0.0, np.inf])
    aeff_offset, aeff = whole, np.zeros((0, n_true))
    psf_offset, psf = whole, np.zeros((0, n_true, axes.n_rad))
    edisp_offset, edisp = whole, np.zeros((0, n_true, n_energy))
    background, rotates = NOTHING, False
    notes = _point_like(observation)
    kind = ""
    try:
        if needs_aeff:
            kind = "aeff"
            aeff_offset, aeff = effective_area(_table(observation, kind), axes.energy_true)
            if (lowest := float(_table(observation, kind).values["EFFAREA"].min())) < 0:
                notes += (f"EFFAREA holds values below zero (down to {lowest:.3g}), read as zero",)
        if "psf" in wanted:
            kind = "psf"
            psf_offset, psf = point_spread_function(_table(observation, kind), axes.energy_true, axes.rad_edges)
        if "edisp" in wanted or "edisp-bias" in settings.safe_methods:
            kind = "edisp"
            edisp_offset, edisp = energy_dispersion(_table(observation, kind), axes.energy_true, axes.energy)
        if "background" in wanted or "bkg-peak" in settings.safe_methods:
            kind = "bkg"
            table = _table(observation, kind)
            camera = camera_background(table, axes.energy)
            if table.form == "bkg_3d":
                alignment = alignment_of(table, observation, settings.fov_alignment)
                camera = camera.mirrored() if alignment.mirror else camera
                rotates, notes = alignment.rotates, notes + alignment.notes
            background = refine_background(camera)
    except ValueError as error:
        raise ObservationRejected(f"{observation.identity}: response {kind}: {error}", part=kind) from error
    return _Responses(aeff_offset, aeff, psf_offset, psf, edisp_offset, edisp, background, rotates, notes)


def _point_like(observation: Observation) -> tuple[str, ...]:
    """A note where responses hold for a cut around a source: the maps then say what passes that cut."""
    kinds = [kind for kind, table in observation.responses.items() if table.metadata.get("HDUCLAS3") == "POINT-LIKE"]
    if not kinds:
        return ()
    return (f"{', '.join(kinds)}: {POINT_LIKE}",)


def _field_of_view(responses: _Responses, settings: ReductionSettings) -> tuple[float, tuple[str, ...]]:
    """Radius of the selection circle, deg: without one in the settings, that of the responses."""
    if settings.offset_max is not None:
        return float(settings.offset_max), ()
    reach = [responses.background.reach, float(responses.aeff_offset[-1])]
    finite = [value for value in reach if 0 < value < 180]
    radius = max(finite) if finite else 180.0
    return radius, (f"no offset_max: the responses reach {radius:.2f} deg, what lies further counts as cut by offset",)


def _safe_range(
    observation: Observation, responses: _Responses, axes: Axes, settings: ReductionSettings
) -> safe.SafeRange:
    offset = 0.0 if settings.fixed_offset is None else float(settings.fixed_offset)
    if settings.position is not None:
        pointing = observation.pointing
        offset = float(separation(pointing.ra, pointing.dec, *settings.position))
    result = safe.SafeRange()
    if "aeff-default" in settings.safe_methods:
        table = observation.responses.get("aeff")
        metadata: Mapping[str, Any] = {} if table is None else table.metadata
        result &= safe.aeff_default(metadata.get("LO_THRES"), metadata.get("HI_THRES"))
    if "aeff-max" in settings.safe_methods:
        aeff = _at_offset(responses.aeff, responses.aeff_offset, offset).clip(min=0.0)
        result &= safe.aeff_max(axes.energy_true.centers, aeff, settings.aeff_percent)
    if "edisp-bias" in settings.safe_methods:
        edisp = _at_offset(responses.edisp, responses.edisp_offset, offset)
        result &= safe.edisp_bias(axes.energy_true.centers, axes.energy.centers, edisp, settings.bias_percent)
    if "bkg-peak" in settings.safe_methods:
        result &= safe.bkg_peak(axes.energy.edges, _background_at_offset(responses.background, offset))
    return result


def _at_offset(values: NDArray[np.float64], nodes: NDArray[np.float64], offset: float) -> NDArray[np.float64]:
    """Values (o, ...) at an offset, zero outside the nodes."""
    if not nodes[0] <= offset <= nodes[-1]:
        return np.zeros(values.shape[1:])
    low = int(np.clip(np.searchsorted(nodes, offset, side="right") - 1, 0, nodes.size - 2))
    upper = (offset - nodes[low]) / (nodes[low + 1] - nodes[low])
    return (1.0 - upper) * values[low] + upper * values[low + 1]


def _background_at_offset(lattice: BackgroundLattice, offset: float) -> NDArray[np.float64]:
    """Background rate (e,) at an offset along the camera's vertical."""
    n_energy = lattice.rate.shape[2]
    x = offset if lattice.radial else 0.0
    y = 0.0 if lattice.radial else offset
    place = np.repeat(unit_vectors(x, y)[:, None], n_energy, axis=1)
    rates = np.zeros(n_energy)
    background_rates(place, np.ones(1), np.eye(3)[None], *lattice.arguments, np.arange(n_energy), rates)
    return rates


def _sort_events(
    observation: Observation,
    grid: SkyGrid,
    axes: Axes,
    settings: ReductionSettings,
    background: BackgroundLattice,
    steps: TimeSteps,
    values: Mapping[str, Any],
) -> dict[str, Any]:
    """Events in the safe range and the ledger: fields of the prepared observation, of which `values` has the others."""
    events = observation.events
    time = np.asarray(events["TIME"], dtype=np.float64)
    left = np.searchsorted(observation.gti_start, time, side="right") - 1
    good = (left >= 0) & (time < observation.gti_stop[left.clip(min=0)])
    n_outside = int(np.count_nonzero(~good))
    drop = settings.events_outside_gti == "drop"
    energy = axes.energy.index(np.asarray(events["ENERGY"], dtype=np.float64))
    y, x, in_grid = grid.pixel_index(*_positions(events, grid))
    taken = good if drop else np.ones_like(good)
    in_energy = taken & (energy >= 0)
    in_circle, in_range = np.zeros_like(good), np.zeros_like(good)
    candidates = np.flatnonzero(in_energy)
    center = unit_vectors(values["ra"], values["dec"])
    window = grid.window_around(values["ra"], values["dec"], values["offset_max"], margin=True)
    vectors = _pixel_vectors(grid, window, y[candidates], x[candidates])
    chord = np.sum((vectors - center[:, None]) ** 2, axis=0)
    in_circle[candidates] = chord < squared_chord(values["offset_max"])
    limit = squared_chord(min(values["offset_max"], values["safe_offset_max"]))
    is_safe = (chord < limit) & values["safe_energy"][energy[candidates]]
    if values["mask_invalid_background"]:
        rates = np.zeros(candidates.size)
        frames = camera_frames(steps.ra, steps.dec, steps.roll)
        background_rates(vectors, steps.weight, frames, *background.arguments, energy[candidates], rates)
        is_safe &= rates > 0
    in_range[candidates] = is_safe
    in_cube = in_energy & in_grid & in_circle & in_range
    ledger = Ledger(
        read=energy.size,
        outside_gti_dropped=n_outside if drop else 0,
        outside_energy=int(np.count_nonzero(taken & (energy < 0))),
        outside_grid=int(np.count_nonzero(in_energy & ~in_grid)),
        offset_cut=int(np.count_nonzero(in_energy & in_grid & ~in_circle)),
        safe_range=int(np.count_nonzero(in_energy & in_grid & in_circle & ~in_range)),
        in_cube=int(np.count_nonzero(in_cube)),
        outside_gti_kept=0 if drop else n_outside,
    )
    ledger.check(observation.identity)
    kept = in_energy & in_circle & in_range
    return {
        "event_energy": energy[kept].astype(np.int32),
        "event_y": y[kept].astype(np.int32),
        "event_x": x[kept].astype(np.int32),
        "event_in_grid": in_grid[kept],
        "ledger": ledger,
    }


def _positions(events: Mapping[str, NDArray[Any]], grid: SkyGrid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Right ascension and declination of events, deg, in float64.

    Columns of single precision are good to 0.05 arcsec or so; which pixel an event on an edge falls in depends on where
    they are rounded. On a grid of another frame they are rounded in radian, as astropy and thus Gammapy do, so that maps
    agree in every bin.
    """
    ra, dec = np.asarray(events["RA"]), np.asarray(events["DEC"])
    if ra.dtype == np.float32 and dec.dtype == np.float32 and grid.frame != "icrs":
        radian = np.float32(np.pi / 180.0)
        return np.rad2deg((ra * radian).astype(np.float64)), np.rad2deg((dec * radian).astype(np.float64))
    return ra.astype(np.float64), dec.astype(np.float64)


def _pixel_vectors(grid: SkyGrid, window: Window, y: NDArray[np.int64], x: NDArray[np.int64]) -> NDArray[np.float64]:
    """Unit vectors (3, n) of the centres of single pixels, NaN outside the window and off the sky."""
    vectors = np.full((3, y.size), np.nan)
    if not window.is_empty:
        row, column, inside = grid.index_in(window, y, x)
        vectors[:, inside] = grid.fill(window)[0][:, row[inside], column[inside]]
    return vectors
