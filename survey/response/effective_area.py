"""Effective area on the survey's axis of true energy, at the offsets between which it is linear."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from survey.response.interpolation import ResponseError, checked_values, inside, interpolate, offset_nodes
from survey.response.table import ResponseTable
from survey.sky.energy import EnergyAxis

NEGATIVE = 0.01
"""Part of the largest effective area that a value may lie below zero, and is then read as zero."""


def effective_area(table: ResponseTable, energy_true: EnergyAxis) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Effective area at the centres of the bins of true energy.

    Parameters
    ----------
    table : ResponseTable
        Of form ``aeff_2d``.
    energy_true : EnergyAxis
        With ``t`` bins.

    Returns
    -------
    offset : numpy.ndarray (o,)
        deg, the last one possibly infinite (a constant).
    aeff : numpy.ndarray (o, t)
        m2. Linear in offset in between and zero beyond the last; interpolate first, then cut at zero, since values at
        the outer edges are extrapolated.

    Raises
    ------
    ResponseError
        When a value is not finite, or clearly negative.
    """
    values = checked_values(table, "EFFAREA", ("offset", "energy_true"), canonical="m2", negative=True)
    # Smoothing leaves values a little below zero at the threshold of H.E.S.S. DR1: there is no effective area there.
    if values.min() < -NEGATIVE * values.max():
        raise ResponseError(
            f"HDU class {table.form}, column EFFAREA holds {values.min():.6g}, expected nothing below zero, or at most "
            f"{NEGATIVE:.0%} of the largest value {values.max():.6g}"
        )
    values = values.clip(min=0.0)
    energy, offset = table.axis("energy_true"), table.axis("offset")
    centers = energy_true.centers
    nodes = offset_nodes(offset)
    aeff = interpolate(interpolate(values, energy, centers, along=1), offset, nodes)
    aeff[:, ~inside(energy, centers)] = 0.0
    return nodes, aeff
