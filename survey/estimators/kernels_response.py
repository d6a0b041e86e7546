"""Array functions that read the responses of a cube at its pixels, between the centres of the response cells."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def interpolation(centers, pixels, left, right, share):
    """Neighbouring cells of pixels along one axis and the share of the right one; outside the centres it is constant.

    Parameters
    ----------
    centers : array of float64
        Centres of the cells in pixels, increasing.
    pixels : array of int64
        Pixels.
    left, right : array of int64
        Written: cells on both sides of every pixel.
    share : array of float64
        Written: weight of the right one.
    """
    for i in range(pixels.size):
        k = 0
        while k < centers.size and centers[k] <= pixels[i]:
            k += 1
        left[i] = max(k - 1, 0)
        right[i] = min(k, centers.size - 1)
        if left[i] == right[i]:
            share[i] = 0.0
        else:
            share[i] = (pixels[i] - centers[left[i]]) / (centers[right[i]] - centers[left[i]])


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def exposure_at_pixels(exposure, flux, edisp, denominator, y_cells, x_cells, out):
    """Expected counts of a flux at every pixel in reconstructed energy, before the PSF.

    The dispersion (with its safe fraction) is the ratio of two numerators, each interpolated between cells, so that
    cells without exposure have no weight.

    Parameters
    ----------
    exposure : array of float64
        Shape (energy_true, y, x), m2 s.
    flux : array of float64
        Integral flux in each bin of true energy, shape (energy_true,), s-1 m-2.
    edisp : array of float64
        Exposure times dispersion of the cells, shape (y_irf, x_irf, energy_true, energy), m2 s.
    denominator : array of float64
        Exposure of the cells, shape (y_irf, x_irf, energy_true), m2 s.
    y_cells, x_cells : tuple of arrays
        Left cell, right cell and share of every pixel along y and along x (`interpolation`).
    out : array of float64
        Shape (y, x, energy); overwritten.
    """
    nt, ny, nx = exposure.shape
    ncx, ne = edisp.shape[1], edisp.shape[3]
    y_left, y_right, y_share = y_cells
    x_left, x_right, x_share = x_cells
    row = np.empty((ncx, nt, ne))
    below = np.empty((ncx, nt))
    total = np.empty(ne)
    for y in range(ny):
        j, k, v = y_left[y], y_right[y], y_share[y]
        for c in range(ncx):
            for t in range(nt):
                below[c, t] = (1.0 - v) * denominator[j, c, t] + v * denominator[k, c, t]
                for e in range(ne):
                    row[c, t, e] = (1.0 - v) * edisp[j, c, t, e] + v * edisp[k, c, t, e]
        for x in range(nx):
            a, b, u = x_left[x], x_right[x], x_share[x]
            total[:] = 0.0
            for t in range(nt):
                weight = (1.0 - u) * below[a, t] + u * below[b, t]
                if weight > 0.0 and exposure[t, y, x] > 0.0:
                    factor = flux[t] * exposure[t, y, x] / weight
                    first, second = (1.0 - u) * factor, u * factor
                    for e in range(ne):
                        total[e] += first * row[a, t, e] + second * row[b, t, e]
            for e in range(ne):
                out[y, x, e] = total[e]


@njit(nogil=True, cache=True, fastmath={"contract"})
def at_pixels(values, y_cells, x_cells, out):
    """Interpolate values of the cells to pixels.

    Parameters
    ----------
    values : array of float64
        Shape (y_irf, x_irf, energy).
    y_cells, x_cells : tuple of arrays
        Left cell, right cell and share of every pixel along y and along x (`interpolation`).
    out : array of float64
        Shape (y, x, energy); overwritten.
    """
    y_left, y_right, y_share = y_cells
    x_left, x_right, x_share = x_cells
    for y in range(out.shape[0]):
        below, above, v = values[y_left[y]], values[y_right[y]], y_share[y]
        for x in range(out.shape[1]):
            a, b, u = x_left[x], x_right[x], x_share[x]
            for e in range(out.shape[2]):
                left = (1.0 - v) * below[a, e] + v * above[a, e]
                right = (1.0 - v) * below[b, e] + v * above[b, e]
                out[y, x, e] = (1.0 - u) * left + u * right
