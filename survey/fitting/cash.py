"""The Cash statistic: twice the negative logarithm of the Poisson likelihood, without its constant.

The array functions that fit a norm by it are in `survey.fitting.kernels_norm`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

FLOOR = 1e-25
"""Predicted counts are never less, so that the statistic is finite whatever a model predicts."""


def cash(counts: ArrayLike, npred: ArrayLike) -> Array:
    """Cash statistic in every bin.

    Parameters
    ----------
    counts : array_like
        Observed counts.
    npred : array_like
        Predicted counts, same or broadcastable shape; floored at `FLOOR`.

    Returns
    -------
    numpy.ndarray
        2 (npred - counts log npred), finite for all finite input.

    References
    ----------
    Cash (1979), ApJ 228, 939.
    """
    counts = np.asarray(counts, dtype=float)
    floored = np.maximum(np.asarray(npred, dtype=float), FLOOR)
    return 2.0 * (floored - np.where(counts > 0, counts * np.log(floored), 0.0))


def cash_sum(counts: ArrayLike, npred: ArrayLike) -> float:
    """Cash statistic summed over all bins."""
    return float(np.sum(cash(counts, npred)))


def cash_gradient(counts: ArrayLike, npred: ArrayLike) -> Array:
    """Derivative of `cash` in the predicted counts, in every bin; zero where the prediction is at its floor."""
    npred = np.asarray(npred, dtype=float)
    floored = np.maximum(npred, FLOOR)
    return np.where(npred > FLOOR, 2.0 * (1.0 - np.asarray(counts, dtype=float) / floored), 0.0)
