"""The contribution of observations to a window of pixels: the additive variables of the cube.

Every contribution to a floating variable is rounded to a multiple of the variable's quantum, so that sums are exact: the
order of observations, their batches and the tiling change no bit. `survey.reduction.prepare` makes what is added here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from survey.reduction import kernels_cells as cells
from survey.reduction import kernels_contribution as kernels
from survey.reduction.axes import Axes
from survey.reduction.kernels_angles import select_pixels
from survey.reduction.prepared import PreparedObservation
from survey.sky.frames import unit_vectors
from survey.sky.pixels import PixelGeometry
from survey.store.quantum import check_room, quantise, quantum
from survey.store.variables import CUBE

Sums = dict[str, NDArray[Any]]

VARIABLES = (
    "counts",
    "background",
    "exposure",
    "psf_exposure",
    "edisp_exposure",
    "irf_exposure",
    "n_safe",
    "livetime",
    "n_observations",
)
"""Variables that an observation adds to."""

MASK_VARIABLES = frozenset(VARIABLES) - {"counts"}
"""Variables that need the safe bins of every pixel; events know their own."""

EXPOSURE_VARIABLES = frozenset({"exposure", "psf_exposure", "edisp_exposure", "irf_exposure"})


class BackgroundNorm(NamedTuple):
    """Factor of an observation's background: ``norm x (energy / reference)^-tilt`` at the centres of the bins."""

    norm: float = 1.0
    tilt: float = 0.0
    reference: float = 1.0

    def factors(self, energy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Factors at energies in TeV."""
        return self.norm * (energy / self.reference) ** -self.tilt


class _Masks(NamedTuple):
    box: tuple[int, int, int, int]
    safe_pixels: NDArray[np.bool_]
    safe_bins: NDArray[np.bool_]
    partial: NDArray[np.bool_]


def zero_sums(geometry: PixelGeometry, axes: Axes, variables: Sequence[str] = VARIABLES) -> Sums:
    """Arrays of zeros for some variables on a window."""
    sizes = {
        "energy": axes.energy.size,
        "energy_true": axes.energy_true.size,
        "rad": axes.n_rad,
        "y": geometry.shape[0],
        "x": geometry.shape[1],
        "y_irf": geometry.cells.shape[0],
        "x_irf": geometry.cells.shape[1],
    }
    return {name: np.zeros(tuple(sizes[dim] for dim in CUBE[name].dims), dtype=CUBE[name].dtype) for name in variables}


def contribution(
    prepared: PreparedObservation,
    geometry: PixelGeometry,
    axes: Axes,
    *,
    norm: BackgroundNorm | None = None,
    variables: Sequence[str] = VARIABLES,
) -> Sums:
    """What one observation adds to a window.

    Parameters
    ----------
    prepared : PreparedObservation
        On `axes`.
    geometry : PixelGeometry
        A window of whole response cells of the survey's grid.
    axes : Axes
        Of the survey.
    norm : BackgroundNorm, optional
        Factor of its background.
    variables : sequence of str
        Of `VARIABLES`.

    Returns
    -------
    dict of str to numpy.ndarray
        With the dims and units of `survey.store.variables.CUBE`.
    """
    norms = {} if norm is None else {prepared.identity: norm}
    return accumulate([prepared], geometry, axes, norms=norms, variables=variables)


def accumulate(
    observations: Iterable[PreparedObservation],
    geometry: PixelGeometry,
    axes: Axes,
    *,
    norms: Mapping[str, BackgroundNorm] | None = None,
    variables: Sequence[str] = VARIABLES,
    out: Sums | None = None,
) -> Sums:
    """Sum of the contributions of observations, one in memory at a time.

    Parameters
    ----------
    observations : iterable of PreparedObservation
        In any order.
    geometry, axes, variables
        As of `contribution`.
    norms : mapping of str to BackgroundNorm, optional
        By identity; an observation that is not in it keeps its background.
    out : dict, optional
        Sums to add to, changed in place.

    Returns
    -------
    dict of str to numpy.ndarray
        `out`, or new arrays.

    Raises
    ------
    QuantumOverflow
        When a sum has left the range in which adding is exact.
    """
    if geometry.window.y0 % geometry.cell_size or geometry.window.x0 % geometry.cell_size:
        raise ValueError(
            f"{geometry.window} does not start at the edge of a response cell of {geometry.cell_size} pixels"
        )
    sums = zero_sums(geometry, axes, variables) if out is None else out
    quanta = {name: _quanta(name, axes) for name in sums}
    n_pixels = _pixels_of_cells(geometry)
    for prepared in observations:
        norm = (norms or {}).get(prepared.identity, BackgroundNorm())
        _add(prepared, geometry, axes, norm, sums, quanta, n_pixels)
    for name, values in sums.items():
        if values.size:
            # no contribution is negative: the largest sums tell
            rows = values.reshape(quanta[name].size, -1)
            check_room(rows.max(axis=1), quanta[name], variable=name)
    return sums


def add_sums(total: Sums, part: Mapping[str, NDArray[Any]]) -> Sums:
    """Add sums of other observations on the same window to `total`, in place."""
    for name, values in part.items():
        total[name] += values
    return total


def _quanta(name: str, axes: Axes) -> NDArray[np.float64]:
    """Quantum of a variable for every bin of its first dimension, (n,); one for a variable without energies."""
    axis = {"energy": axes.energy, "energy_true": axes.energy_true}.get(CUBE[name].dims[0])
    return np.atleast_1d(quantum(name) if axis is None else quantum(name, axis.low))


def _pixels_of_cells(geometry: PixelGeometry) -> NDArray[np.int64]:
    """Pixels on the sky of every response cell, (v, u)."""
    size = geometry.cell_size
    rows = np.add.reduceat(geometry.valid.astype(np.int64), np.arange(0, geometry.shape[0], size), axis=0)
    return np.add.reduceat(rows, np.arange(0, geometry.shape[1], size), axis=1)


def _add(
    prepared: PreparedObservation,
    geometry: PixelGeometry,
    axes: Axes,
    norm: BackgroundNorm,
    sums: Sums,
    quanta: Mapping[str, NDArray[np.float64]],
    n_pixels: NDArray[np.int64],
) -> None:
    """Add one observation to `sums`, in place."""
    if "counts" in sums:
        inside = prepared.event_in_grid
        window = geometry.window
        kernels.add_events(
            prepared.event_energy[inside],
            prepared.event_y[inside],
            prepared.event_x[inside],
            window.y0,
            window.x0,
            sums["counts"],
        )
    if MASK_VARIABLES.isdisjoint(sums):
        return
    background = sums.get("background")
    factors = norm.factors(axes.energy.centers)
    masks = masks_and_background(prepared, geometry, factors, quanta.get("background"), background)
    if masks is None:
        return
    if not {"n_safe", "livetime", "n_observations"}.isdisjoint(sums):
        _add_coverage(prepared, masks, sums)
    if not EXPOSURE_VARIABLES.isdisjoint(sums) and prepared.aeff.shape[0]:
        _add_exposures(prepared, geometry, masks, sums, quanta, n_pixels)


def masks_and_background(
    prepared: PreparedObservation,
    geometry: PixelGeometry,
    factors: NDArray[np.float64],
    quanta: NDArray[np.float64] | None = None,
    background: NDArray[np.float64] | None = None,
) -> _Masks | None:
    """Safe pixels and bins of an observation on a window, and its background.

    Parameters
    ----------
    prepared : PreparedObservation
    geometry : PixelGeometry
    factors : numpy.ndarray (e,)
        Factors of the background.
    quanta : numpy.ndarray (e,), optional
        Quanta of the background.
    background : numpy.ndarray (e, y, x), optional
        The background of the safe bins is added to it.

    Returns
    -------
    tuple or None
        Box of rows and columns with selected pixels, safe pixels (y, x), safe bins (e, y, x), and which bins (e,) are
        safe in some selected pixels only; None when no pixel in the window is selected.
    """
    selected = np.empty(geometry.shape, dtype=np.bool_)
    center = unit_vectors(prepared.ra, prepared.dec)
    offset_max = min(prepared.offset_max, prepared.safe_offset_max)
    box = select_pixels(geometry.vectors, center, offset_max, selected)
    if box[0] >= box[1] or not prepared.safe_energy.any():
        return None
    safe_pixels = np.zeros(geometry.shape, dtype=np.bool_)
    safe_bins = np.zeros((prepared.safe_energy.size, *geometry.shape), dtype=np.bool_)
    safe = prepared.safe_energy
    partial = np.zeros(safe.size, dtype=np.bool_)
    want = background is not None and prepared.bkg.size > 0
    needed = prepared.mask_invalid_background
    if not want and not needed:
        kernels.mark_safe(selected, box, safe, safe_pixels, safe_bins)
        return _Masks(box, safe_pixels, safe_bins, partial)
    lattice, radial, x0, y0, per_x, per_y = prepared.background_arguments
    weights, frames = prepared.background_steps
    filled = prepared.filled_energy
    asked = safe
    if not want and prepared.background_covers(offset_max):
        # bins that have background everywhere are safe without a look at it
        kernels.mark_safe(selected, box, safe & filled, safe_pixels, safe_bins)
        asked = safe & ~filled
    energies = np.flatnonzero(asked)
    if energies.size == 0:
        return _Masks(box, safe_pixels, safe_bins, partial)
    kernels.add_background(
        geometry.vectors,
        geometry.solid_angle,
        selected,
        box,
        weights,
        frames,
        lattice if energies.size == safe.size else np.ascontiguousarray(lattice[:, :, energies]),
        radial,
        x0,
        y0,
        per_x,
        per_y,
        energies,
        filled[energies],
        needed,
        prepared.ontime * factors,
        quanta if quanta is not None else np.ones(factors.size),
        want,
        background if background is not None else np.empty((0, 0, 0)),
        safe_pixels,
        safe_bins,
        partial,
    )
    return _Masks(box, safe_pixels, safe_bins, partial)


def _add_coverage(prepared: PreparedObservation, masks: _Masks, sums: Sums) -> None:
    livetime = 0.0
    if "livetime" in sums:
        livetime = float(quantise(np.array([prepared.livetime]), quantum("livetime"))[0])
    shape = masks.safe_pixels.shape
    nothing = np.zeros((0, *shape), dtype=np.int32)
    kernels.add_coverage(
        masks.safe_pixels,
        masks.safe_bins,
        masks.box,
        livetime,
        sums.get("n_safe", nothing),
        sums.get("livetime", np.zeros((0, 0))),
        sums.get("n_observations", np.zeros((0, 0), dtype=np.int32)),
    )


def _add_exposures(
    prepared: PreparedObservation,
    geometry: PixelGeometry,
    masks: _Masks,
    sums: Sums,
    quanta: Mapping[str, NDArray[np.float64]],
    n_pixels: NDArray[np.int64],
) -> None:
    box, safe_pixels, safe_bins, partial = masks
    weights, centers = prepared.exposure_steps
    nodes, aeff = prepared.aeff_offset, prepared.aeff
    n_true, n_energy = aeff.shape[1], safe_bins.shape[0]
    with_cells = not {"psf_exposure", "edisp_exposure", "irf_exposure"}.isdisjoint(sums)
    cell, shape = geometry.cell_size, geometry.cells.shape
    cell_sums = np.zeros((*shape, n_true)) if with_cells else np.zeros((0, 0, 0))
    kernels.add_exposure(
        geometry.vectors,
        safe_pixels,
        box,
        weights,
        centers,
        nodes,
        aeff,
        prepared.livetime,
        quanta.get("exposure", np.ones(n_true)),
        "exposure" in sums,
        sums.get("exposure", np.empty((0, 0, 0))),
        cell,
        cell_sums,
    )
    if not with_cells:
        return
    states, used = np.empty((n_energy, *shape), np.int8), np.empty(shape, np.int64)
    n_mixed = cells.cell_states(safe_pixels, safe_bins, box, cell, prepared.safe_energy, partial, states, used)
    means = np.zeros((*shape, n_true))
    cells.cell_means(cell_sums, n_pixels, prepared.livetime, means)
    if "irf_exposure" in sums:
        cells.add_means(means, used, quanta["irf_exposure"], sums["irf_exposure"])

    def positions(at: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        low, upper = np.empty((weights.size, *shape), np.int64), np.empty((weights.size, *shape))
        cells.cell_positions(geometry.cell_vectors, used, centers, at, low, upper)
        return low, upper

    shares = np.empty((0, 0, 0, 0))
    if weights.size > 1:
        shares = np.empty((weights.size, *shape, n_true))
        cells.step_shares(weights, *positions(nodes), aeff, shares)
    if "psf_exposure" in sums and prepared.psf.shape[0]:
        low, upper = positions(prepared.psf_offset)
        cells.add_psf(means, used, shares, low, upper, prepared.psf, quanta["psf_exposure"], sums["psf_exposure"])
    if "edisp_exposure" in sums and prepared.edisp.shape[0]:
        rows, mixed = np.empty(shape, np.int64), np.zeros((n_mixed, n_true, n_energy))
        if n_mixed:
            cells.mixed_sums(geometry.vectors, safe_bins, box, weights, centers, nodes, aeff, cell, states, rows, mixed)
        cells.add_dispersion(
            means,
            used,
            states,
            rows,
            mixed,
            n_pixels,
            prepared.livetime,
            shares,
            *positions(prepared.edisp_offset),
            prepared.edisp,
            quanta["edisp_exposure"],
            sums["edisp_exposure"],
        )
