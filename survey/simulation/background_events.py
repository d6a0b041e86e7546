"""Background events: drawn from the background response in the camera, and brought to the sky.

The density is that of the lattice of `survey.response.background`, made with bins of energy so fine that the spectrum is a
power law inside: the geometric interpolation in the camera is done in these bins.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from survey.response.background import camera_background, refine_background
from survey.response.interpolation import ResponseError, axis_edges
from survey.response.table import ResponseTable
from survey.simulation import kernels_sampling as kernels
from survey.simulation.detection import Shared, subdivided
from survey.sky.energy import EnergyAxis

Array = NDArray[np.float64]


class CameraEvents(NamedTuple):
    """Events in the camera: longitude and latitude, deg (offset and angle where radial), and energies, TeV."""

    x: Array
    y: Array
    energy: Array
    radial: bool


@dataclass(frozen=True, eq=False)
class CameraRate:
    """Background rate in the form in which events are drawn from it.

    Parameters
    ----------
    total : float
        Events drawn a second, of which those in proportion to the solid angle are kept, s-1.
    places : numpy.ndarray (ny * nx,)
        Cumulative weights of the nodes of the lattice.
    energies : numpy.ndarray (ny * nx, e + 1) float32
        At every node the fraction above the edges of the bins of energy.
    low, width, slope : numpy.ndarray (e,)
        Lower edges, TeV, widths in the logarithm, and power of the density inside.
    shape : tuple of int
        ny, nx.
    first, step : numpy.ndarray (2,)
        In x and y, deg.
    radial : bool
    """

    total: float
    places: Array
    energies: NDArray[np.float32]
    low: Array
    width: Array
    slope: Array
    shape: tuple[int, int]
    first: Array
    step: Array
    radial: bool

    @classmethod
    def of(cls, table: ResponseTable, *, mirror: bool = False) -> CameraRate:
        """From a background response; `mirror` reverses its x axis. ResponseError when it has no outer edge."""
        return _camera_rate(Shared.of(table), mirror)

    def draw(self, rng: np.random.Generator, ontime: float) -> CameraEvents:
        """The events of an exposure of `ontime` s."""
        count = int(rng.poisson(self.total * ontime))
        random = rng.random((count, 6))
        x, y, energy, kept = np.empty(count), np.empty(count), np.empty(count), np.empty(count, np.bool_)
        ny, nx = self.shape
        kernels.draw_camera(
            random,
            self.places,
            self.energies,
            self.low,
            self.width,
            self.slope,
            nx,
            ny,
            self.first,
            self.step,
            self.radial,
            x,
            y,
            energy,
            kept,
        )
        return CameraEvents(x[kept], y[kept], energy[kept], self.radial)


@lru_cache(maxsize=16)
def _camera_rate(shared: Shared, mirror: bool) -> CameraRate:
    axis = shared.table.axis("energy")
    edges = axis_edges(axis)
    if not edges[0] < edges[-1]:
        raise ResponseError(f"HDU class {shared.table.form} has one energy without a width, expected bins")
    fine = EnergyAxis("energy", subdivided(np.concatenate([edges, axis.nodes])))
    camera = camera_background(shared.table, fine)
    lattice = refine_background(camera.mirrored() if mirror else camera)
    if not (np.isfinite(lattice.step_x) and np.isfinite(lattice.step_y)):
        raise ResponseError(f"HDU class {shared.table.form} has no outer edge: no events can be drawn from it")
    rate = lattice.rate.astype(np.float64)
    ny, nx, n_energy = rate.shape
    step = np.array([lattice.step_x, lattice.step_y])
    ends_x, ends_y = np.ones(nx), np.ones(ny)
    ends_x[[0, -1]] = 0.5
    if lattice.radial:
        # an annulus at the outer side of every tent is an upper limit of the solid angle
        outer = np.radians(lattice.x0 + step[0] * np.minimum(np.arange(1, nx + 1), nx - 1))
        area = (ends_x * np.radians(step[0]) * 2.0 * np.pi * outer)[None, :]
    else:
        ends_y[[0, -1]] = 0.5
        area = ends_y[:, None] * ends_x[None, :] * np.radians(step[0]) * np.radians(step[1])
    # counted from the highest energy, so that the few events there are not lost to round-off
    above = np.zeros((ny * nx, n_energy + 1))
    np.cumsum(rate.reshape(-1, n_energy)[:, ::-1], axis=1, out=above[:, 1:])
    above = above[:, ::-1]
    sums = above[:, 0]
    weights = sums * area.ravel()
    total = float(weights.sum())
    energies = (above / np.where(sums > 0, sums, 1.0)[:, None]).astype(np.float32)
    places = np.cumsum(weights) / (total if total > 0 else 1.0)
    places[-1] = 1.0
    widths = np.log(fine.high / fine.low)
    return CameraRate(
        total,
        places,
        np.ascontiguousarray(energies),
        np.ascontiguousarray(fine.low),
        widths,
        _slopes(rate.sum(axis=(0, 1)), fine),
        (ny, nx),
        np.array([lattice.x0, lattice.y0]),
        step,
        lattice.radial,
    )


def _slopes(rate: Array, axis: EnergyAxis) -> Array:
    """Power of the density inside every bin, from its neighbours; a bin beside an empty one is even."""
    density = rate / (axis.high - axis.low)
    slopes = np.zeros(rate.size)
    if rate.size < 3:
        return slopes
    logs = np.log(np.where(density > 0, density, 1.0))
    centers = np.log(axis.centers)
    slopes[1:-1] = (logs[2:] - logs[:-2]) / (centers[2:] - centers[:-2])
    slopes[0], slopes[-1] = slopes[1], slopes[-2]
    good = density > 0
    alone = ~(good & np.append(good[1:], good[-1]) & np.append(good[0], good[:-1]))
    slopes[alone] = 0.0
    return slopes
