"""Few rows for many: what responses that change slowly from cell to cell, or from energy to energy, come down to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def low_rank(rows: Array, importance: Array, tolerance: float) -> tuple[Array, Array]:
    """Weights and basis whose product is an array of rows, none further away than a tolerance.

    Parameters
    ----------
    rows : numpy.ndarray
        Shape (n, m).
    importance : numpy.ndarray
        Of every row, positive, shape (n,).
    tolerance : float
        Greatest sum over a row of the absolute differences, times the row's importance.

    Returns
    -------
    tuple of numpy.ndarray
        Weights (n, r) and basis (r, m); r is one at least.
    """
    weights, basis = _joined(rows * importance[:, None], tolerance, lambda rest: np.abs(rest).sum(axis=1))
    return weights / importance[:, None], basis


def low_rank_images(rows: Array, importance: Array, tolerance: float) -> tuple[Array, Array]:
    """The same for images: none of whose values is further away than a tolerance.

    Parameters
    ----------
    rows : numpy.ndarray
        Shape (n, m).
    importance : numpy.ndarray
        Of every column, shape (m,).
    tolerance : float
        Greatest absolute difference of a value, times the column's importance.

    Returns
    -------
    tuple of numpy.ndarray
        Weights (n, r) and basis (r, m); r is one at least.
    """
    return _joined(rows, tolerance, lambda rest: (np.abs(rest) * importance).max(axis=1))


def _joined(rows: Array, tolerance: float, distance: Callable[[Array], Array]) -> tuple[Array, Array]:
    """Weights and basis by the row that is furthest away again and again, then by singular values in what they span."""
    rest = rows.copy()
    most = min(rows.shape)
    basis = np.zeros((most, rows.shape[1]))
    size = 0
    while size < most:
        away = distance(rest)
        place = int(away.argmax())
        if size and away[place] <= 0.2 * tolerance:
            break
        new = rest[place] - (rest[place] @ basis[:size].T) @ basis[:size]
        length = float(np.sqrt(new @ new))
        if length == 0.0:
            break
        basis[size] = new / length
        rest -= np.outer(rest @ basis[size], basis[size])
        size += 1
    spanned = basis[: max(size, 1)]
    weights = rows @ spanned.T
    left, values, right = np.linalg.svd(weights, full_matrices=False)
    left, right = left * values, right @ spanned
    rest = rows - left[:, :1] * right[0]
    rank = 1
    while rank < len(right) and distance(rest).max() > tolerance:
        rest -= np.outer(left[:, rank], right[rank])
        rank += 1
    return np.ascontiguousarray(left[:, :rank]), np.ascontiguousarray(right[:rank])
