"""Kernels of the responses: cumulative sums and geometric interpolation. NumPy arrays in, NumPy arrays out."""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def cumulative_differences(cumulative, migra_edges, energy_true, energy_edges, threshold):
    """Probability per bin of reconstructed energy from cumulative probabilities over migration.

    Parameters
    ----------
    cumulative : numpy.ndarray (o, t, m + 1)
        At the edges of the bins of migration, linear in between, flat outside.
    migra_edges : numpy.ndarray (m + 1,)
    energy_true : numpy.ndarray (t,)
    energy_edges : numpy.ndarray (e + 1,)
        In the unit of `energy_true`.
    threshold : float
        Smaller probabilities become zero.

    Returns
    -------
    numpy.ndarray (o, t, e)
    """
    n_offset, n_true, n_migra = cumulative.shape
    n_energy = energy_edges.size - 1
    result = np.zeros((n_offset, n_true, n_energy))
    for t in range(n_true):
        for e in range(n_energy + 1):
            migra = energy_edges[e] / energy_true[t]
            low = min(max(np.searchsorted(migra_edges, migra, side="right") - 1, 0), n_migra - 2)
            fraction = (migra - migra_edges[low]) / (migra_edges[low + 1] - migra_edges[low])
            fraction = min(max(fraction, 0.0), 1.0)
            for o in range(n_offset):
                value = (1.0 - fraction) * cumulative[o, t, low] + fraction * cumulative[o, t, low + 1]
                if e > 0:
                    result[o, t, e - 1] += value
                if e < n_energy:
                    result[o, t, e] -= value
        for o in range(n_offset):
            for e in range(n_energy):
                if result[o, t, e] < threshold:
                    result[o, t, e] = 0.0
    return result


@njit(nogil=True, cache=True)
def bracket(nodes, points):
    """Lower neighbour of every point among `nodes` (at least two) and the weight of the upper one, extrapolating."""
    low = np.empty(points.size, np.int64)
    weight = np.empty(points.size)
    for i in range(points.size):
        low[i] = min(max(np.searchsorted(nodes, points[i], side="right") - 1, 0), nodes.size - 2)
        weight[i] = (points[i] - nodes[low[i]]) / (nodes[low[i] + 1] - nodes[low[i]])
    return low, weight


@njit(nogil=True, cache=True)
def interpolate_logarithms(logs, low_y, weight_y, low_x, weight_x):
    """Bilinear interpolation of logarithms in which an empty node (minus infinity) stays empty and reaches no further.

    A point whose nearest node is empty is empty; at other points empty nodes are left out and the weights of the others
    scaled up.

    Parameters
    ----------
    logs : numpy.ndarray (ny, nx, e)
    low_y, weight_y : numpy.ndarray (my,)
        Lower neighbours and weights of the upper ones, from `bracket`.
    low_x, weight_x : numpy.ndarray (mx,)

    Returns
    -------
    numpy.ndarray (my, mx, e)
    """
    n_energy = logs.shape[2]
    result = np.empty((low_y.size, low_x.size, n_energy))
    for j in range(low_y.size):
        y, v = low_y[j], weight_y[j]
        for i in range(low_x.size):
            x, w = low_x[i], weight_x[i]
            a, b, c, d = logs[y, x], logs[y, x + 1], logs[y + 1, x], logs[y + 1, x + 1]
            out = result[j, i]
            for e in range(n_energy):
                out[e] = (1.0 - v) * ((1.0 - w) * a[e] + w * b[e]) + v * ((1.0 - w) * c[e] + w * d[e])
            for e in range(n_energy):
                if not math.isfinite(out[e]):
                    out[e] = _without_empty(a[e], b[e], c[e], d[e], min(max(v, 0.0), 1.0), min(max(w, 0.0), 1.0))
    return result


@njit(nogil=True, cache=True)
def _without_empty(a, b, c, d, v, w):
    top = c if w < 0.5 else d
    bottom = a if w < 0.5 else b
    nearest = bottom if v < 0.5 else top
    if not math.isfinite(nearest):
        return -math.inf
    total = 0.0
    value = 0.0
    for log, weight in ((a, (1.0 - v) * (1.0 - w)), (b, (1.0 - v) * w), (c, v * (1.0 - w)), (d, v * w)):
        if math.isfinite(log):
            total += weight
            value += weight * log
    return value / total


@njit(nogil=True, cache=True)
def add_power_laws(values, nodes, cuts, target, left, own, result):
    """Add the integrals of densities that are power laws between energies to the bins of `result`.

    Parameters
    ----------
    values : numpy.ndarray (n, m)
        Densities at `nodes`, not negative; zero is an empty bin.
    nodes : numpy.ndarray (n,)
        Energies.
    cuts : numpy.ndarray (c + 1,)
        Energies that cut the range into intervals of one power law, one bin of the table and one of the result.
    target, left, own : numpy.ndarray (c,)
        For every interval the bin of the result, the node below, and the bin of the table.
    result : numpy.ndarray (e, m)
        Added to in place. In an empty bin there is nothing, next to one the density is constant.
    """
    n_columns = values.shape[1]
    slopes = np.zeros(n_columns)
    both = np.zeros(n_columns, np.bool_)
    at_low = np.zeros(n_columns)
    previous = -1
    for c in range(target.size):
        low, high, i, j, k = cuts[c], cuts[c + 1], left[c], own[c], target[c]
        width = math.log(high / low)
        fresh = i != previous
        if fresh:
            span = math.log(nodes[i + 1] / nodes[i])
            start = math.log(low / nodes[i])
            for m in range(n_columns):
                both[m] = values[i, m] > 0.0 and values[i + 1, m] > 0.0
                if both[m]:
                    slopes[m] = math.log(values[i + 1, m] / values[i, m]) / span
                    at_low[m] = values[i, m] * math.exp(slopes[m] * start)
        previous = i
        for m in range(n_columns):
            if not both[m]:
                result[k, m] += values[j, m] * (high - low)
                continue
            exponent = (slopes[m] + 1.0) * width
            at_high = at_low[m] * math.exp(slopes[m] * width)
            if abs(exponent) > 1e-3:
                result[k, m] += (high * at_high - low * at_low[m]) / (slopes[m] + 1.0)
            else:
                series = 1.0 + exponent * (0.5 + exponent * (1.0 / 6.0 + exponent / 24.0))
                result[k, m] += low * at_low[m] * width * series
            at_low[m] = at_high
