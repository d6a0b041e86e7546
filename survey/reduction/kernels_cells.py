"""Kernels of the response cells: numerators of PSF and energy dispersion. NumPy arrays in, NumPy arrays changed in place.

Shapes as in `survey.reduction.kernels_contribution`.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from survey.reduction.kernels_contribution import effective_area_at, offset_of, offset_position

EMPTY, WHOLE, MIXED = 0, 1, 2
"""A bin is safe in none, in all, in some of a cell's pixels that are safe in any bin."""


@njit(nogil=True, cache=True)
def cell_states(safe_pixels, safe_bins, box, cell, states, counts):
    """Tell whether every bin is safe in none, in all, or in some of the safe pixels of a cell.

    Parameters
    ----------
    safe_pixels, safe_bins : numpy.ndarray (y, x), (e, y, x) bool
    box : tuple of int
        Of `survey.reduction.kernels_contribution.select_pixels`.
    cell : int
        Pixels along the side of a cell.
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
    if y_start >= y_stop or x_start >= x_stop:
        return 0
    n_energy = safe_bins.shape[0]
    n_mixed = 0
    in_bin = np.empty(n_energy, np.int64)
    for v in range(y_start // cell, (y_stop - 1) // cell + 1):
        for u in range(x_start // cell, (x_stop - 1) // cell + 1):
            in_bin[:] = 0
            total = 0
            for j in range(max(v * cell, y_start), min((v + 1) * cell, y_stop)):
                for i in range(max(u * cell, x_start), min((u + 1) * cell, x_stop)):
                    if safe_pixels[j, i]:
                        total += 1
            counts[v, u] = total
            if total == 0:
                continue
            mixed = False
            for e in range(n_energy):
                for j in range(max(v * cell, y_start), min((v + 1) * cell, y_stop)):
                    for i in range(max(u * cell, x_start), min((u + 1) * cell, x_stop)):
                        in_bin[e] += safe_bins[e, j, i]
                if in_bin[e] == total:
                    states[e, v, u] = WHOLE
                elif in_bin[e] > 0:
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
    n_true, n_energy = aeff.shape[0], safe_bins.shape[0]
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
    """Mean exposure over the pixels on the sky that a cell has, m2 s, from sums of the effective area (t, v, u)."""
    for t in range(cell_sums.shape[0]):
        for v in range(cell_sums.shape[1]):
            for u in range(cell_sums.shape[2]):
                if cell_sums[t, v, u] > 0.0:
                    means[t, v, u] = cell_sums[t, v, u] * livetime / n_pixels[v, u]


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
    """Share of the time steps in the exposure at the centres of the cells, (k, t, v, u); without exposure, in the time."""
    n_steps, n_true, n_v, n_u = shares.shape
    for t in range(n_true):
        for v in range(n_v):
            for u in range(n_u):
                total = 0.0
                for k in range(n_steps):
                    shares[k, t, v, u] = weights[k] * effective_area_at(aeff, t, low[k, v, u], upper[k, v, u])
                    total += shares[k, t, v, u]
                for k in range(n_steps):
                    shares[k, t, v, u] = shares[k, t, v, u] / total if total > 0.0 else weights[k]


@njit(nogil=True, cache=True)
def add_means(means, used, quantum, irf_exposure):
    """Add mean exposures (t, v, u) to the denominators."""
    for t in range(means.shape[0]):
        for v in range(means.shape[1]):
            for u in range(means.shape[2]):
                if used[v, u] > 0:
                    irf_exposure[t, v, u] += np.rint(means[t, v, u] / quantum[t]) * quantum[t]


@njit(nogil=True, cache=True)
def add_psf(means, used, shares, low, upper, psf, quantum, psf_exposure):
    """Add exposure times PSF.

    Parameters
    ----------
    means, used : numpy.ndarray (t, v, u), (v, u)
        Mean exposure of the cells, m2 s, and the number of their safe pixels.
    shares : numpy.ndarray (k, t, v, u)
        Of the time steps; empty for a single one.
    low, upper : numpy.ndarray (k, v, u)
        Of `cell_positions`, for the nodes of `psf`.
    psf : numpy.ndarray (t, r, o)
        sr-1.
    quantum : numpy.ndarray (t,)
        Powers of two.
    psf_exposure : numpy.ndarray (t, r, v, u)
        Added to, m2 s sr-1.
    """
    single = shares.size == 0
    for t in range(psf.shape[0]):
        for r in range(psf.shape[1]):
            for v in range(used.shape[0]):
                for u in range(used.shape[1]):
                    if used[v, u] > 0:
                        value = 0.0
                        for k in range(low.shape[0]):
                            w, o = upper[k, v, u], low[k, v, u]
                            here = (1.0 - w) * psf[t, r, o] + w * psf[t, r, o + 1]
                            value += here if single else shares[k, t, v, u] * here
                        psf_exposure[t, r, v, u] += np.rint(value * means[t, v, u] / quantum[t]) * quantum[t]


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
    edisp : numpy.ndarray (t, e, o)
    quantum : numpy.ndarray (t,)
        Powers of two.
    edisp_exposure : numpy.ndarray (t, e, v, u)
        Added to, m2 s.
    """
    single = shares.size == 0
    for t in range(edisp.shape[0]):
        for e in range(edisp.shape[1]):
            for v in range(used.shape[0]):
                for u in range(used.shape[1]):
                    state = states[e, v, u]
                    if state == EMPTY:
                        continue
                    mean = means[t, v, u]
                    if state == MIXED:
                        mean = sums[rows[v, u], t, e] * livetime / n_pixels[v, u]
                    value = 0.0
                    for k in range(low.shape[0]):
                        w, o = upper[k, v, u], low[k, v, u]
                        here = (1.0 - w) * edisp[t, e, o] + w * edisp[t, e, o + 1]
                        value += here if single else shares[k, t, v, u] * here
                    edisp_exposure[t, e, v, u] += np.rint(value * mean / quantum[t]) * quantum[t]
