"""Kernels of the contribution of an observation to a window of pixels. NumPy arrays in, NumPy arrays changed in place.

Every value is scalar arithmetic on its own pixel or response cell, so that it has the same bits in whichever window it is
computed. Floating sums are rounded to a multiple of the variable's quantum before they are added, which makes adding exact.

Shapes: ``e`` bins of reconstructed energy, ``t`` of true energy, ``r`` of distance in the PSF, ``k`` time steps, ``o`` nodes
in offset, ``y, x`` pixels, ``v, u`` response cells.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from survey.reduction.kernels_angles import camera_position, fill_camera, fill_offsets, offset_of

ROUND = 1.5 * 2.0**52
"""Added to a number below 2**51 and taken off again, it rounds it to a whole one, halves to even; and it vectorises."""


@njit(nogil=True, cache=True)
def background_rates(vectors, weights, frames, lattice, radial, x0, y0, per_x, per_y, energy, rates):
    """Background rate in single directions and bins of energy.

    Parameters
    ----------
    vectors : numpy.ndarray (3, n)
        Directions.
    weights, frames : numpy.ndarray (k,), (k, 3, 3)
        Fraction of the time; pointing, direction of camera x and of camera y as rows.
    lattice, radial, x0, y0, per_x, per_y
        Of `survey.response.background.BackgroundLattice`; steps per degree.
    energy : numpy.ndarray (n,)
        Bins of reconstructed energy.
    rates : numpy.ndarray (n,)
        Filled, s-1 sr-1.
    """
    my, mx = lattice.shape[0], lattice.shape[1]
    for n in range(rates.size):
        total = 0.0
        for k in range(weights.size):
            a, b, c = vectors[0, n], vectors[1, n], vectors[2, n]
            if radial:
                x, y = offset_of(a, b, c, frames[k, 0]), 0.0
            else:
                x, y = camera_position(a, b, c, frames[k])
            x, y = (x - x0) * per_x, (y - y0) * per_y
            if 0.0 <= x <= mx - 1.0 and (radial or 0.0 <= y <= my - 1.0):
                lx, ly = min(int(x), mx - 2), max(min(int(y), my - 2), 0)
                wx, wy = x - lx, y - ly
                e, hy = energy[n], min(ly + 1, my - 1)
                total += weights[k] * (1.0 - wy) * (1.0 - wx) * lattice[ly, lx, e]
                total += weights[k] * (1.0 - wy) * wx * lattice[ly, lx + 1, e]
                total += weights[k] * wy * (1.0 - wx) * lattice[hy, lx, e]
                total += weights[k] * wy * wx * lattice[hy, lx + 1, e]
        rates[n] = total


@njit(nogil=True, cache=True)
def add_background(
    vectors,
    solid_angle,
    selected,
    box,
    weights,
    frames,
    lattice,
    radial,
    x0,
    y0,
    per_x,
    per_y,
    energies,
    filled,
    need_background,
    scale,
    quantum,
    want,
    background,
    safe_pixels,
    safe_bins,
    partial,
):
    """Add the expected background of an observation and mark its safe bins.

    Parameters
    ----------
    vectors, solid_angle : numpy.ndarray (3, y, x), (y, x)
        Of the pixels.
    selected, box
        Of `select_pixels`.
    weights, frames, lattice, radial, x0, y0, per_x, per_y
        As of `background_rates`.
    energies : numpy.ndarray (n,)
        Bins in the safe range of energies; `lattice` has these only.
    filled : numpy.ndarray (n,) bool
        Bins that have background on the whole lattice.
    need_background : bool
        Whether a bin without background is not safe.
    scale : numpy.ndarray (e,)
        Ontime times normalisation, s.
    quantum : numpy.ndarray (e,)
        Powers of two.
    want : bool
        Whether to add to `background`; else only the masks are made.
    background : numpy.ndarray (e, y, x)
        Added to.
    safe_pixels : numpy.ndarray (y, x) bool
        Set where any bin is safe; False before.
    safe_bins : numpy.ndarray (e, y, x) bool
        Set where the bin is safe; False before.
    partial : numpy.ndarray (e,) bool
        Set for the bins in the safe range of energies that are not safe in all selected pixels; False before.
    """
    my, mx, n_energy = lattice.shape
    nx = selected.shape[1]
    # energies innermost where lattice nodes are combined, pixels innermost where sums are added: both are contiguous
    row = np.empty(n_energy)
    total = np.zeros((n_energy, nx))
    x = np.zeros(nx)
    y = np.zeros(nx)
    camera_x = np.zeros((weights.size, nx))
    camera_y = np.zeros((weights.size, nx))
    y_start, y_stop, x_start, x_stop = box
    for j in range(y_start, y_stop):
        first, last = x_stop, x_start
        for i in range(x_start, x_stop):
            if selected[j, i]:
                first, last = min(first, i), max(last, i + 1)
        for k in range(weights.size):
            if radial:
                fill_offsets(vectors, j, first, last, frames[k, 0], x)
            else:
                fill_camera(vectors, j, first, last, frames[k], x, y)
            for i in range(first, last):
                camera_x[k, i] = (x[i] - x0) * per_x
                camera_y[k, i] = (y[i] - y0) * per_y
        all_inside = True
        for i in range(first, last):
            inside = False
            for e in range(n_energy):
                row[e] = 0.0
            for k in range(weights.size if selected[j, i] else 0):
                at_x, at_y = camera_x[k, i], camera_y[k, i]
                if not (0.0 <= at_x <= mx - 1.0 and (radial or 0.0 <= at_y <= my - 1.0)):
                    continue
                inside = True
                lx, ly = min(int(at_x), mx - 2), max(min(int(at_y), my - 2), 0)
                wx, wy = at_x - lx, 0.0 if radial else at_y - ly
                hy = min(ly + 1, my - 1)
                a, b, c, d = lattice[ly, lx], lattice[ly, lx + 1], lattice[hy, lx], lattice[hy, lx + 1]
                wa, wb = weights[k] * (1.0 - wy) * (1.0 - wx), weights[k] * (1.0 - wy) * wx
                wc, wd = weights[k] * wy * (1.0 - wx), weights[k] * wy * wx
                for e in range(n_energy):
                    row[e] += wa * a[e] + wb * b[e] + wc * c[e] + wd * d[e]
            for e in range(n_energy):
                total[e, i] = row[e]
            all_inside &= inside or not selected[j, i]
        for n in range(n_energy):
            e, here = energies[n], total[n]
            marks = safe_bins[e, j]
            if not need_background or (filled[n] and all_inside):
                for i in range(first, last):
                    marks[i] = selected[j, i]
                    safe_pixels[j, i] |= selected[j, i]
            else:
                for i in range(first, last):
                    marks[i] = selected[j, i] and here[i] > 0.0
                    safe_pixels[j, i] |= marks[i]
                    partial[e] |= selected[j, i] and not marks[i]
            if want:
                # pixels that are not safe have no background: they add zero
                per_quantum, step = scale[e] / quantum[e], quantum[e]
                out = background[e, j]
                for i in range(first, last):
                    out[i] += ((here[i] * solid_angle[j, i] * per_quantum + ROUND) - ROUND) * step


@njit(nogil=True, cache=True)
def mark_safe(selected, box, safe, safe_pixels, safe_bins):
    """Mark the safe bins of an observation where no background is needed: parameters as of `add_background`."""
    y_start, y_stop, x_start, x_stop = box
    any_safe = False
    for e in range(safe.size):
        any_safe = any_safe or safe[e]
    for j in range(y_start, y_stop):
        for i in range(x_start, x_stop):
            safe_pixels[j, i] = selected[j, i] and any_safe
    for e in range(safe.size):
        if safe[e]:
            for j in range(y_start, y_stop):
                for i in range(x_start, x_stop):
                    safe_bins[e, j, i] = selected[j, i]


@njit(nogil=True, cache=True)
def sum_background(safe_bins, background, excluded, box, sums):
    """Sum (e, y, x) values over the safe bins of the pixels that are not excluded, row by row, into `sums` (e,)."""
    y_start, y_stop, x_start, x_stop = box
    for e in range(sums.size):
        total = 0.0
        for j in range(y_start, y_stop):
            row = 0.0
            for i in range(x_start, x_stop):
                if safe_bins[e, j, i] and not excluded[j, i]:
                    row += background[e, j, i]
            total += row
        sums[e] = total


@njit(nogil=True, cache=True)
def add_coverage(safe_pixels, safe_bins, box, livetime, n_safe, livetimes, n_observations):
    """Add an observation to `n_safe` (e, y, x), `livetimes` and `n_observations` (y, x); arrays without rows stay out."""
    y_start, y_stop, x_start, x_stop = box
    for j in range(y_start, y_stop):
        if livetimes.size > 0:
            for i in range(x_start, x_stop):
                livetimes[j, i] += livetime if safe_pixels[j, i] else 0.0
        if n_observations.size > 0:
            for i in range(x_start, x_stop):
                n_observations[j, i] += safe_pixels[j, i]
        for e in range(n_safe.shape[0]):
            for i in range(x_start, x_stop):
                n_safe[e, j, i] += safe_bins[e, j, i]


@njit(nogil=True, cache=True)
def add_events(energy, y, x, y0, x0, counts):
    """Add events to `counts` (e, y, x), whose first pixel is (y0, x0); returns how many fell inside."""
    n_added = 0
    for n in range(energy.size):
        j, i = y[n] - y0, x[n] - x0
        if 0 <= j < counts.shape[1] and 0 <= i < counts.shape[2]:
            counts[energy[n], j, i] += 1
            n_added += 1
    return n_added


@njit(nogil=True, cache=True)
def offset_position(offset, nodes):
    """Lower node and weight of the upper one at an offset between the first and the last node."""
    low = 0
    while low < nodes.size - 2 and offset >= nodes[low + 1]:
        low += 1
    return low, (offset - nodes[low]) / (nodes[low + 1] - nodes[low])


@njit(nogil=True, cache=True)
def effective_area_at(aeff, t, low, upper):
    """Effective area between two nodes, cut at zero."""
    return max((1.0 - upper) * aeff[low, t] + upper * aeff[low + 1, t], 0.0)


@njit(nogil=True, cache=True)
def add_exposure(
    vectors, safe_pixels, box, weights, centers, nodes, aeff, livetime, quantum, want, exposure, cell, cell_sums
):
    """Add the exposure of an observation, and sum it over response cells.

    Parameters
    ----------
    vectors : numpy.ndarray (3, y, x)
    safe_pixels : numpy.ndarray (y, x) bool
        Pixels that get exposure.
    box
        Of `select_pixels`.
    weights, centers : numpy.ndarray (k,), (k, 3)
        Fraction of the time and pointing.
    nodes, aeff : numpy.ndarray (o,), (o, t)
        Effective area, m2, at offsets, deg; cut at zero after the interpolation.
    livetime : float
        s.
    quantum : numpy.ndarray (t,)
        Powers of two.
    want : bool
        Whether to add to `exposure`.
    exposure : numpy.ndarray (t, y, x)
        Added to.
    cell : int
        Pixels along the side of a response cell; the window starts at a cell's edge.
    cell_sums : numpy.ndarray (v, u, t)
        Filled with sums over pixels, not rounded; zero before. May be empty: then it is left out.
    """
    n_true = aeff.shape[1]
    nx = safe_pixels.shape[1]
    row = np.empty(n_true)
    total = np.zeros((n_true, nx))
    offsets = np.zeros((weights.size, nx))
    sum_cells = cell_sums.size > 0
    y_start, y_stop, x_start, x_stop = box
    for j in range(y_start, y_stop):
        first, last = x_stop, x_start
        for i in range(x_start, x_stop):
            if safe_pixels[j, i]:
                first, last = min(first, i), max(last, i + 1)
        for k in range(weights.size):
            fill_offsets(vectors, j, first, last, centers[k], offsets[k])
        for i in range(first, last):
            for t in range(n_true):
                row[t] = 0.0
            if safe_pixels[j, i]:
                for k in range(weights.size):
                    offset = offsets[k, i]
                    if nodes[0] <= offset <= nodes[nodes.size - 1]:
                        low, upper = offset_position(offset, nodes)
                        a, b = aeff[low], aeff[low + 1]
                        for t in range(n_true):
                            area = (1.0 - upper) * a[t] + upper * b[t]
                            row[t] += weights[k] * (area if area > 0.0 else 0.0)
                if sum_cells:
                    cell_row = cell_sums[j // cell, i // cell]
                    for t in range(n_true):
                        cell_row[t] += row[t]
            for t in range(n_true):
                total[t, i] = row[t]
        if want:
            for t in range(n_true):
                per_quantum, step = livetime / quantum[t], quantum[t]
                here, out = total[t], exposure[t, j]
                for i in range(first, last):
                    out[i] += ((here[i] * per_quantum + ROUND) - ROUND) * step
