"""Array functions of the prediction's innermost loops."""

from __future__ import annotations

from numba import njit

BLOCK = 512
"""Frequencies that are done together, so that their sums stay in the cache."""


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def apply_transfer(transfer, spectra, out):
    """Sum over fields of transfer function times spectrum.

    Parameters
    ----------
    transfer : array of float64
        Shape (energy, field, frequency).
    spectra : array of complex128
        Shape (field, frequency).
    out : array of complex128
        Shape (energy, frequency); overwritten.
    """
    n_energy, n_field, n_frequency = transfer.shape
    for start in range(0, n_frequency, BLOCK):
        stop = min(start + BLOCK, n_frequency)
        for e in range(n_energy):
            for k in range(start, stop):
                out[e, k] = transfer[e, 0, k] * spectra[0, k]
            for m in range(1, n_field):
                for k in range(start, stop):
                    out[e, k] += transfer[e, m, k] * spectra[m, k]
