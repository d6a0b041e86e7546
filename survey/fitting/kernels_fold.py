"""Array functions of the prediction's innermost loops."""

from __future__ import annotations

from numba import njit


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def apply_transfer(transfer, spectra, rows, out):
    """Sum over fields of transfer function times spectrum, at the lowest frequencies.

    Parameters
    ----------
    transfer : array of float64
        Shape (energy, field, y frequency, x frequency).
    spectra : array of complex128
        Shape (field, y frequency, x frequency), of the first x frequencies only.
    rows : array of int64
        The y frequencies that count; the others are left alone.
    out : array of complex128
        Shape (energy, y frequency, x frequency), zero; its rows are written.
    """
    n_energy, n_field = transfer.shape[:2]
    n = spectra.shape[2]
    for i in range(rows.size):
        y = rows[i]
        for e in range(n_energy):
            for m in range(n_field):
                for k in range(n):
                    out[e, y, k] += transfer[e, m, y, k] * spectra[m, y, k]


@njit(nogil=True, cache=True, fastmath={"contract"})
def add_scaled(values, factor, total):
    """Add values (energy, y, x) times a factor to a total of the same shape, in place."""
    for e in range(values.shape[0]):
        for y in range(values.shape[1]):
            for x in range(values.shape[2]):
                total[e, y, x] += factor * values[e, y, x]
