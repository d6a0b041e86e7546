"""Interpolation along the axes of a response table: edges, units, and the check that values can be used.

The conventions are those of GADF tables as Gammapy 2.1 reads them: values belong to the centres of the bins, they are
interpolated linearly in the logarithm of energies and linearly in everything else, and they extrapolate inside the
outer halves of the first and the last bin. What happens outside the axis is the business of the response.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from astropy import units as u
from numpy.typing import NDArray

from survey.response.table import ResponseAxis, ResponseTable


class ResponseError(ValueError):
    """A response cannot be used; the message names HDU class, column, value found and value expected."""


@lru_cache(maxsize=64)
def unit_factor(unit: str, canonical: str) -> float:
    """Factor from `unit` to `canonical`; ResponseError when they do not fit."""
    try:
        return float(u.Unit(unit).to(canonical))
    except (ValueError, u.UnitConversionError) as error:
        raise ResponseError(f"unit {unit!r} found, one like {canonical!r} expected") from error


def is_log(axis: ResponseAxis) -> bool:
    """Whether `axis` is interpolated in the logarithm."""
    return axis.name.startswith("energy")


def axis_edges(axis: ResponseAxis) -> NDArray[np.float64]:
    """The ``size + 1`` edges of `axis`; those of an axis of nodes lie half-way, the outer ones half a step outside."""
    if not axis.is_node:
        return axis.edges
    nodes = np.log(axis.nodes) if is_log(axis) else axis.nodes
    if nodes.size == 1:
        return np.array([axis.nodes[0], axis.nodes[0]])
    middle = 0.5 * (nodes[:-1] + nodes[1:])
    edges = np.concatenate([[1.5 * nodes[0] - 0.5 * nodes[1]], middle, [1.5 * nodes[-1] - 0.5 * nodes[-2]]])
    return np.exp(edges) if is_log(axis) else edges


def interpolate(
    values: NDArray[np.float64], axis: ResponseAxis, points: NDArray[np.float64], *, along: int = 0
) -> NDArray[np.float64]:
    """Interpolate `values` linearly along one of their axes, and extrapolate beyond its nodes.

    Parameters
    ----------
    values : numpy.ndarray
        With ``axis.size`` values along `along`. A single one is a constant.
    axis : ResponseAxis
        Energies are interpolated in their logarithm.
    points : numpy.ndarray (p,)
        In the axis' unit; infinite ones only on an axis with a single bin.

    Returns
    -------
    numpy.ndarray
        With ``p`` values along `along`.
    """
    if axis.size == 1:
        return np.repeat(values, points.size, axis=along)
    nodes, at = (np.log(axis.nodes), np.log(points)) if is_log(axis) else (axis.nodes, points)
    low = np.clip(np.searchsorted(nodes, at, side="right") - 1, 0, nodes.size - 2)
    upper = (at - nodes[low]) / (nodes[low + 1] - nodes[low])
    shape = [1] * values.ndim
    shape[along] = -1
    upper = upper.reshape(shape)
    # No matrix product: its last bits depend on the number of threads.
    return (1.0 - upper) * values.take(low, axis=along) + upper * values.take(low + 1, axis=along)


def inside(axis: ResponseAxis, points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which `points` lie between the outer edges of `axis`, to 1e-6 of them (files are in single precision)."""
    edges = axis_edges(axis)
    return (points >= edges[0] - 1e-6 * abs(edges[0])) & (points <= edges[-1] + 1e-6 * abs(edges[-1]))


def offset_nodes(axis: ResponseAxis) -> NDArray[np.float64]:
    """Offsets at which a response is evaluated, so that it is linear in between and nothing beyond the last.

    The nodes of the table, and the outer edges up to which it extrapolates. A single bin is constant: up to its upper
    edge, or, when it is a point, without limit.
    """
    edges = axis_edges(axis)
    if axis.size == 1:
        return np.array([0.0, np.inf if axis.is_node else edges[-1]])
    nodes = np.concatenate([[max(edges[0], 0.0)], axis.nodes, [edges[-1]]])
    return np.unique(nodes[nodes >= 0])


def checked_values(
    table: ResponseTable, column: str, order: tuple[str, ...], *, canonical: str, negative: bool = False
) -> NDArray[np.float64]:
    """Values of a column in canonical units with its axes in the given order.

    Parameters
    ----------
    table : ResponseTable
        Of any form.
    column : str
        Its column.
    order : tuple of str
        Names of all axes.
    canonical : str
        Unit wanted.
    negative : bool
        Whether values below zero are accepted.

    Raises
    ------
    ResponseError
        When axes or column are missing, or a value is not finite, or below zero where that makes no sense.
    """
    names = [axis.name for axis in table.axes]
    if sorted(names) != sorted(order):
        raise ResponseError(f"HDU class {table.form} has axes {names}, expected {list(order)}")
    if column not in table.values:
        raise ResponseError(f"HDU class {table.form} has columns {sorted(table.values)}, expected {column}")
    raw = table.values[column]
    if raw.shape != table.shape:
        raise ResponseError(f"HDU class {table.form}, column {column} has shape {raw.shape}, its axes {table.shape}")
    values = np.asarray(raw, dtype=np.float64).transpose([names.index(name) for name in order])
    bad = ~np.isfinite(values)
    if not negative:
        bad |= values < 0
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        where = ", ".join(f"{name} {table.axis(name).nodes[i]:.4g}" for name, i in zip(order, index, strict=True))
        expected = "a finite number" if negative else "a finite number that is not negative"
        raise ResponseError(
            f"HDU class {table.form}, column {column} holds {values[index]} at {where} "
            f"({int(bad.sum())} such values of {values.size}), expected {expected}"
        )
    factor = unit_factor(table.units.get(column) or "", canonical)
    return values * factor if factor != 1.0 else values
