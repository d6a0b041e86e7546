"""Kernel of exact sums: values are rounded to whole quanta, then added."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def add_quantised_rows(accumulator, values, quantum):
    """Add values, rounded to whole quanta, to an accumulator of whole quanta in place: exact below 2**53 quanta.

    Parameters
    ----------
    accumulator, values : numpy.ndarray
        (n, m) float64.
    quantum : numpy.ndarray
        (n,) float64, a power of two for each row.
    """
    for i in range(accumulator.shape[0]):
        # both factors are powers of two: neither product rounds
        quanta = 1.0 / quantum[i]
        for j in range(accumulator.shape[1]):
            accumulator[i, j] += np.rint(values[i, j] * quanta) * quantum[i]
