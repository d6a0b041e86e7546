"""Array functions of the TS map: the likelihood of one norm at every pixel of a row.

The bins of a window are fitted against template x scale, where the scale belongs to the source's pixel. Only bins with
counts are visited one by one, through a sparse table sorted by row, then column, then energy; sums of the template over
all bins come from tables of the safe range, or from a dense loop where that range ends within the window.

Layouts put x last, so that inner loops run over neighbouring numbers: window arrays are (y, energy, x), templates
(cell, y, energy, x). Templates change from cell to cell along x between `left` and `right` with weight `share`; along y
`blend` has already brought them to the row.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from survey.fitting.kernels_norm import asimov_norm, norm_moments, profile_up, solve_norm, sum_log

_FAST = {"reassoc", "contract", "nsz"}
_FASTER = {"reassoc", "contract", "nsz", "nnan"}
"""For maxima of numbers that are never NaN."""

NORM, NORM_ERR, TS, TOTAL, NITER, SUCCESS, ERRN, ERRP, UL, SENSITIVITY = range(10)
"""Rows of the result: norm, its error, TS, template's sum, iterations, convergence, and the optional quantities."""
N_RESULTS = 10


@njit(nogil=True, cache=True, fastmath={"contract"})
def blend(first, second, share, out):
    """(1 - share) first + share second, for flat arrays."""
    for i in range(out.size):
        out[i] = (1.0 - share) * first[i] + share * second[i]


@njit(nogil=True, cache=True)
def count_filled(counts, start):
    """Bins with counts in every row of a window: cumulative in `start`.

    Parameters
    ----------
    counts : array of float64
        Shape (y, energy, x).
    start : array of int64
        Shape (y + 1,); overwritten.
    """
    start[0] = 0
    for y in range(counts.shape[0]):
        filled = 0
        for e in range(counts.shape[1]):
            for x in range(counts.shape[2]):
                if counts[y, e, x] > 0.0:
                    filled += 1
        start[y + 1] = start[y] + filled


@njit(nogil=True, cache=True)
def list_filled(counts, inverse, size, start, column, key, energy, count, ratio):
    """Sparse table of the bins with counts, sorted by row, then column, then energy.

    Parameters
    ----------
    counts, inverse : array of float64
        Counts, and the factor that turns a template into template over background; shape (y, energy, x).
    size : int
        Pixels along the side of a template.
    start : array of int64
        From `count_filled`.
    column, key, energy : array of int64
        Written: column and energy of each bin with counts; less a window's first column, the key is the place in a
        template's row of (energy, x).
    count, ratio : array of float64
        Written: counts and `inverse` of each.
    """
    for y in range(counts.shape[0]):
        i = start[y]
        for x in range(counts.shape[2]):
            for e in range(counts.shape[1]):
                if counts[y, e, x] > 0.0:
                    column[i] = x
                    key[i] = e * size + x
                    energy[i] = e
                    count[i] = counts[y, e, x]
                    ratio[i] = inverse[y, e, x]
                    i += 1


@njit(nogil=True, cache=True)
def cumulate(safe, out):
    """Number of safe pixels above and to the left, per energy: `out` has shape (energy, y + 1, x + 1)."""
    out[:] = 0
    for y in range(safe.shape[0]):
        for e in range(safe.shape[1]):
            row = 0
            for x in range(safe.shape[2]):
                row += 1 if safe[y, e, x] > 0.0 else 0
                out[e, y + 1, x + 1] = out[e, y, x + 1] + row


@njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST)
def _weighted_sum(first, second, share, weight, y, x, e, size):
    """Sum over the window of the template of one energy times a weight."""
    a = 0.0
    b = 0.0
    for dy in range(size):
        for dx in range(size):
            w = weight[y + dy, e, x + dx]
            a += first[dy, e, dx] * w
            b += second[dy, e, dx] * w
    return (1.0 - share) * a + share * b


@njit(nogil=True, cache=True, error_model="numpy", fastmath=_FASTER)
def _greatest(values, size):
    """Greatest of the first `size` values, at least zero."""
    greatest = 0.0
    for i in range(size):
        greatest = max(greatest, values[i])
    return greatest


@njit(nogil=True, cache=True, error_model="numpy", fastmath=_FASTER)
def _steepest(first, second, share, inverse, y, x, e, size):
    """Greatest template over background of one energy in the window."""
    steepest = 0.0
    for dy in range(size):
        for dx in range(size):
            value = ((1.0 - share) * first[dy, e, dx] + share * second[dy, e, dx]) * inverse[y + dy, e, x + dx]
            if value > steepest:
                steepest = value
    return steepest


