"""How a shape is shared among pixels, and the derivatives of the shares in the parameters of the shape."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from survey.models.spatial import Pixels, SpatialModel

Array = NDArray[np.float64]


def _by_energy(shape: SpatialModel, edges: Array) -> list[SpatialModel]:
    """The shape at the centre of every bin of true energy."""
    return [shape.at_energy(float(energy)) for energy in np.sqrt(edges[1:] * edges[:-1])]  # type: ignore[operator]


def shape_fractions(shape: SpatialModel, pixels: Pixels, edges: Array) -> Array:
    """Fraction of a source in each pixel.

    Parameters
    ----------
    shape : SpatialModel
    pixels : Pixels
        Shape (y, x).
    edges : numpy.ndarray
        Edges of the bins of true energy, TeV.

    Returns
    -------
    numpy.ndarray
        Shape (y, x), or (energy_true, y, x) for a shape that depends on energy.
    """
    if shape.is_energy_dependent:
        return np.stack([one.integral(pixels) for one in _by_energy(shape, edges)])
    return np.asarray(shape.integral(pixels), dtype=float)


def shape_gradients(shape: SpatialModel, pixels: Pixels, edges: Array) -> Array:
    """Derivatives of `shape_fractions` in every parameter of the shape, with a leading axis over them."""
    if shape.is_energy_dependent:
        return np.stack([one.gradient(pixels) for one in _by_energy(shape, edges)], axis=1)
    return np.asarray(shape.gradient(pixels), dtype=float)
