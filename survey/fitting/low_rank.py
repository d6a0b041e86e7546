"""Few rows for many: what responses that change slowly from cell to cell, or from energy to energy, come down to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def low_rank(rows: Array, tolerance: float) -> tuple[Array, Array]:
    """Weights and basis whose product is an array of rows, none further away than a tolerance.

    Parameters
    ----------
    rows : numpy.ndarray
        Shape (n, m).
    tolerance : float
        Greatest sum over a row of the absolute differences.

    Returns
    -------
    tuple of numpy.ndarray
        Weights (n, r) and basis (r, m), with the smallest r that a singular value decomposition allows; r is one at least.
    """
    left, values, right = np.linalg.svd(rows, full_matrices=False)
    weights = left * values
    rest = rows.copy()
    for rank in range(1, values.size + 1):
        rest -= np.outer(weights[:, rank - 1], right[rank - 1])
        if np.abs(rest).sum(axis=1).max() <= tolerance:
            break
    return np.ascontiguousarray(weights[:, :rank]), np.ascontiguousarray(right[:rank])


def low_rank_images(rows: Array, tolerance: float) -> tuple[Array, Array]:
    """The same for few long rows, by their products: none of whose values is further away than a tolerance.

    Parameters
    ----------
    rows : numpy.ndarray
        Shape (n, m), n much smaller than m.
    tolerance : float
        Greatest absolute difference of a value.

    Returns
    -------
    tuple of numpy.ndarray
        Weights (n, r) and basis (r, m), r at most n.
    """
    squares, vectors = np.linalg.eigh(rows @ rows.T)
    vectors = vectors[:, ::-1]
    # the mean of the squares that are left by each rank; where it is too great a value is too
    left = np.append(np.cumsum(np.maximum(squares, 0.0))[::-1][1:], 0.0) / rows.size
    first = 1 + int((left > tolerance**2).argmin())
    for rank in range(first, len(rows)):
        weights = np.ascontiguousarray(vectors[:, :rank])
        basis = weights.T @ rows
        if np.abs(rows - weights @ basis).max() <= tolerance:
            return weights, basis
    return np.eye(len(rows)), rows
