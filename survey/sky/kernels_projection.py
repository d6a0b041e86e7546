"""Kernels of the projections: plane coordinates to unit vectors and solid angles, pixel by pixel.

Every value is scalar arithmetic on its own pixel, so that it has the same bits in whichever window it is computed.
The formulae are those of Calabretta & Greisen 2002, A&A 395, 1077, in the basis (reference point, east, north).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

CAR, TAN, AIT, MOL = 0, 1, 2, 3
CODES = {"CAR": CAR, "TAN": TAN, "AIT": AIT, "MOL": MOL}

ELLIPSE = 1.0 + 1e-13
"""Round-off allowed at the rim of the AIT and MOL ellipses, that of wcslib."""


@njit(nogil=True, cache=True)
def fill_geometry(projection, u, v, step, rotation, vectors, solid_angle):
    """Fill the vectors and solid angles of a window of pixels.

    Parameters
    ----------
    projection : int
        One of `CODES`.
    u, v : numpy.ndarray
        Plane coordinates of the columns (nx,), positive to the east, and of the rows (ny,), rad.
    step : float
        Pixel size, rad.
    rotation : numpy.ndarray
        (3, 3), from the basis (reference point, east, north) to the frame of the vectors.
    vectors : numpy.ndarray
        (3, ny, nx), filled with unit vectors, NaN off the sky.
    solid_angle : numpy.ndarray
        (ny, nx), filled in sr, 0 off the sky.
    """
    ny, nx = v.size, u.size
    half = 0.5 * step
    cos_u = np.empty(nx)
    sin_u = np.empty(nx)
    if projection == CAR:
        for i in range(nx):
            cos_u[i] = math.cos(u[i])
            sin_u[i] = math.sin(u[i])
    for j in range(ny):
        y = v[j]
        cos_y = math.cos(y)
        sin_y = math.sin(y)
        row_area = step * step
        row_valid = True
        # MOL: `squeeze` is native longitude over u in this row, `sine` the sine of its latitude
        squeeze = 0.0
        sine = 0.0
        if projection == CAR:
            row_valid = abs(y) <= 0.5 * math.pi * ELLIPSE
            low = max(y - half, -0.5 * math.pi)
            high = min(y + half, 0.5 * math.pi)
            row_area = step * 2.0 * math.cos(0.5 * (low + high)) * math.sin(0.5 * (high - low))
        elif projection == MOL:
            rest = 1.0 - 0.5 * y * y
            row_valid = rest > 0.0
            if row_valid:
                gamma = math.asin(y / math.sqrt(2.0))
                sine = (2.0 * gamma + math.sin(2.0 * gamma)) / math.pi
                squeeze = math.pi / (2.0 * math.sqrt(2.0) * math.sqrt(rest))
        for i in range(nx):
            x = u[i]
            valid = row_valid
            a = 0.0
            b = 0.0
            c = 0.0
            area = row_area
            if projection == CAR:
                valid = valid and abs(x) <= math.pi * ELLIPSE
                a = cos_y * cos_u[i]
                b = cos_y * sin_u[i]
                c = sin_y
            elif projection == TAN:
                square = 1.0 + x * x + y * y
                a = 1.0 / math.sqrt(square)
                b = x * a
                c = y * a
                # mean of cos^3 over the pixel: its value at the centre and its Laplacian
                cube = a * a * a
                laplacian = (-6.0 + 15.0 * (square - 1.0) / square) * cube / square
                area = step * step * (cube + step * step * laplacian / 24.0)
            elif projection == AIT:
                ellipse = 0.125 * x * x + 0.5 * y * y
                valid = ellipse <= ELLIPSE
                if valid:
                    z = math.sqrt(1.0 - 0.5 * min(ellipse, 1.0))
                    east = 0.5 * z * x
                    front = 2.0 * z * z - 1.0
                    cos_lat = math.sqrt(east * east + front * front)
                    c = y * z
                    if cos_lat > 0.0:
                        a = (front * front - east * east) / cos_lat
                        b = 2.0 * east * front / cos_lat
            elif valid:
                phi = squeeze * x
                valid = abs(phi) <= math.pi * ELLIPSE
                cos_lat = math.sqrt(max((1.0 - sine) * (1.0 + sine), 0.0))
                a = cos_lat * math.cos(phi)
                b = cos_lat * math.sin(phi)
                c = sine
            if valid:
                for k in range(3):
                    vectors[k, j, i] = rotation[k, 0] * a + rotation[k, 1] * b + rotation[k, 2] * c
                solid_angle[j, i] = area
            else:
                for k in range(3):
                    vectors[k, j, i] = math.nan
                solid_angle[j, i] = 0.0


@njit(nogil=True, cache=True)
def fill_cell_vectors(vectors, y_cell, x_cell, cell_vectors):
    """Fill the unit vectors of response cells: the direction of the sum over the valid pixels that they have.

    Parameters
    ----------
    vectors : numpy.ndarray
        (3, ny, nx), of the pixels; NaN off the sky.
    y_cell, x_cell : numpy.ndarray
        int64 (ny,), (nx,): the cell of each row and column.
    cell_vectors : numpy.ndarray
        (3, nyc, nxc), filled; NaN for a cell without a pixel on the sky.
    """
    cell_vectors[:] = 0.0
    for k in range(3):
        for j in range(vectors.shape[1]):
            for i in range(vectors.shape[2]):
                if vectors[k, j, i] == vectors[k, j, i]:
                    cell_vectors[k, y_cell[j], x_cell[i]] += vectors[k, j, i]
    for j in range(cell_vectors.shape[1]):
        for i in range(cell_vectors.shape[2]):
            a, b, c = cell_vectors[0, j, i], cell_vectors[1, j, i], cell_vectors[2, j, i]
            norm = math.sqrt(a * a + b * b + c * c)
            for k in range(3):
                cell_vectors[k, j, i] = cell_vectors[k, j, i] / norm if norm > 1e-9 else math.nan


def on_sky(projection: int, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether plane coordinates (rad, arrays of one shape) are on the sky: the rule of `fill_geometry`."""
    if projection == CAR:
        return (np.abs(v) <= 0.5 * math.pi * ELLIPSE) & (np.abs(u) <= math.pi * ELLIPSE)
    if projection == AIT:
        return 0.125 * u * u + 0.5 * v * v <= ELLIPSE
    if projection == MOL:
        rest = 1.0 - 0.5 * v * v
        with np.errstate(divide="ignore", invalid="ignore"):
            phi = math.pi / (2.0 * math.sqrt(2.0) * np.sqrt(np.maximum(rest, 0.0))) * u
        return (rest > 0.0) & (np.abs(phi) <= math.pi * ELLIPSE)
    return np.ones(np.broadcast_shapes(u.shape, v.shape), dtype=bool)
