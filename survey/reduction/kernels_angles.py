"""Kernels of angles: which pixels a circle holds, offsets from a pointing, positions in the camera.

Short series stand for the arc functions near the pointing, where nearly all pixels are. Which one is taken depends on the
pixel alone, so that its values have the same bits in whichever window they are computed.
"""

from __future__ import annotations

import math

from numba import njit

DEGREES = 180.0 / math.pi
RIM = 1.0 - 1e-11
"""A pixel centre on a circle, to round-off, is outside of it."""


@njit(nogil=True, cache=True)
def squared_chord(offset):
    """Square of the chord to an offset in deg: what squared distances of unit vectors are compared with."""
    if offset >= 180.0:
        return 5.0
    half = 2.0 * math.sin(0.5 * offset / DEGREES)
    return half * half * RIM


@njit(nogil=True, cache=True)
def select_pixels(vectors, center, offset_max, selected):
    """Mark the pixels whose centres lie within a circle.

    Parameters
    ----------
    vectors : numpy.ndarray (3, y, x)
        Unit vectors of the pixel centres, NaN off the sky.
    center : numpy.ndarray (3,)
    offset_max : float
        deg.
    selected : numpy.ndarray (y, x) bool
        Filled.

    Returns
    -------
    tuple of int
        Smallest half-open box of rows and columns with a marked pixel: (y0, y1, x0, x1).
    """
    limit = squared_chord(offset_max)
    ny, nx = selected.shape
    y0, y1, x0, x1 = ny, 0, nx, 0
    for j in range(ny):
        for i in range(nx):
            a = vectors[0, j, i] - center[0]
            b = vectors[1, j, i] - center[1]
            c = vectors[2, j, i] - center[2]
            inside = a * a + b * b + c * c < limit
            selected[j, i] = inside
            if inside:
                y0, y1 = min(y0, j), max(y1, j + 1)
                x0, x1 = min(x0, i), max(x1, i + 1)
    return y0, y1, x0, x1


@njit(nogil=True, cache=True)
def offset_of(a, b, c, center):
    """Offset of a direction from a pointing, deg."""
    p = a - center[0]
    q = b - center[1]
    s = c - center[2]
    return _angle_of_chord(0.5 * math.sqrt(p * p + q * q + s * s))


@njit(nogil=True, cache=True)
def _angle_of_chord(half):
    """Angle of a chord from half its length, deg: by a series up to 5.7 degrees, where it is exact to the last bits."""
    if half < 0.05:
        return _series_of_chord(half)
    return 2.0 * math.asin(min(half, 1.0)) * DEGREES


@njit(nogil=True, cache=True)
def _series_of_chord(half):
    z = half * half
    tail = 105.0 / 3456.0 + z * (945.0 / 42240.0 + z * (10395.0 / 599040.0))
    return 2.0 * (half + half * z * (1.0 / 6.0 + z * (3.0 / 40.0 + z * (15.0 / 336.0 + z * tail)))) * DEGREES


@njit(nogil=True, cache=True)
def _angle_of_slope(side, front):
    """``atan2(side, front)``, deg: by a series up to a slope of 0.15, where it is exact to 4e-14."""
    if front > 0.0 and abs(side) < 0.15 * front:
        return _series_of_slope(side / front)
    return math.atan2(side, front) * DEGREES


@njit(nogil=True, cache=True)
def _series_of_slope(x):
    z = x * x
    tail = -1.0 / 7.0 + z * (1.0 / 9.0 + z * (-1.0 / 11.0 + z * (1.0 / 13.0)))
    return (x + x * z * (-1.0 / 3.0 + z * (1.0 / 5.0 + z * tail))) * DEGREES


@njit(nogil=True, cache=True)
def fill_offsets(vectors, j, first, last, center, offsets):
    """Fill `offsets` (x,) with those of the pixels of a row: `offset_of` for every one, in loops that vectorise."""
    a, b, c = vectors[0, j], vectors[1, j], vectors[2, j]
    p0, q0, s0 = center[0], center[1], center[2]
    for i in range(first, last):
        p, q, s = a[i] - p0, b[i] - q0, c[i] - s0
        offsets[i] = 0.5 * math.sqrt(p * p + q * q + s * s)
    far = False
    for i in range(first, last):
        far |= offsets[i] >= 0.05
    if not far:
        for i in range(first, last):
            offsets[i] = _series_of_chord(offsets[i])
    else:
        for i in range(first, last):
            offsets[i] = _angle_of_chord(offsets[i])


@njit(nogil=True, cache=True)
def fill_camera(vectors, j, first, last, frame, x, y):
    """Fill `x` and `y` (x,) with the camera coordinates of the pixels of a row, deg, in loops that vectorise."""
    a, b, c = vectors[0, j], vectors[1, j], vectors[2, j]
    far = False
    for i in range(first, last):
        front = frame[0, 0] * a[i] + frame[0, 1] * b[i] + frame[0, 2] * c[i]
        along = frame[1, 0] * a[i] + frame[1, 1] * b[i] + frame[1, 2] * c[i]
        up = frame[2, 0] * a[i] + frame[2, 1] * b[i] + frame[2, 2] * c[i]
        level = math.sqrt(front * front + along * along)
        far |= (front <= 0.0) | (abs(along) >= 0.15 * front) | (abs(up) >= 0.15 * level)
        x[i] = along / front
        y[i] = up / level
    for i in range(first, last):
        x[i] = _series_of_slope(x[i])
        y[i] = _series_of_slope(y[i])
    if far:
        for i in range(first, last):
            x[i], y[i] = camera_position(a[i], b[i], c[i], frame)


@njit(nogil=True, cache=True)
def camera_position(a, b, c, frame):
    """Camera coordinates of a direction, deg: longitude and latitude about the pointing."""
    front = frame[0, 0] * a + frame[0, 1] * b + frame[0, 2] * c
    along = frame[1, 0] * a + frame[1, 1] * b + frame[1, 2] * c
    up = frame[2, 0] * a + frame[2, 1] * b + frame[2, 2] * c
    return _angle_of_slope(along, front), _angle_of_slope(up, math.sqrt(front * front + along * along))
