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


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"})
def subtract_sum(rest, left, right, away):
    """Subtract the product of a column and a row from rows (n, m), in place; sums of what is left, absolute, in `away` (n)."""
    for i in range(rest.shape[0]):
        share = left[i]
        total = 0.0
        for j in range(rest.shape[1]):
            value = rest[i, j] - share * right[j]
            rest[i, j] = value
            total += abs(value)
        away[i] = total


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"})
def subtract_max(rest, left, right, away):
    """The same with the greatest absolute value of what is left of each row."""
    for i in range(rest.shape[0]):
        share = left[i]
        most = 0.0
        for j in range(rest.shape[1]):
            value = rest[i, j] - share * right[j]
            rest[i, j] = value
            most = max(most, abs(value))
        away[i] = most
