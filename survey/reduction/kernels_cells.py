"""Kernels of the response cells: numerators of PSF and energy dispersion. NumPy arrays in, NumPy arrays changed in place.

Shapes as in `survey.reduction.kernels_contribution`.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from survey.reduction.kernels_angles import offset_of
from survey.reduction.kernels_contribution import ROUND, effective_area_at, offset_position

EMPTY, WHOLE, MIXED = 0, 1, 2
"""A bin is safe in none, in all, in some of a cell's pixels that are safe in any bin."""


@njit(nogil=True, cache=True)
def cell_states(safe_pixels, safe_bins, box, cell, safe, partial, states, counts):
    """Tell whether every bin is safe in none, in all, or in some of the safe pixels of a cell.

    Parameters
    ----------
    safe_pixels, safe_bins : numpy.ndarray (y, x), (e, y, x) bool
    box : tuple of int
        Of `survey.reduction.kernels_angles.select_pixels`.
    cell : int
        Pixels along the side of a cell.
    safe, partial : numpy.ndarray (e,) bool
        Bins in the safe range of energies, and those of them that are not safe in every selected pixel.
    states : numpy.ndarray (e, v, u) int8
        Filled.
    counts : numpy.ndarray (v, u) int64
        Filled with the number of safe pixels.

    Returns
    -------
    int
        Number of cells with a mixed bin.
    """
    y_start, y_stop, x_start, x_stop = box
    counts[:] = 0
    states[:] = EMPTY
    n_mixed = 0
    for j in range(y_start, y_stop):
        for i in range(x_start, x_stop):
            counts[j // cell, i // cell] += safe_pixels[j, i]
    for v in range(counts.shape[0]):
        for u in range(counts.shape[1]):
            if counts[v, u] == 0:
                continue
            mixed = False
            for e in range(safe.size):
                if not safe[e]:
                    continue
                if not partial[e]:
                    states[e, v, u] = WHOLE
                    continue
                in_bin = 0
                for j in range(max(v * cell, y_start), min((v + 1) * cell, y_stop)):
                    for i in range(max(u * cell, x_start), min((u + 1) * cell, x_stop)):
                        in_bin += safe_bins[e, j, i]
                if in_bin == counts[v, u]:
                    states[e, v, u] = WHOLE
                elif in_bin > 0:
                    states[e, v, u] = MIXED
                    mixed = True
            n_mixed += mixed
    return n_mixed


@njit(nogil=True, cache=True)
def mixed_sums(vectors, safe_bins, box, weights, centers, nodes, aeff, cell, states, rows, sums):
    """Sum the effective area over the pixels of cells in which a bin is safe only in part.

    Parameters
    ----------
    vectors, safe_bins, box, weights, centers, nodes, aeff, cell
        As of `survey.reduction.kernels_contribution.add_exposure`.
    states : numpy.ndarray (e, v, u) int8
        Of `cell_states`.
    rows : numpy.ndarray (v, u) int64
        Filled: row of `sums` for a cell with a mixed bin, -1 for others.
    sums : numpy.ndarray (n, t, e)
        Filled for the mixed bins; zero before.
    """
    y_start, y_stop, x_start, x_stop = box
    n_true, n_energy = aeff.shape[1], safe_bins.shape[0]
    area = np.empty(n_true)
    n = 0
    for v in range(states.shape[1]):
        for u in range(states.shape[2]):
            rows[v, u] = -1
            for e in range(n_energy):
                if states[e, v, u] == MIXED:
                    rows[v, u] = n
            if rows[v, u] < 0:
                continue
            n += 1
            for j in range(max(v * cell, y_start), min((v + 1) * cell, y_stop)):
                for i in range(max(u * cell, x_start), min((u + 1) * cell, x_stop)):
                    area[:] = 0.0
                    for k in range(weights.size):
                        offset = offset_of(vectors[0, j, i], vectors[1, j, i], vectors[2, j, i], centers[k])
                        if nodes[0] <= offset <= nodes[nodes.size - 1]:
                            low, upper = offset_position(offset, nodes)
                            for t in range(n_true):
                                area[t] += weights[k] * effective_area_at(aeff, t, low, upper)
                    for e in range(n_energy):
                        if states[e, v, u] == MIXED and safe_bins[e, j, i]:
                            for t in range(n_true):
                                sums[rows[v, u], t, e] += area[t]


@njit(nogil=True, cache=True)
def cell_means(cell_sums, n_pixels, livetime, means):
    """Mean exposure over the pixels on the sky that a cell has, m2 s, from sums of the effective area, (v, u, t) each."""
    for v in range(cell_sums.shape[0]):
        for u in range(cell_sums.shape[1]):
            if n_pixels[v, u] > 0:
                for t in range(cell_sums.shape[2]):
                    means[v, u, t] = cell_sums[v, u, t] * livetime / n_pixels[v, u]


@njit(nogil=True, cache=True)
def cell_positions(cell_vectors, used, centers, nodes, low, upper):
    """Nodes and weights (k, v, u) at the centres of the cells that are used; outside the nodes the nearest one holds."""
    for k in range(centers.shape[0]):
        for v in range(cell_vectors.shape[1]):
            for u in range(cell_vectors.shape[2]):
                low[k, v, u], upper[k, v, u] = 0, 0.0
                if used[v, u] > 0:
                    offset = offset_of(cell_vectors[0, v, u], cell_vectors[1, v, u], cell_vectors[2, v, u], centers[k])
                    offset = min(max(offset, nodes[0]), nodes[nodes.size - 1])
                    low[k, v, u], upper[k, v, u] = offset_position(offset, nodes)


@njit(nogil=True, cache=True)
def step_shares(weights, low, upper, aeff, shares):
    """Share of the time steps in the exposure at the centres of the cells, (k, v, u, t); without exposure, in the time."""
    n_steps, n_v, n_u, n_true = shares.shape
    for v in range(n_v):
        for u in range(n_u):
            for t in range(n_true):
                total = 0.0
                for k in range(n_steps):
                    shares[k, v, u, t] = weights[k] * effective_area_at(aeff, t, low[k, v, u], upper[k, v, u])
                    total += shares[k, v, u, t]
                for k in range(n_steps):
                    shares[k, v, u, t] = shares[k, v, u, t] / total if total > 0.0 else weights[k]


@njit(nogil=True, cache=True)
def add_means(means, used, quantum, irf_exposure):
    """Add mean exposures (v, u, t) to the denominators (t, v, u)."""
    for v in range(used.shape[0]):
        for u in range(used.shape[1]):
            if used[v, u] > 0:
                for t in range(quantum.size):
                    irf_exposure[t, v, u] += ((means[v, u, t] / quantum[t] + ROUND) - ROUND) * quantum[t]


@njit(nogil=True, cache=True)
def _response_at(response, t, single, shares, v, u, low, upper, values):
    """Fill `values` with a response (o, t, ...) at the centre of a cell, weighted over the time steps."""
    for k in range(low.shape[0]):
        weight = upper[k, v, u]
        a, b = response[low[k, v, u], t], response[low[k, v, u] + 1, t]
        if single:
            for r in range(values.size):
                values[r] = (1.0 - weight) * a[r] + weight * b[r]
        else:
            share = shares[k, v, u, t]
            for r in range(values.size):
                here = share * ((1.0 - weight) * a[r] + weight * b[r])
                values[r] = here if k == 0 else values[r] + here


@njit(nogil=True, cache=True)
def add_psf(means, used, shares, low, upper, psf, quantum, psf_exposure):
    """Add exposure times PSF.

    Parameters
    ----------
    means, used : numpy.ndarray (v, u, t), (v, u)
        Mean exposure of the cells, m2 s, and the number of their safe pixels.
    shares : numpy.ndarray (k, v, u, t)
        Of the time steps; empty for a single one.
    low, upper : numpy.ndarray (k, v, u)
        Of `cell_positions`, for the nodes of `psf`.
    psf : numpy.ndarray (o, t, r)
        sr-1.
    quantum : numpy.ndarray (t,)
        Powers of two.
    psf_exposure : numpy.ndarray (t, r, v, u)
        Added to, m2 s sr-1.
    """
    single = shares.size == 0
    n_true, n_rad = psf.shape[1], psf.shape[2]
    n_v, n_u = used.shape
    v_start, v_stop = _used_rows(used)
    row = np.empty(n_rad)
    values = np.zeros((n_rad, n_v, n_u))
    for t in range(n_true):
        for v in range(v_start, v_stop):
            for u in range(n_u):
                if used[v, u] > 0:
                    _response_at(psf, t, single, shares, v, u, low, upper, row)
                    scale = means[v, u, t] / quantum[t]
                    for r in range(n_rad):
                        values[r, v, u] = ((row[r] * scale + ROUND) - ROUND) * quantum[t]
        _add_rows(values, v_start, v_stop, psf_exposure[t])


@njit(nogil=True, cache=True)
def _used_rows(used):
    """Half-open range of the rows with a cell that is used."""
    start, stop = used.shape[0], 0
    for v in range(used.shape[0]):
        for u in range(used.shape[1]):
            if used[v, u] > 0:
                start, stop = min(start, v), v + 1
    return start, stop


@njit(nogil=True, cache=True)
def _add_rows(values, start, stop, out):
    """Add rows of `values` (n, v, u) to `out` of the same shape."""
    for r in range(values.shape[0]):
        for v in range(start, stop):
            for u in range(values.shape[2]):
                out[r, v, u] += values[r, v, u]


@njit(nogil=True, cache=True)
def add_dispersion(
    means, used, states, rows, sums, n_pixels, livetime, shares, low, upper, edisp, quantum, edisp_exposure
):
    """Add exposure in the safe range times energy dispersion.

    Parameters
    ----------
    means, used, shares, low, upper
        As of `add_psf`, `low` and `upper` for the nodes of `edisp`.
    states, rows, sums
        Of `cell_states` and `mixed_sums`.
    n_pixels : numpy.ndarray (v, u)
        Pixels on the sky that a cell has.
    livetime : float
        s.
    edisp : numpy.ndarray (o, t, e)
    quantum : numpy.ndarray (t,)
        Powers of two.
    edisp_exposure : numpy.ndarray (t, e, v, u)
        Added to, m2 s.
    """
    single = shares.size == 0
    n_true, n_energy = edisp.shape[1], edisp.shape[2]
    n_v, n_u = used.shape
    v_start, v_stop = _used_rows(used)
    row = np.empty(n_energy)
    values = np.zeros((n_energy, n_v, n_u))
    for t in range(n_true):
        for v in range(v_start, v_stop):
            for u in range(n_u):
                if used[v, u] == 0:
                    continue
                _response_at(edisp, t, single, shares, v, u, low, upper, row)
                for e in range(n_energy):
                    state = states[e, v, u]
                    mean = means[v, u, t] if state == WHOLE else 0.0
                    if state == MIXED:
                        mean = sums[rows[v, u], t, e] * livetime / n_pixels[v, u]
                    values[e, v, u] = ((row[e] * mean / quantum[t] + ROUND) - ROUND) * quantum[t]
        _add_rows(values, v_start, v_stop, edisp_exposure[t])
