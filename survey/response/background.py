"""Background rate: integrated over bins of reconstructed energy at the nodes of the camera, then on a fine lattice.

In energy the rate is a power law between the centres of the table's bins, integrated exactly. In the camera its
logarithm is linear between nodes. Either way an empty bin stays empty and its neighbours do not leak into it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from survey.response.interpolation import axis_edges, checked_values
from survey.response.kernels_response import add_power_laws, bracket, interpolate_logarithms
from survey.response.table import ResponseAxis, ResponseTable
from survey.sky.energy import EnergyAxis

LATTICE_NODES = 100
"""A lattice has at least this many steps across the field of view, and two a bin of the table."""


@dataclass(frozen=True, eq=False)
class CameraBackground:
    """Background rate at the nodes of the camera.

    Parameters
    ----------
    rate : numpy.ndarray (e, y, x) or (e, x)
        Integrated over every bin of reconstructed energy, s-1 sr-1. The second form is radial: x is the offset.
    x, y : numpy.ndarray
        Nodes, deg; `y` is empty for a radial background.
    bounds : numpy.ndarray (4,)
        Lowest and highest x, lowest and highest y that the table covers, deg.
    """

    rate: NDArray[np.float64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    bounds: NDArray[np.float64]

    def mirrored(self) -> CameraBackground:
        """The same with x counted the other way."""
        low, high, *rest = self.bounds
        return CameraBackground(
            rate=np.ascontiguousarray(self.rate[:, :, ::-1]),
            x=-self.x[::-1],
            y=self.y,
            bounds=np.array([-high, -low, *rest]),
        )


@dataclass(frozen=True, eq=False)
class BackgroundLattice:
    """Background rate on an even lattice, fine enough for linear interpolation; zero outside it.

    Parameters
    ----------
    rate : numpy.ndarray (my, mx, e) float32
        s-1 sr-1; ``my`` is 1 for a radial background. Single precision, which is more than any background has.
    x0, y0, step_x, step_y : float
        First node and steps, deg.
    radial : bool
        Whether x is the offset.
    """

    rate: NDArray[np.float32]
    x0: float
    y0: float
    step_x: float
    step_y: float
    radial: bool

    @property
    def reach(self) -> float:
        """Largest distance from the pointing at which there is a background, deg."""
        my, mx, _ = self.rate.shape
        reach_x = max(-self.x0, self.x0 + self.step_x * (mx - 1))
        return reach_x if self.radial else float(np.hypot(reach_x, max(-self.y0, self.y0 + self.step_y * (my - 1))))

    @property
    def arguments(self) -> tuple[NDArray[np.float32], bool, float, float, float, float]:
        """The lattice as the kernels take it: rates, radial, first nodes, steps a degree."""
        return self.rate, self.radial, self.x0, self.y0, 1.0 / self.step_x, 1.0 / self.step_y


def camera_background(table: ResponseTable, energy: EnergyAxis) -> CameraBackground:
    """Background rate in every bin of reconstructed energy, in the table's own camera coordinates.

    Parameters
    ----------
    table : ResponseTable
        Of form ``bkg_3d`` or ``bkg_2d``.
    energy : EnergyAxis
        With ``e`` bins.

    Raises
    ------
    ResponseError
        When a value is not finite or negative.
    """
    if table.form == "bkg_2d":
        values = checked_values(table, "BKG", ("energy", "offset"), canonical="TeV-1 s-1 sr-1")
        offset = table.axis("offset")
        edges = axis_edges(offset)
        rate = integrate_power_laws(values, table.axis("energy"), energy.edges)
        high = edges[-1] if edges[-1] > 0 else np.inf
        return CameraBackground(rate, offset.nodes, np.empty(0), np.array([max(edges[0], 0.0), high, 0.0, 0.0]))
    values = checked_values(table, "BKG", ("energy", "dety", "detx"), canonical="TeV-1 s-1 sr-1")
    x, y = table.axis("detx"), table.axis("dety")
    edges_x, edges_y = axis_edges(x), axis_edges(y)
    bounds = np.array([edges_x[0], edges_x[-1], edges_y[0], edges_y[-1]])
    return CameraBackground(integrate_power_laws(values, table.axis("energy"), energy.edges), x.nodes, y.nodes, bounds)


def integrate_power_laws(
    values: NDArray[np.float64], axis: ResponseAxis, edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Integral over bins of a density that is a power law between the centres of its own bins.

    Parameters
    ----------
    values : numpy.ndarray (n, ...)
        TeV-1 times anything, at the bins of `axis`.
    axis : ResponseAxis
        Energies, TeV.
    edges : numpy.ndarray (e + 1,)
        TeV.

    Returns
    -------
    numpy.ndarray (e, ...)
        The outer power laws go on to the outer edges of `axis`, beyond them there is nothing. A bin of the table that
        is empty adds nothing; next to it the density is constant.
    """
    own_edges = axis_edges(axis)
    nodes = axis.nodes
    result = np.zeros((edges.size - 1, *values.shape[1:]))
    if nodes.size == 1:
        low, high = (own_edges[0], own_edges[1]) if not axis.is_node else (0.0, np.inf)
        width = np.clip(np.minimum(edges[1:], high) - np.maximum(edges[:-1], low), 0.0, None)
        return width.reshape(-1, *([1] * (values.ndim - 1))) * values[0]
    cuts = np.unique(np.concatenate([edges, nodes, own_edges]))
    cuts = cuts[(cuts >= max(edges[0], own_edges[0])) & (cuts <= min(edges[-1], own_edges[-1]))]
    if cuts.size < 2:
        return result
    middles = np.sqrt(cuts[:-1] * cuts[1:])
    target = np.searchsorted(edges, middles, side="right") - 1
    left = np.clip(np.searchsorted(nodes, middles, side="right") - 1, 0, nodes.size - 2)
    own = np.clip(np.searchsorted(own_edges, middles, side="right") - 1, 0, nodes.size - 1)
    flat = np.ascontiguousarray(values.reshape(nodes.size, -1))
    add_power_laws(flat, nodes, cuts, target, left, own, result.reshape(edges.size - 1, -1))
    return result


