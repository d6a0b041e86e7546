"""Array functions of pixel grids for the shapes: steps from pixel to pixel, and a place between the pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def _step(vectors: Array, axis: int) -> Array:
    """Change of the unit vectors over one pixel along an axis; one-sided at edges, NaN where no neighbour is known."""
    forward = np.full_like(vectors, np.nan)
    ahead = np.diff(vectors, axis=axis)
    index = [slice(None)] * 3
    index[axis] = slice(0, -1)
    forward[tuple(index)] = ahead
    backward = np.full_like(vectors, np.nan)
    index[axis] = slice(1, None)
    backward[tuple(index)] = ahead
    both = 0.5 * (forward + backward)
    return np.where(np.isfinite(both), both, np.where(np.isfinite(forward), forward, backward))


def pixel_steps(vectors: Array, solid_angle: Array) -> tuple[Array, Array]:
    """Change of the unit vectors over one pixel along y and along x.

    Parameters
    ----------
    vectors : numpy.ndarray
        Unit vectors of the pixel centres, shape (3, y, x), NaN where there is no sky.
    solid_angle : numpy.ndarray
        In sr, shape (y, x).

    Returns
    -------
    tuple of numpy.ndarray
        Two arrays of shape (3, y, x). A pixel without neighbours counts as a square towards the north pole.
    """
    size = np.sqrt(solid_angle)
    x, y, z = vectors
    ground = np.maximum(np.hypot(x, y), 1e-12)
    east = np.stack([-y / ground, x / ground, np.zeros_like(z)])
    north = np.stack([-z * x / ground, -z * y / ground, ground])
    along_y, along_x = _step(vectors, 1), _step(vectors, 2)
    return (
        np.where(np.isfinite(along_y), along_y, north * size),
        np.where(np.isfinite(along_x), along_x, -east * size),
    )


def fractional_pixel(vectors: Array, solid_angle: Array, place: Array) -> tuple[float, float]:
    """Pixel coordinates of a place, with fractions, from the pixel centre next to it.

    Parameters
    ----------
    vectors : numpy.ndarray
        Unit vectors of the pixel centres, shape (3, y, x), NaN where there is no sky.
    solid_angle : numpy.ndarray
        In sr, shape (y, x).
    place : numpy.ndarray
        Unit vector, shape (3,).

    Returns
    -------
    tuple of float
        y and x, pixel centres at whole numbers; they may lie outside the grid.
    """
    distance = np.sum((vectors - place[:, None, None]) ** 2, axis=0)
    y, x = divmod(int(np.nanargmin(distance)), distance.shape[1])
    near = (slice(None), slice(max(y - 1, 0), y + 2), slice(max(x - 1, 0), x + 2))
    step_y, step_x = pixel_steps(vectors[near], solid_angle[near[1:]])
    middle = (slice(None), min(y, 1), min(x, 1))
    center = vectors[:, y, x]
    basis = np.stack([step_y[middle], step_x[middle]], axis=1)
    away = place / (place @ center) - center
    shift = np.linalg.lstsq(basis, away, rcond=None)[0]
    return float(y + shift[0]), float(x + shift[1])
