"""Directions of photons: drawn from the shapes of sources, and brought to ICRS."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from survey.sky.frames import rotation_from_icrs, unit_vectors

Array = NDArray[np.float64]


def sky_integral(spatial: Any, energy: Array) -> Array | float:
    """Integral of a shape over the sky at energies (TeV): 1 but for constants and templates that are not normalised."""
    if getattr(spatial, "is_energy_dependent", False):
        return _totals(spatial, tuple(energy.tolist()))
    return float(getattr(spatial, "total", 1.0))


@lru_cache(maxsize=16)
def _totals(cube: Any, energies: tuple[float, ...]) -> Array:
    """Integrals of a cube over the sky at energies: kept, since all observations ask for the same."""
    return np.array([_total_at(cube, energy) for energy in energies])


def _total_at(cube: Any, energy: float) -> float:
    try:
        return float(cube.at_energy(energy).total)
    except ValueError:  # beyond its planes a cube holds nothing, and nothing is no image
        return 0.0


def draw_directions(spatial: Any, rng: np.random.Generator, energy: Array) -> Array:
    """Directions of photons of given energies.

    Parameters
    ----------
    spatial : SpatialModel
        Its ``sample`` gives longitudes and latitudes in its own frame.
    rng : numpy.random.Generator
    energy : numpy.ndarray (n,)
        TeV; matters for templates that change with energy.

    Returns
    -------
    numpy.ndarray (3, n)
        ICRS unit vectors.
    """
    if getattr(spatial, "is_energy_dependent", False):
        lon, lat = spatial.sample(rng, energy.size, energy=energy)
    else:
        lon, lat = spatial.sample(rng, energy.size)
    vectors = unit_vectors(lon, lat)
    if spatial.frame != "icrs":
        vectors = rotation_from_icrs(spatial.frame).T @ vectors
    return np.ascontiguousarray(vectors)