@njit(nogil=True, cache=True, error_model="numpy")
def _lowest_norm(attempt, first, second, share, scale, peak, inverse, inverse_peak, y, x, size):
    """The least norm not below `attempt` with which no bin of the window is predicted negative.

    Energies whose greatest possible template over background cannot matter are not looked at.
    """
    steepest = -1.0 / attempt if attempt < 0.0 else np.inf
    limit = attempt if attempt > -np.inf else 0.0
    for e in range(scale.size):
        if scale[e] * peak[e] * inverse_peak[e] > steepest:
            value = scale[e] * _steepest(first, second, share, inverse, y, x, e, size)
            if value > steepest:
                steepest = value
                limit = -1.0 / value
    return limit


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _gather(low, high, filled, first, second, share, scale, x, size, r, c):
    """Template over background, and counts, of the bins with counts in a window; returns how many.

    `low` and `high` hold where the window begins and ends in each row of the sparse table; they move on with x.
    Unsigned indices spare the test for negative ones.
    """
    start, column, key, energy, count, ratio, first_row = filled
    n = 0
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
            i = np.uint64(keys[k] - x)
            value = (1.0 - share) * above[i] + share * beyond[i]
            r_out[k] = value * (scale[np.uint64(energies[k])] * ratios[k])
        for k in range(counts.size):
            c_out[k] = counts[k]
        n += b - a
    return n


@njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST)
def _negative_bins(norm, first, second, share, scale, weight, background, y, x, e, size):
    """What bins of one energy would be predicted below zero, and the sum of the template over these."""
    missing = 0.0
    slope = 0.0
    for dy in range(size):
        for dx in range(size):
            value = (1.0 - share) * first[dy, e, dx] + share * second[dy, e, dx]
            value *= scale * weight[y + dy, e, x + dx]
            npred = background[y + dy, e, x + dx] + norm * value
            missing -= min(npred, 0.0)
            slope += value if npred < 0.0 else 0.0
    return missing, slope


@njit(nogil=True, cache=True, error_model="numpy")
def _error_down(best, sigma, n_sigma, total, r, c, n, rtol, max_niter, scratch, place, reach, window):
    """How far below `best` the statistic has risen by n_sigma**2, where negative predictions count as none.

    Parameters
    ----------
    best, sigma, n_sigma, total, r, c, n, rtol, max_niter : float, arrays of float64, int
        As in `profile_up`.
    scratch : tuple of arrays
        As in `sum_log`.
    place : tuple
        Templates on both sides and the share of the second one, first row and column of the window, and its size.
    reach : tuple
        Scale, greatest template and greatest `inverse` of every energy, which tell where bins may be negative.
    window : tuple
        weight and background (y, energy, x).
    """
    first, second, share, y, x, size = place
    scale, peak, inverse_peak = reach
    weight, background = window
    work, exponent = scratch
    rise = n_sigma * n_sigma
    if n == 0:
        return 0.5 * rise / total
    start = sum_log(best, r, c, n, work, exponent)
    low = 0.0
    # the logarithm of a bin with counts has no end there
    high = best + 1.0 / _greatest(r, n)
    distance = min(n_sigma * sigma, 0.5 * high)
    for _ in range(max_niter):
        norm = best - distance
        value = start - distance * total - sum_log(norm, r, c, n, work, exponent)
        slope = norm_moments(norm, r, c, n)[0] - total
        for e in range(scale.size):
            if -norm * scale[e] * peak[e] * inverse_peak[e] > 1.0:
                missing, less = _negative_bins(norm, first, second, share, scale[e], weight, background, y, x, e, size)
                value += missing
                slope += less
        value -= 0.5 * rise
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


