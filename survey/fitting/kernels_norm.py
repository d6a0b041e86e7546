"""Array functions that fit one norm of a fixed template on a known background by the Cash statistic.

With counts c, background b and template m in the bins of a fit, and r = m / b, the statistic relative to no signal is

    stat(n) = 2 (n S - sum c log(1 + n r)),    S = sum m,

so that only bins with counts enter the sum of logarithms. All functions work on the first `size` elements of buffers.

Division must not check for zero (``error_model``), or the loops do not vectorise; sums may be reordered
(``reassoc``), which is the same for every call on the same numbers.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

_FAST = {"reassoc", "contract", "nsz"}
"""What may be reordered; see `survey.estimators.kernels_ts` for why these kernels are forced inline."""
_MANTISSA_ROOT_HALF = 0x3FE6A09E00000000
"""Bits of the square root of one half: mantissas are taken between it and the square root of two."""
_ONE = 0x3FF0000000000000
_TWO_52 = 0x4330000000000000


@njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST, forceinline=True)
def norm_moments(norm, ratio, count, size):
    """Sums over bins of c d and of c d**2 with d = r / (1 + norm r).

    Half of the statistic's first derivative is S minus the first, half of its second derivative is the second.

    Parameters
    ----------
    norm : float
        Norm with 1 + norm r > 0 in every bin.
    ratio, count : array of float64
        Template over background, and counts.
    size : int
        Number of bins.
    """
    first = 0.0
    second = 0.0
    for i in range(size):
        d = ratio[i] / (1.0 + norm * ratio[i])
        t = count[i] * d
        first += t
        second += t * d
    return first, second


@njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST, forceinline=True)
def sum_log(norm, ratio, count, size, work, exponent):
    """Sum over bins of c log(1 + norm r); relative precision of a logarithm 1e-15.

    Written out because a call of the library's logarithm does not vectorise. ``x = 2**k f`` with f around one;
    log f is the series of 2 artanh((f - 1) / (f + 1)). The bits of k become a float by the 2**52 trick.

    Parameters
    ----------
    norm : float
        Norm with 1 + norm r > 0 in every bin with counts.
    ratio, count : array of float64
        Template over background, and counts.
    size : int
        Number of bins.
    work, exponent : array of float64
        Scratch of at least `size` elements.
    """
    for i in range(size):
        work[i] = max(1.0 + norm * ratio[i], 1e-300)
    bits = work.view(np.uint64)
    exponent_bits = exponent.view(np.uint64)
    for i in range(size):
        k = (bits[i] + np.uint64(_ONE - _MANTISSA_ROOT_HALF)) >> np.uint64(52)
        bits[i] = bits[i] + np.uint64(_ONE) - (k << np.uint64(52))
        exponent_bits[i] = k | np.uint64(_TWO_52)
    powers = 0.0
    series = 0.0
    for i in range(size):
        f = (work[i] - 1.0) / (work[i] + 1.0)
        q = f * f
        p = 1.0 / 19.0
        p = p * q + 1.0 / 17.0
        p = p * q + 1.0 / 15.0
        p = p * q + 1.0 / 13.0
        p = p * q + 1.0 / 11.0
        p = p * q + 1.0 / 9.0
        p = p * q + 1.0 / 7.0
        p = p * q + 1.0 / 5.0
        p = p * q + 1.0 / 3.0
        p = p * q + 1.0
        series += count[i] * (p * f)
        powers += count[i] * (exponent[i] - (4503599627370496.0 + 1023.0))
    return powers * math.log(2.0) + 2.0 * series


@njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST, forceinline=True)
def _moments_at_zero(ratio, count, size):
    """Sum of the counts, and `norm_moments` at zero."""
    counts = 0.0
    first = 0.0
    second = 0.0
    for i in range(size):
        t = count[i] * ratio[i]
        counts += count[i]
        first += t
        second += t * ratio[i]
    return counts, first, second


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def pole_of(ratio, count, size):
    """The norm at which the first of the bins with counts would be predicted zero, and the counts of that bin."""
    steepest = 0.0
    at_pole = 0.0
    for i in range(size):
        if ratio[i] > steepest:
            steepest = ratio[i]
            at_pole = count[i]
    return -1.0 / steepest, at_pole


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def solve_norm(total, ratio, count, size, rtol, max_niter):
    """Norm where the statistic is least, allowed as low as 1 + norm r > 0 in the bins with counts.

    Newton on 1 / sum(c d) - 1 / S, which is concave and, for one bin, a straight line; kept within the bracket of
    Stewart (2009). Every start is the same function of the pixel's own numbers, so that tiles agree.

    Parameters
    ----------
    total : float
        S, sum of the template over all bins; positive.
    ratio, count : array of float64
        Template over background, and counts, of the bins with counts; at least one ratio is positive.
    size : int
        Number of bins.
    rtol : float
        Relative precision of the norm.
    max_niter : int
        Most iterations.

    Returns
    -------
    tuple
        Norm, number of iterations, whether it converged, and half of the statistic's second derivative there.
    """
    counts, first, second = _moments_at_zero(ratio, count, size)
    norm = 0.0
    if first >= total:
        # not negative: the pole does not matter
        pole = 0.0
        low = 0.0
        high = counts / total
    else:
        pole, at_pole = pole_of(ratio, count, size)
        # the bin at the pole alone makes the derivative vanish here: no solution is lower
        low = pole + at_pole / total
        high = min(pole + counts / total, 0.0)
        if high < 0.0:
            norm = high
            first, second = norm_moments(norm, ratio, count, size)
    for iteration in range(1, max_niter + 1):
        if first > total:
            low = max(low, norm)
        else:
            high = min(high, norm)
        new = norm + first * (first / total - 1.0) / second
        if not low <= new <= high:
            # geometric middle, seen from the pole
            new = pole + math.sqrt((low - pole) * (high - pole))
        step = abs(new - norm)
        norm = new
        first, second = norm_moments(norm, ratio, count, size)
        # the next step would be about step**2 / sigma
        if step <= 1e-12 * abs(norm) or step * step * math.sqrt(second) <= 0.5 * rtol * abs(norm):
            return norm, iteration, True, second
    return norm, max_niter, False, second


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def profile_up(best, sigma, n_sigma, total, ratio, count, size, rtol, max_niter, work, exponent):
    """How far above `best` the statistic has risen by n_sigma**2; found for every `best`, also a bounded one.

    The statistic is convex, so Newton from above comes down without overshooting.

    Parameters
    ----------
    best, sigma : float
        Norm to start from, and its error: only a first guess of the step.
    n_sigma : float
        Square root of the rise.
    total, ratio, count, size : float, arrays of float64, int
        As in `solve_norm`; `size` may be zero.
    rtol : float
        Relative precision of the distance.
    max_niter : int
        Most iterations.
    work, exponent : array of float64
        Scratch.
    """
    rise = n_sigma * n_sigma
    if size == 0:
        return 0.5 * rise / total
    start = sum_log(best, ratio, count, size, work, exponent)
    distance = n_sigma * sigma
    for _ in range(max_niter):
        norm = best + distance
        value = 2.0 * (distance * total - sum_log(norm, ratio, count, size, work, exponent) + start) - rise
        slope = 2.0 * (total - norm_moments(norm, ratio, count, size)[0])
        if not slope > 0.0:
            distance *= 2.0
            continue
        step = value / slope
        if step >= distance:
            step = 0.5 * distance
        distance -= step
        if abs(step) <= rtol * distance:
            break
    return distance


@njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST, forceinline=True)
def _asimov(norm, template, background, size):
    """Statistic of no signal on counts equal to the prediction at `norm`, and its derivative."""
    value = 0.0
    slope = 0.0
    for i in range(size):
        x = norm * template[i] / background[i]
        logarithm = math.log(1.0 + x)
        value += background[i] * ((1.0 + x) * logarithm - x)
        slope += template[i] * logarithm
    return 2.0 * value, 2.0 * slope


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def asimov_norm(n_sigma, template, background, size, rtol, max_niter):
    """Norm whose expected counts are n_sigma away from no signal.

    Parameters
    ----------
    n_sigma : float
        Significance; its square is the statistic.
    template, background : array of float64
        Of all bins of the fit where both are positive.
    size : int
        Number of bins; at least one.
    rtol : float
        Relative precision.
    max_niter : int
        Most iterations.
    """
    curvature = 0.0
    for i in range(size):
        curvature += template[i] * template[i] / background[i]
    # the statistic is convex and below its parabola at zero: the first step goes beyond, the rest come down
    norm = n_sigma / math.sqrt(curvature)
    for _ in range(max_niter):
        value, slope = _asimov(norm, template, background, size)
        step = (n_sigma * n_sigma - value) / slope
        norm += step
        if abs(step) <= rtol * norm:
            break
    return norm