def refine_background(camera: CameraBackground) -> BackgroundLattice:
    """Bring a rate at the nodes of the camera to an even lattice over its bounds, geometrically."""
    x, y, bounds = camera.x, camera.y, camera.bounds
    radial = y.size == 0
    with np.errstate(divide="ignore"):
        logs = np.log(np.ascontiguousarray(np.moveaxis(camera.rate[:, None, :] if radial else camera.rate, 0, -1)))
    low_x, weight_x, step_x = _lattice(x, bounds[0], bounds[1], constant_ends=radial)
    if radial:
        low_y, weight_y, step_y = np.zeros(1, np.int64), np.zeros(1), 1.0
    else:
        low_y, weight_y, step_y = _lattice(y, bounds[2], bounds[3], constant_ends=False)
    for axis in (0, 1):
        if logs.shape[axis] == 1:
            logs = np.repeat(logs, 2, axis=axis)
    fine = interpolate_logarithms(logs, low_y, weight_y, low_x, weight_x)
    with np.errstate(
        over="ignore"
    ):  # absurd rates are infinite, for which `survey.reduction.room` sets an observation aside
        rate = np.exp(fine, out=fine).astype(np.float32)
    return BackgroundLattice(rate, float(bounds[0]), float(bounds[2]), float(step_x), float(step_y), radial)


def _lattice(
    nodes: NDArray[np.float64], low: float, high: float, *, constant_ends: bool
) -> tuple[NDArray[np.int64], NDArray[np.float64], float]:
    """Neighbours and weights of an even lattice from `low` to `high`, and its step."""
    if nodes.size == 1:
        return np.zeros(2, np.int64), np.zeros(2), high - low
    smallest = min(float(np.diff(nodes).min()), high - low)
    per_bin = max(2, int(np.ceil(LATTICE_NODES * smallest / (high - low))))
    n_steps = min(int(np.ceil((high - low) / smallest * per_bin - 1e-2)), 4 * LATTICE_NODES)
    points = np.linspace(low, high, n_steps + 1)
    if constant_ends:
        points = points.clip(nodes[0], nodes[-1])
    neighbours, weights = bracket(nodes, points)
    return neighbours, weights, (high - low) / n_steps
