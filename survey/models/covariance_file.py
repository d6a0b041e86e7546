"""The covariance matrix beside a model file: a table of fixed width, as Gammapy writes and reads it.

A row and a column a parameter, frozen and linked ones included, in the order of the model file and in its units. The
first column names the parameters: ``source.spectral.index``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from survey.models.models_error import ModelsError

Array = NDArray[np.float64]


def covariance_text(names: Sequence[str], matrix: Array) -> str:
    """The table.

    Parameters
    ----------
    names : sequence of str
        Of the parameters, in order.
    matrix : numpy.ndarray
        Shape (n, n), in the units of the model file.
    """
    rows = [["Parameters", *(str(number) for number in range(len(names)))]]
    rows += [[name, *(repr(float(value)) for value in row)] for name, row in zip(names, matrix, strict=True)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(names) + 1)]
    lines = [
        "| " + " | ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return "\n".join(lines) + "\n"


def read_covariance(path: Path, names: Sequence[str]) -> Array:
    """The matrix of a file, rows and columns in the order of `names`.

    Parameters
    ----------
    path : pathlib.Path
        The table.
    names : sequence of str
        Of the parameters of the model file. Rows of the same names in another order are brought to this one; other
        names (Gammapy forgets the name of a background model) are taken to be in order.

    Returns
    -------
    numpy.ndarray
        Shape (n, n). Elements that are not finite, as after a fit that failed, are zero.
    """
    try:
        lines = [line for line in path.read_text().splitlines() if line.strip()]
    except OSError as error:
        raise ModelsError(
            f"covariance: {path} cannot be read ({error.strerror}); put it there or take out the key"
        ) from None
    size = len(names)
    found, rows = [], []
    for line in lines[1:]:
        cells = [cell.strip() for cell in line.strip().strip("|").rsplit("|", size)]
        try:
            rows.append([float(cell) for cell in cells[1:]])
        except ValueError:
            raise ModelsError(
                f"covariance: {path}: row {cells[0]!r} does not hold {size} numbers, one for each parameter"
            ) from None
        found.append(cells[0])
    shape = {len(row) for row in rows} | {len(rows), lines[0].count("|") - 2 if lines else 0}
    if shape != {size}:
        raise ModelsError(
            f"covariance: {path} holds {len(rows)} rows, expected one for each of the {size} parameters of the models; "
            "write it anew with the models, or take out the key"
        )
    matrix = np.nan_to_num(np.array(rows, dtype=float).reshape(size, size), nan=0.0, posinf=0.0, neginf=0.0)
    if found != list(names) and sorted(found) == sorted(names) and len(set(found)) == size:
        order = [found.index(name) for name in names]
        matrix = matrix[np.ix_(order, order)]
    return matrix
