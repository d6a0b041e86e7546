"""Few rows for many: what responses that change slowly from cell to cell, or from energy to energy, come down to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from survey.fitting.kernels_fold import subtract_max, subtract_sum

Array = NDArray[np.float64]
Subtract = Callable[[Array, Array, Array, Array], None]

LEAST_BY_PRODUCTS = 1e-5
"""Eigenvalues of the rows' products are as good as singular values for a tolerance of this part of the values or more."""
STRIDE = 8
"""No more than every so many columns are looked at for the weights; all are for how far away the rows are."""
ROUNDING = 1e-14
"""What is left of rows is noise when it is this part of them."""
BLOCK = 32
"""Rows that are looked at at a time."""


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
    weights, basis = _by_pivots(rows * importance[:, None], tolerance, subtract_sum)
    return weights / importance[:, None], basis


def low_rank_images(rows: Array, importance: Array, tolerance: float) -> tuple[Array, Array]:
    """The same for images: none of whose values is further away than a tolerance.

    Parameters
    ----------
    rows : numpy.ndarray
        Shape (n, m).
    importance : numpy.ndarray
        Of every column, positive, shape (m,).
    tolerance : float
        Greatest absolute difference of a value, times the column's importance.

    Returns
    -------
    tuple of numpy.ndarray
        Weights (n, r) and basis (r, m); r is one at least.
    """
    weighted = rows * importance
    if tolerance >= LEAST_BY_PRODUCTS * max(float(weighted.max()), -float(weighted.min())):
        weights, basis = _by_products(weighted, tolerance)
    else:
        weights, basis = _by_pivots(weighted, tolerance, subtract_max)
    return weights, basis / importance


def _by_products(rows: Array, tolerance: float) -> tuple[Array, Array]:
    """Weights and basis by the eigenvectors of the products of rows with one another."""
    n, m = rows.shape
    rest = rows[:, :: min(max(m // (4 * n), 1), STRIDE)].copy()
    left = np.ascontiguousarray(np.linalg.eigh(rest @ rest.T)[1].T[::-1])
    parts = left @ rest
    away = np.full(n, np.inf)
    rank = 0
    while rank < n and (rank == 0 or away.max() > tolerance):
        subtract_max(rest, left[rank], parts[rank], away)
        rank += 1
    basis = left[:rank] @ rows
    while rank < n and _furthest(rows, left[:rank], basis) > tolerance:
        basis = np.concatenate([basis, left[rank : rank + 1] @ rows])
        rank += 1
    return np.ascontiguousarray(left[:rank].T), basis


def _furthest(rows: Array, left: Array, basis: Array) -> float:
    """Greatest absolute difference between rows and their combinations of a basis."""
    blocks = (slice(start, start + BLOCK) for start in range(0, len(rows), BLOCK))
    return max(float(np.abs(left[:, block].T @ basis - rows[block]).max()) for block in blocks)


def _by_pivots(rows: Array, tolerance: float, subtract: Subtract) -> tuple[Array, Array]:
    """Weights and basis by the row that is furthest away again and again, then by singular values in what they span."""
    rest = rows.copy()
    most = min(rows.shape)
    basis = np.zeros((most, rows.shape[1]))
    away = np.zeros(len(rows))
    subtract(rest, np.zeros(len(rows)), basis[0], away)
    enough = max(0.2 * tolerance, ROUNDING * float(away.max()))
    size = 0
    while size < most:
        place = int(away.argmax())
        if size and away[place] <= enough:
            break
        new = rest[place] - (rest[place] @ basis[:size].T) @ basis[:size]
        new -= (new @ basis[:size].T) @ basis[:size]
        length = float(np.sqrt(new @ new))
        if length == 0.0:
            break
        basis[size] = new / length
        subtract(rest, rest @ basis[size], basis[size], away)
        size += 1
    spanned = basis[: max(size, 1)]
    weights = rows @ spanned.T
    left, values, right = np.linalg.svd(weights, full_matrices=False)
    left, right = left * values, right @ spanned
    rest = rows.copy()
    rank = 0
    while rank < len(right) and (rank == 0 or away.max() > tolerance):
        subtract(rest, left[:, rank], right[rank], away)
        rank += 1
    return np.ascontiguousarray(left[:, :rank]), np.ascontiguousarray(right[:rank])