@njit(nogil=True, cache=True, error_model="numpy")
def _all_bins(first, second, share, scale, weight, background, y, x, size, template, expected):
    """Template and background of all bins of the window where both are positive; returns how many."""
    n = 0
    for dy in range(size):
        for e in range(scale.size):
            for dx in range(size):
                value = (1.0 - share) * first[dy, e, dx] + share * second[dy, e, dx]
                value *= scale[e] * weight[y + dy, e, x + dx]
                if value > 0.0 and background[y + dy, e, x + dx] > 0.0:
                    template[n] = value
                    expected[n] = background[y + dy, e, x + dx]
                    n += 1
    return n


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def fit_row(y, x0, valid, filled, window, templates, cells, source, choice, out):
    """Fit the norm at every pixel of a row.

    Parameters
    ----------
    y, x0 : int
        First row and column of the first pixel's window; the middle of that window is the pixel itself.
    valid : array of bool
        Pixels to fit, shape (x,).
    filled : tuple
        Sparse table: start (per row), column, key, energy (int64), count, ratio (float64); see `list_filled`.
    window : tuple
        weight, inverse, background (y, energy, x); inverse_peak (energy, x), the greatest `inverse` in each pixel's
        window; safe (energy, y + 1, x + 1), cumulative number of safe pixels, used if the flag that follows says that
        weights are one or zero.
    templates : tuple
        templates of the row (cell, y, energy, x), their sums and maxima (cell, energy).
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
    start, column, key, energy, count, ratio = filled
    table = (start, column, key, energy, count, ratio, y)
    weight, inverse, background, inverse_peak, safe, plain = window
    rows, sums, peaks = templates
    flat = rows.reshape(rows.shape[0], rows.shape[1], rows.shape[2] * rows.shape[3])
    left, right, shares = cells
    rtol, max_niter, n_sigma, n_sigma_ul, n_sigma_sensitivity, threshold, both_sides, limits, sensitivity = choice
    size = rows.shape[1]
    ne = rows.shape[2]
    area = size * size
    most = 0
    for dy in range(size):
        most += start[y + dy + 1] - start[y + dy]
    r = np.empty(most)
    c = np.empty(most)
    work = np.empty(most)
    exponent = np.empty(most)
    scratch = (work, exponent)
    every = size * size * ne if sensitivity else 0
    every_template = np.empty(every)
    every_background = np.empty(every)
    scale = np.empty(ne)
    peak = np.empty(ne)
    low = start[y : y + size].copy()
    high = low.copy()

    for i in range(valid.size):
        x = x0 + i
        if not valid[i]:
            continue
        share = shares[i]
        first = rows[left[i]]
        second = rows[right[i]]
        total = 0.0
        for e in range(ne):
            scale[e] = source[i, e]
            peak[e] = (1.0 - share) * peaks[left[i], e] + share * peaks[right[i], e]
            if scale[e] == 0.0:
                continue
            inside = area
            if plain:
                inside = safe[e, y + size, x + size] - safe[e, y, x + size] - safe[e, y + size, x] + safe[e, y, x]
            if plain and inside == area:
                total += scale[e] * ((1.0 - share) * sums[left[i], e] + share * sums[right[i], e])
            elif inside > 0:
                total += scale[e] * _weighted_sum(first, second, share, weight, y, x, e, size)
        n = _gather(low, high, table, flat[left[i]], flat[right[i]], share, scale, x, size, r, c)
        out[TOTAL, i] = total
        if not total > 0.0:
            out[NORM, i] = np.nan
            continue
        unbounded = -np.inf
        if not _greatest(r, n) > 0.0:
            n = 0
            norm = _lowest_norm(unbounded, first, second, share, scale, peak, inverse, inverse_peak[:, i], y, x, size)
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
            if norm < 0.0:
                lowest = _lowest_norm(norm, first, second, share, scale, peak, inverse, inverse_peak[:, i], y, x, size)
                if lowest > norm:
                    norm = lowest
                    curvature = norm_moments(norm, r, c, n)[1]
        likelihood = -norm * total
        if n > 0:
            likelihood += sum_log(norm, r, c, n, work, exponent)
            error = 1.0 / math.sqrt(curvature)
        else:
            # without counts there is no curvature: the distance to a rise of one
            error = 0.5 / total
        out[NORM, i] = norm
        out[NORM_ERR, i] = n_sigma * error
        out[TS, i] = max(2.0 * likelihood, 0.0)
        out[NITER, i] = niter
        out[SUCCESS, i] = 1.0 if success else 0.0
        if both_sides:
            place = (first, second, share, y, x, size)
            reach = (scale, peak, inverse_peak[:, i])
            out[ERRN, i] = _error_down(
                norm, error, n_sigma, total, r, c, n, rtol, max_niter, scratch, place, reach, (weight, background)
            )
            out[ERRP, i] = profile_up(norm, error, n_sigma, total, r, c, n, rtol, max_niter, work, exponent)
        if limits:
            out[UL, i] = norm + profile_up(norm, error, n_sigma_ul, total, r, c, n, rtol, max_niter, work, exponent)
        if sensitivity:
            m = _all_bins(first, second, share, scale, weight, background, y, x, size, every_template, every_background)
            out[SENSITIVITY, i] = (
                asimov_norm(n_sigma_sensitivity, every_template, every_background, m, rtol, max_niter)
                if m > 0
                else np.nan
            )
