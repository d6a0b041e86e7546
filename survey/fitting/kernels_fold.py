"""Array functions of the prediction's innermost loops."""

from __future__ import annotations

from numba import njit


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def apply_transfer(functions, spectra, out):
    """Sum over fields of transfer function times spectrum, at the lowest frequencies.

    Parameters
    ----------
    functions : array of float64
        Shape (image, field, y frequency, x frequency), of the lowest frequencies; the same for negative y frequencies.
    spectra : array of complex128
        Shape (field, all y frequencies, x frequency).
    out : array of complex128
        Shape (image, all y frequencies, x frequency), zero; its lowest frequencies are written.
    """
    n_image, n_field, n_row, n = functions.shape
    ny = out.shape[1]
    for i in range(n_image):
        for y in range(ny):
            row = min(y, ny - y)
            if row < n_row:
                for m in range(n_field):
                    for k in range(n):
                        out[i, y, k] += functions[i, m, row, k] * spectra[m, y, k]


@njit(nogil=True, cache=True, fastmath={"contract"})
def add_scaled(values, factor, total):
    """Add values (energy, y, x) times a factor to a total of the same shape, in place."""
    for e in range(values.shape[0]):
        for y in range(values.shape[1]):
            for x in range(values.shape[2]):
                total[e, y, x] += factor * values[e, y, x]
