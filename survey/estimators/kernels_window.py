"""Array functions that get a window ready for the TS map: sums, the sparse table of bins with counts, safe pixels.

`survey.estimators.kernels_ts` says how they are used. Window arrays are (y, x, energy).
"""

from __future__ import annotations

import math

from numba import njit


@njit(nogil=True, cache=True, fastmath={"contract"})
def blend(first, second, share, out):
    """(1 - share) first + share second, for flat arrays."""
    for i in range(out.size):
        out[i] = (1.0 - share) * first[i] + share * second[i]


@njit(nogil=True, cache=True, error_model="numpy")
def prepare(counts, background, weight, floor, inverse, expected, stat):
    """What the fit wants to know of every bin and pixel.

    Parameters
    ----------
    counts, background, weight : array of float64
        Shape (y, x, energy), zero where not safe.
    floor : float
        Least background of a safe bin.
    inverse : array of float64
        Written: weight over background, which turns a template into template over background.
    expected, stat : array of float64
        Written: background and Cash statistic without a source, summed over energy, shape (y, x).
    """
    for y in range(counts.shape[0]):
        for x in range(counts.shape[1]):
            total = 0.0
            value = 0.0
            for e in range(counts.shape[2]):
                level = max(background[y, x, e], floor)
                inverse[y, x, e] = weight[y, x, e] / level
                total += background[y, x, e]
                if counts[y, x, e] > 0.0:
                    value -= counts[y, x, e] * math.log(level)
            expected[y, x] = total
            stat[y, x] = 2.0 * (total + value)


@njit(nogil=True, cache=True)
def count_filled(counts, start):
    """Bins with counts in every row of a window: cumulative in `start`.

    Parameters
    ----------
    counts : array of float64
        Shape (y, x, energy).
    start : array of int64
        Shape (y + 1,); overwritten.
    """
    start[0] = 0
    for y in range(counts.shape[0]):
        filled = 0
        for x in range(counts.shape[1]):
            for e in range(counts.shape[2]):
                if counts[y, x, e] > 0.0:
                    filled += 1
        start[y + 1] = start[y] + filled


@njit(nogil=True, cache=True)
def list_filled(counts, inverse, start, column, key, energy, count, ratio):
    """Sparse table of the bins with counts, sorted by row, then column, then energy.

    Parameters
    ----------
    counts, inverse : array of float64
        Counts, and the factor that turns a template into template over background; shape (y, x, energy).
    start : array of int64
        From `count_filled`.
    column, key, energy : array of int64
        Written: column and energy of each bin with counts, and its place in the row.
    count, ratio : array of float64
        Written: counts and `inverse` of each.
    """
    ne = counts.shape[2]
    for y in range(counts.shape[0]):
        i = start[y]
        for x in range(counts.shape[1]):
            for e in range(ne):
                if counts[y, x, e] > 0.0:
                    column[i] = x
                    key[i] = x * ne + e
                    energy[i] = e
                    count[i] = counts[y, x, e]
                    ratio[i] = inverse[y, x, e]
                    i += 1


@njit(nogil=True, cache=True)
def cumulate(safe, out):
    """Number of safe pixels above and to the left, per energy: `out` has shape (y + 1, x + 1, energy)."""
    out[:] = 0
    for y in range(safe.shape[0]):
        for x in range(safe.shape[1]):
            for e in range(safe.shape[2]):
                here = 1 if safe[y, x, e] > 0.0 else 0
                out[y + 1, x + 1, e] = here + out[y, x + 1, e] + out[y + 1, x, e] - out[y, x, e]
