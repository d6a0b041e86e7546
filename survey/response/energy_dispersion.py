"""Energy dispersion on the survey's axes: the probability per bin of reconstructed energy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from survey.response.interpolation import axis_edges, checked_values, interpolate, offset_nodes
from survey.response.kernels_response import cumulative_differences
from survey.response.table import ResponseTable
from survey.sky.energy import EnergyAxis

THRESHOLD = 1e-8
"""Probabilities below this are round-off of the cumulative sum, and zero."""


def energy_dispersion(
    table: ResponseTable, energy_true: EnergyAxis, energy: EnergyAxis
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Probability per bin of reconstructed energy, at the centres of the bins of true energy.

    The density over migration is interpolated to energy and offset, cut at zero and normalised, and its cumulative sum
    read at the edges of the bins of reconstructed energy.

    Parameters
    ----------
    table : ResponseTable
        Of form ``edisp_2d``.
    energy_true, energy : EnergyAxis
        With ``t`` and ``e`` bins.

    Returns
    -------
    offset : numpy.ndarray (o,)
        deg.
    edisp : numpy.ndarray (o, t, e)
        Sums over ``e`` are the probability to be reconstructed on the axis. An offset without simulated events has the
        dispersion of the nearest one that has some.

    Raises
    ------
    ResponseError
        When a value is not finite.
    """
    values = checked_values(table, "MATRIX", ("offset", "energy_true", "migra"), canonical="", negative=True)
    offset, migra = table.axis("offset"), table.axis("migra")
    nodes = offset_nodes(offset)
    at_energy = interpolate(values, table.axis("energy_true"), energy_true.centers, along=1)
    density = interpolate(at_energy, offset, nodes).clip(min=0.0)
    edges = axis_edges(migra)
    cumulative = np.zeros((*density.shape[:2], edges.size))
    np.cumsum(density * np.diff(edges), axis=2, out=cumulative[:, :, 1:])
    total = cumulative[:, :, -1]
    _fill_empty(cumulative, total > 0)
    total = cumulative[:, :, -1:]
    cumulative /= np.where(total > 0, total, 1.0)
    return nodes, cumulative_differences(cumulative, edges, energy_true.centers, energy.edges, THRESHOLD)


def _fill_empty(cumulative: NDArray[np.float64], filled: NDArray[np.bool_]) -> None:
    """Copy the nearest filled offset into the empty ones; an energy that is empty everywhere stays so."""
    for t in np.flatnonzero(~filled.all(axis=0) & filled.any(axis=0)):
        good = np.flatnonzero(filled[:, t])
        for o in np.flatnonzero(~filled[:, t]):
            cumulative[o, t] = cumulative[good[np.argmin(np.abs(good - o))], t]
