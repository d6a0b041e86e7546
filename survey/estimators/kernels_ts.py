"""Array functions of the TS map: the likelihood of one norm at every pixel of a row.

The bins of a window are fitted against template x scale, where the scale belongs to the source's pixel. Only bins with
counts are visited one by one, through a sparse table sorted by row, then column, then energy; sums of the template over
all bins come from tables of the safe range, or from a dense loop where that range ends within the window.

Layouts put energy last, so that a window's row of (x, energy) is one run of numbers, in the order of a template's row:
window arrays are (y, x, energy), templates (cell, y, x, energy). Templates change from cell to cell along x between
`left` and `right` with weight `share`; along y `blend` has already brought them to the row.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from survey.fitting.kernels_norm import asimov_norm, norm_moments, pole_of, profile_up, solve_norm, sum_log

_FAST = {"reassoc", "contract", "nsz"}
"""What may be reordered, so that sums are vectorised. All that calls such sums and is called by another kernel is forced
inline: else a process that compiles and one that loads the compiled code run two copies, whose orders may differ."""

NORM, NORM_ERR, TS, TOTAL, NITER, SUCCESS, ERRN, ERRP, UL, SENSITIVITY = range(10)
"""Rows of the result: norm, its error, TS, template's sum, iterations, convergence, and the optional quantities."""
N_RESULTS = 10
NO_CURVATURE = 10.0
"""A symmetric error this many times sqrt(counts) over the template's sum says nothing."""
FURTHEST = 100.0
"""The error downwards is looked for this many symmetric errors below the norm, and no further."""


@njit(nogil=True, cache=True)
def _repeat(scale, factor, ready):
    """Repeat the pixel's scale over a row of the template, unless it is there already; returns True."""
    if not ready:
        ne = scale.size
        for k in range(0, factor.size, ne):
            for e in range(ne):
                factor[k + e] = scale[e]
    return True


# The next functions go through all bins of a window. `first` and `second` are the templates of the cells on both sides
# of the pixel, shape (y, x * energy); `factor` is the pixel's scale, repeated for every x of a row; the rows of the
# window's arrays are flat too and begin at `place`.


@njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST, forceinline=True)
def _weighted_sum(first, second, share, factor, weight, y, place):
    """Sum of the template over the window, times a weight."""
    total = 0.0
    for dy in range(first.shape[0]):
        a = first[dy]
        b = second[dy]
        w = weight[y + dy, place : place + factor.size]
        for k in range(factor.size):
            total += ((1.0 - share) * a[k] + share * b[k]) * (w[k] * factor[k])
    return total


@njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST, forceinline=True)
def _lowest_norm(attempt, first, second, share, factor, inverse, y, place, steepest):
    """The least norm not below `attempt` with which no bin of the window is predicted negative.

    `steepest` is scratch of the size of `factor`: greatest template over background, column by column, as a single
    maximum does not vectorise.
    """
    steepest[:] = 0.0
    for dy in range(first.shape[0]):
        a = first[dy]
        b = second[dy]
        w = inverse[y + dy, place : place + factor.size]
        for k in range(factor.size):
            value = ((1.0 - share) * a[k] + share * b[k]) * w[k]
            steepest[k] = value if value > steepest[k] else steepest[k]
    greatest = 0.0
    for k in range(factor.size):
        greatest = max(greatest, steepest[k] * factor[k])
    return max(attempt, -1.0 / greatest) if greatest > 0.0 else max(attempt, 0.0)


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def _list_bins(steepness, first, second, share, factor, weight, background, y, place, template, expected):
    """Template and background of the bins of the window whose ratio is above `steepness`; returns how many.

    Bins without background are left out.
    """
    n = 0
    for dy in range(first.shape[0]):
        a = first[dy]
        b = second[dy]
        w = weight[y + dy, place : place + factor.size]
        m = background[y + dy, place : place + factor.size]
        for k in range(factor.size):
            value = ((1.0 - share) * a[k] + share * b[k]) * (w[k] * factor[k])
            if value > steepness * m[k] and m[k] > 0.0:
                template[n] = value
                expected[n] = m[k]
                n += 1
    return n


@njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST, forceinline=True)
def _negative_bins(norm, template, expected, size):
    """What bins would be predicted below zero, and the sum of the template over these."""
    missing = 0.0
    slope = 0.0
    for k in range(size):
        npred = expected[k] + norm * template[k]
        missing -= npred if npred < 0.0 else 0.0
        slope += template[k] if npred < 0.0 else 0.0
    return missing, slope


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def _error_down(best, sigma, n_sigma, total, r, c, n, rtol, max_niter, work, exponent, steep):
    """How far below `best` the statistic has risen by n_sigma**2, where negative predictions count as none.

    Predictions that count as none may leave the statistic without a rise before the template's faintest wing: the
    distance ends at `FURTHEST` errors.

    Parameters
    ----------
    best, sigma, n_sigma, total, r, c, n, rtol, max_niter, work, exponent : float, arrays of float64, int
        As in `profile_up`; `n` is at least one.
    steep : tuple
        Template and background of the bins that may be predicted negative, and their number.
    """
    template, expected, m = steep
    start = sum_log(best, r, c, n, work, exponent)
    low = 0.0
    # the logarithm of a bin with counts has no end there
    high = min(best - pole_of(r, c, n)[0], FURTHEST * n_sigma * sigma)
    distance = min(n_sigma * sigma, 0.5 * high)
    for _ in range(max_niter):
        norm = best - distance
        missing, less = _negative_bins(norm, template, expected, m)
        value = start - distance * total + missing - sum_log(norm, r, c, n, work, exponent) - 0.5 * n_sigma * n_sigma
        slope = norm_moments(norm, r, c, n)[0] - total + less
        if value > 0.0:
            high = distance
        else:
            low = distance
        new = distance - value / slope if slope > 0.0 else low
        if not low < new < high:
            new = 0.5 * (low + high)
        step = abs(new - distance)
        distance = new
        if step <= rtol * distance:
            break
    return distance


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"}, forceinline=True)
def _gather(low, high, filled, first_row, first, second, share, scale, x, size, r, c):
    """Template over background, and counts, of the bins with counts in a window; returns how many.

    `low` and `high` hold where the window begins and ends in each row of the sparse table; they move on with x.
    Unsigned indices spare the test for negative ones.
    """
    start, column, key, energy, count, ratio = filled
    n = 0
    begin = x * scale.size
    for dy in range(size):
        end = start[first_row + dy + 1]
        a = low[dy]
        while a < end and column[a] < x:
            a += 1
        low[dy] = a
        b = max(high[dy], a)
        while b < end and column[b] < x + size:
            b += 1
        high[dy] = b
        above = first[dy]
        beyond = second[dy]
        keys = key[a:b]
        energies = energy[a:b]
        ratios = ratio[a:b]
        counts = count[a:b]
        r_out = r[n : n + b - a]
        c_out = c[n : n + b - a]
        for k in range(keys.size):
            i = np.uint64(keys[k] - begin)
            value = (1.0 - share) * above[i] + share * beyond[i]
            r_out[k] = value * (scale[np.uint64(energies[k])] * ratios[k])
        for k in range(counts.size):
            c_out[k] = counts[k]
        n += b - a
    return n


@njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST, forceinline=True)
def _sum(values, size):
    """Sum of the first `size` values."""
    total = 0.0
    for i in range(size):
        total += values[i]
    return total


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def _plain_sum(sums, left, right, share, scale, safe, y, x, size):
    """Sum of the template over the window if all of it is safe, or nothing is, in every energy; else -1."""
    total = 0.0
    area = size * size
    for e in range(scale.size):
        inside = safe[y + size, x + size, e] - safe[y, x + size, e] - safe[y + size, x, e] + safe[y, x, e]
        if inside == area:
            total += scale[e] * ((1.0 - share) * sums[left, e] + share * sums[right, e])
        elif inside > 0 and scale[e] > 0.0:
            return -1.0
    return total


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def fit_row(y, valid, filled, window, templates, cells, source, choice, out):
    """Fit the norm at every pixel of a row.

    Parameters
    ----------
    y : int
        First row of the windows, whose middle is the row of pixels; the first pixel's window begins at column zero.
    valid : array of bool
        Pixels to fit, shape (x,).
    filled : tuple
        Sparse table: start (per row), column, key, energy (int64), count, ratio (float64); see `list_filled`.
    window : tuple
        weight, inverse, background (y, x, energy); inverse_peak (x, energy), the greatest `inverse` in each pixel's
        window; safe (y + 1, x + 1, energy), cumulative number of safe pixels, used if the flag that follows says that
        weights are one or zero.
    templates : tuple
        templates of the row (cell, y, x, energy), their sums and maxima (cell, energy).
    cells : tuple
        left, right (int64) and share (float64) of every pixel.
    source : array of float64
        Scale of the template at every pixel, shape (x, energy).
    choice : tuple
        rtol, max_niter, n_sigma, n_sigma_ul, n_sigma_sensitivity, threshold (NaN: none), and three flags: errors of
        both sides, upper limit, sensitivity.
    out : array of float64
        Shape (N_RESULTS, x); written where `valid`.
    """
    start = filled[0]
    weight, inverse, background, inverse_peak, safe, plain = window
    rows, sums, peaks = templates
    left, right, shares = cells
    rtol, max_niter, n_sigma, n_sigma_ul, n_sigma_sensitivity, threshold, both_sides, limits, sensitivity = choice
    size = rows.shape[1]
    ne = rows.shape[3]
    templates_flat = rows.reshape(rows.shape[0], size, size * ne)
    weight_flat = weight.reshape(weight.shape[0], weight.shape[1] * ne)
    inverse_flat = inverse.reshape(weight.shape[0], weight.shape[1] * ne)
    background_flat = background.reshape(weight.shape[0], weight.shape[1] * ne)
    most = start[y + size] - start[y]
    r = np.empty(most)
    c = np.empty(most)
    work = np.empty(most)
    exponent = np.empty(most)
    every_template = np.empty(size * size * ne if sensitivity or both_sides else 0)
    every_background = np.empty(every_template.size)
    factor = np.empty(size * ne)
    steepest = np.empty(size * ne)
    low = start[y : y + size].copy()
    high = low.copy()

    for x in range(valid.size):
        if not valid[x]:
            continue
        share = shares[x]
        first = templates_flat[left[x]]
        second = templates_flat[right[x]]
        scale = source[x]
        place = x * ne
        reach = 0.0
        for e in range(ne):
            peak = (1.0 - share) * peaks[left[x], e] + share * peaks[right[x], e]
            reach = max(reach, scale[e] * peak * inverse_peak[x, e])
        ready = False
        total = _plain_sum(sums, left[x], right[x], share, scale, safe, y, x, size) if plain else -1.0
        if total < 0.0:
            ready = _repeat(scale, factor, ready)
            total = _weighted_sum(first, second, share, factor, weight_flat, y, place)
        out[TOTAL, x] = total
        if not total > 0.0:
            continue
        n = _gather(low, high, filled, y, first, second, share, scale, x, size, r, c)
        if not _sum(r, n) > 0.0:
            n = 0
            ready = _repeat(scale, factor, ready)
            norm = _lowest_norm(-np.inf, first, second, share, factor, inverse_flat, y, place, steepest)
            niter, success, curvature = 0, True, 0.0
        else:
            steps = max_niter
            if threshold == threshold:
                norm, niter, success, curvature = solve_norm(total, r, c, n, rtol, 1)
                if 2.0 * (sum_log(norm, r, c, n, work, exponent) - norm * total) < threshold:
                    steps = 0
                    success = True
            if steps > 0:
                norm, niter, success, curvature = solve_norm(total, r, c, n, rtol, steps)
            if norm < 0.0 and -norm * reach > 1.0:
                ready = _repeat(scale, factor, ready)
                lowest = _lowest_norm(norm, first, second, share, factor, inverse_flat, y, place, steepest)
                if lowest > norm:
                    norm = lowest
                    curvature = norm_moments(norm, r, c, n)[1]
                    # Where the statistic is least its error is at most sqrt(counts) / total. Here it still falls, and counts in
                    # the faint wing of the template alone leave it without curvature: its rise is an error.
                    if math.sqrt(_sum(c, n) * curvature) * NO_CURVATURE < total:
                        sigma = profile_up(norm, 0.5 / total, n_sigma, total, r, c, n, rtol, max_niter, work, exponent)
                        curvature = (n_sigma / sigma) ** 2
        likelihood = -norm * total
        if n > 0:
            likelihood += sum_log(norm, r, c, n, work, exponent)
            error = 1.0 / math.sqrt(curvature)
        else:
            # without counts there is no curvature: the distance to a rise of one
            error = 0.5 / total
        out[NORM, x] = norm
        out[NORM_ERR, x] = n_sigma * error
        out[TS, x] = max(2.0 * likelihood, 0.0)
        out[NITER, x] = niter
        out[SUCCESS, x] = 1.0 if success else 0.0
        if both_sides or sensitivity:
            ready = _repeat(scale, factor, ready)
        bins = (first, second, share, factor, weight_flat, background_flat, y, place)
        if both_sides:
            out[ERRP, x] = profile_up(norm, error, n_sigma, total, r, c, n, rtol, max_niter, work, exponent)
            out[ERRN, x] = out[ERRP, x]
            if n > 0:
                pole = pole_of(r, c, n)[0]
                m = _list_bins(-1.0 / pole, *bins, every_template, every_background) if -pole * reach > 1.0 else 0
                steep = (every_template, every_background, m)
                out[ERRN, x] = _error_down(norm, error, n_sigma, total, r, c, n, rtol, max_niter, work, exponent, steep)
        if limits:
            out[UL, x] = norm + profile_up(norm, error, n_sigma_ul, total, r, c, n, rtol, max_niter, work, exponent)
        if sensitivity:
            m = _list_bins(0.0, *bins, every_template, every_background)
            out[SENSITIVITY, x] = (
                asimov_norm(n_sigma_sensitivity, every_template, every_background, m, rtol, max_niter)
                if m > 0
                else np.nan
            )
