"""Array functions of the excess map: sums over a disc of pixels, and Poisson limits pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

_FAST = {"reassoc", "contract", "nsz"}


@njit(nogil=True, cache=True, fastmath={"contract"})
def disc_sum(image, widths, y0, y1, x0, x1, out):
    """Sum an image over a disc around every pixel of a core; pixels beyond the image count as zero.

    Each row of the image makes its running sums once, wider by two pixels a step, and adds them to the rows of the
    core that they belong to: O(radius) operations a pixel. The additions to a pixel come in the same order whatever
    the window is, so that tiles agree to the bit.

    Parameters
    ----------
    image : array of float64
        Shape (y, x).
    widths : array of int64
        `survey.estimators.excess.disc_half_widths`.
    y0, y1, x0, x1 : int
        The core in pixels of the image.
    out : array of float64
        Shape (y1 - y0, x1 - x0); overwritten.
    """
    ny, nx = image.shape
    rows = widths.size - 1
    padded = np.zeros(x1 - x0 + 2 * (widths[0] + 1))
    first = x0 - widths[0] - 1
    row = np.empty(x1 - x0)
    out[:] = 0.0
    for y in range(max(y0 - rows, 0), min(y1 + rows, ny)):
        for x in range(padded.size):
            padded[x] = image[y, first + x] if 0 <= first + x < nx else 0.0
        row[:] = padded[widths[0] + 1 : widths[0] + 1 + row.size]
        width = 0
        for dy in range(rows, -1, -1):
            while width < widths[dy]:
                width += 1
                left = padded[widths[0] + 1 - width : widths[0] + 1 - width + row.size]
                right = padded[widths[0] + 1 + width : widths[0] + 1 + width + row.size]
                for x in range(row.size):
                    row[x] += left[x] + right[x]
            if y0 <= y - dy < y1:
                target = out[y - dy - y0]
                for x in range(row.size):
                    target[x] += row[x]
            if dy > 0 and y0 <= y + dy < y1:
                target = out[y + dy - y0]
                for x in range(row.size):
                    target[x] += row[x]


@njit(nogil=True, cache=True, error_model="numpy")
def poisson_distance(count, rise, upward):
    """Distance from n counts to the mean whose Cash statistic is higher by `rise`.

    Solves 2 (d - n log(1 + d / n)) = rise for d above zero, or below.

    Parameters
    ----------
    count : float
        Counts; zero gives rise / 2 upwards and 0 downwards.
    rise : float
        Difference of the statistic.
    upward : bool
        Direction.
    """
    half = 0.5 * rise
    if count <= 0.0:
        return half if upward else 0.0
    # d / n: the root of x - log(1 + x) = half / n; the start is the series in sqrt(half / n)
    q = half / count
    root = math.sqrt(2.0 * q)
    x = root + 2.0 / 3.0 * q if upward else -root + 2.0 / 3.0 * q
    if not upward and (x <= -0.8 or q > 1.0):
        x = -1.0 + math.exp(-1.0 - q)
    for _ in range(100):
        step = (x - math.log1p(x) - q) * (1.0 + x) / x
        new = x - step
        if new <= -1.0:
            new = 0.5 * (x - 1.0)
        if abs(new - x) <= 1e-13 * abs(new):
            x = new
            break
        x = new
    return abs(x) * count


@njit(nogil=True, cache=True, error_model="numpy")
def poisson_excess(background, n_sigma):
    """Excess that is `n_sigma` significant on a known background.

    Parameters
    ----------
    background : float
        Expected counts; positive.
    n_sigma : float
        Significance.
    """
    # s with (s + b) log(1 + s / b) - s = n_sigma**2 / 2, convex in s and below s**2 / 2 b
    goal = 0.5 * n_sigma * n_sigma
    excess = n_sigma * math.sqrt(background)
    for _ in range(100):
        logarithm = math.log1p(excess / background)
        step = ((excess + background) * logarithm - excess - goal) / logarithm
        excess -= step
        if abs(step) <= 1e-12 * excess:
            break
    return excess


@njit(nogil=True, cache=True, error_model="numpy")
def on_off_statistic(n_on, n_off, alpha, signal):
    """Cash statistic of ON and OFF counts with the background at its best (WStat), relative to a perfect model.

    Parameters
    ----------
    n_on, n_off : float
        Counts.
    alpha : float
        Ratio of the acceptances, ON over OFF.
    signal : float
        Expected excess.
    """
    # background in OFF that maximises the likelihood; signal + alpha mu must stay positive
    total = (n_on + n_off) * alpha - (1.0 + alpha) * signal
    mu = 0.0
    if alpha > 0.0:
        root = math.sqrt(max(total * total + 4.0 * alpha * (1.0 + alpha) * n_off * signal, 0.0))
        mu = (total + root) / (2.0 * alpha * (1.0 + alpha))
        mu = max(mu, -signal / alpha, 0.0)
    else:
        mu = n_off
    expected = max(signal + alpha * mu, 1e-25)
    value = expected - n_on
    if n_on > 0.0:
        value += n_on * math.log(n_on / expected)
    value += mu - n_off
    if n_off > 0.0:
        value += n_off * math.log(n_off / max(mu, 1e-25))
    return 2.0 * value


@njit(nogil=True, cache=True, error_model="numpy")
def on_off_distance(n_on, n_off, alpha, rise, upward):
    """Distance from the excess n_on - alpha n_off to where `on_off_statistic` has risen by `rise`.

    Downwards it is at most n_on, as the profile may stay below the rise there.
    """
    best = n_on - alpha * n_off
    sign = 1.0 if upward else -1.0
    high = math.sqrt(rise * (n_on + alpha * alpha * n_off)) + rise + 1.0
    low = 0.0
    if upward:
        while on_off_statistic(n_on, n_off, alpha, best + high) < rise:
            low = high
            high *= 2.0
    else:
        high = n_on
        if on_off_statistic(n_on, n_off, alpha, best - high) <= rise:
            return n_on
    for _ in range(200):
        middle = 0.5 * (low + high)
        if on_off_statistic(n_on, n_off, alpha, best + sign * middle) < rise:
            low = middle
        else:
            high = middle
        if high - low <= 1e-10 * (high + 1e-10):
            break
    return 0.5 * (low + high)


@njit(nogil=True, cache=True, error_model="numpy")
def on_off_excess(n_off, alpha, n_sigma):
    """Excess that is `n_sigma` significant for given OFF counts (the excess of Asimov ON counts)."""
    goal = n_sigma * n_sigma
    background = alpha * n_off
    low = 0.0
    high = n_sigma * math.sqrt(background * (1.0 + alpha) + 1.0) + 1.0
    while on_off_statistic(high + background, n_off, alpha, 0.0) < goal:
        low = high
        high *= 2.0
    for _ in range(200):
        middle = 0.5 * (low + high)
        if on_off_statistic(middle + background, n_off, alpha, 0.0) < goal:
            low = middle
        else:
            high = middle
        if high - low <= 1e-10 * high:
            break
    return 0.5 * (low + high)


@njit(nogil=True, cache=True)
def fill_poisson_distance(counts, rise, upward, out):
    """`poisson_distance` for every element of a flat array."""
    for i in range(counts.size):
        out[i] = poisson_distance(counts[i], rise, upward)


@njit(nogil=True, cache=True)
def fill_poisson_excess(background, n_sigma, out):
    """`poisson_excess` for every element of a flat array."""
    for i in range(background.size):
        out[i] = poisson_excess(background[i], n_sigma)


@njit(nogil=True, cache=True)
def fill_on_off(n_on, n_off, alpha, signal, out):
    """`on_off_statistic` for every element of flat arrays."""
    for i in range(n_on.size):
        out[i] = on_off_statistic(n_on[i], n_off[i], alpha[i], signal[i])


@njit(nogil=True, cache=True)
def fill_on_off_distance(n_on, n_off, alpha, rise, upward, out):
    """`on_off_distance` for every element of flat arrays."""
    for i in range(n_on.size):
        out[i] = on_off_distance(n_on[i], n_off[i], alpha[i], rise, upward)


@njit(nogil=True, cache=True)
def fill_on_off_excess(n_off, alpha, n_sigma, out):
    """`on_off_excess` for every element of flat arrays."""
    for i in range(n_off.size):
        out[i] = on_off_excess(n_off[i], alpha[i], n_sigma)
