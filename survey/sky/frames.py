"""Frames: unit vectors, and ICRS to Galactic and back by one rotation matrix.

The matrix is astropy's own; a call costs three products a position, where ``SkyCoord`` costs a frame graph.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Frame = Literal["icrs", "galactic"]
FRAMES: tuple[Frame, ...] = ("icrs", "galactic")


def unit_vectors(lon: ArrayLike, lat: ArrayLike) -> NDArray[np.float64]:
    """Unit vectors of positions given in deg; shape (3, ...) of the broadcast inputs."""
    lon, lat = np.broadcast_arrays(np.radians(np.asarray(lon, np.float64)), np.radians(np.asarray(lat, np.float64)))
    cos_lat = np.cos(lat)
    return np.stack([cos_lat * np.cos(lon), cos_lat * np.sin(lon), np.sin(lat)])


def positions(vectors: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude in [0, 360) and latitude, deg, of vectors of shape (3, ...), unit or not; NaN stays NaN."""
    x, y, z = vectors
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))


@lru_cache(maxsize=2)
def rotation_from_icrs(frame: Frame) -> NDArray[np.float64]:
    """The (3, 3) matrix that takes ICRS vectors to vectors of `frame`. Read only."""
    from astropy.coordinates import ICRS, CartesianRepresentation, Galactic

    axes = CartesianRepresentation(np.eye(3))
    target = {"icrs": ICRS, "galactic": Galactic}[frame]
    matrix = np.ascontiguousarray(ICRS(axes).transform_to(target()).cartesian.xyz.value)
    matrix.setflags(write=False)
    return matrix


def from_icrs(ra: ArrayLike, dec: ArrayLike, frame: Frame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude and latitude in `frame`, deg, of ICRS positions in deg (any shape)."""
    if frame == "icrs":
        return np.asarray(ra, np.float64), np.asarray(dec, np.float64)
    return positions(np.tensordot(rotation_from_icrs(frame), unit_vectors(ra, dec), 1))


def to_icrs(lon: ArrayLike, lat: ArrayLike, frame: Frame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """ICRS right ascension and declination, deg, of positions in `frame` in deg (any shape)."""
    if frame == "icrs":
        return np.asarray(lon, np.float64), np.asarray(lat, np.float64)
    return positions(np.tensordot(rotation_from_icrs(frame).T, unit_vectors(lon, lat), 1))


def separation(lon: ArrayLike, lat: ArrayLike, other_lon: ArrayLike, other_lat: ArrayLike) -> NDArray[np.float64]:
    """Angle between positions, deg, broadcast; accurate from the smallest distances to 180 degrees."""
    x1, y1, z1 = unit_vectors(lon, lat)
    x2, y2, z2 = unit_vectors(other_lon, other_lat)
    cross = np.sqrt((y1 * z2 - z1 * y2) ** 2 + (z1 * x2 - x1 * z2) ** 2 + (x1 * y2 - y1 * x2) ** 2)
    return np.degrees(np.arctan2(cross, x1 * x2 + y1 * y2 + z1 * z2))


@lru_cache(maxsize=64)
def basis_to_icrs(frame: Frame, lon: float, lat: float) -> NDArray[np.float64]:
    """The (3, 3) matrix from the basis (reference point, east, north) at a place in `frame`, deg, to ICRS. Read only.

    At the north pole the FITS default of LONPOLE turns east and north around.
    """
    cos_lon, sin_lon = math.cos(math.radians(lon)), math.sin(math.radians(lon))
    cos_lat, sin_lat = math.cos(math.radians(lat)), math.sin(math.radians(lat))
    reference = np.array([cos_lat * cos_lon, cos_lat * sin_lon, sin_lat])
    east = np.array([-sin_lon, cos_lon, 0.0])
    north = np.array([-sin_lat * cos_lon, -sin_lat * sin_lon, cos_lat])
    if lat == 90.0:
        east, north = -east, -north
    matrix = np.ascontiguousarray(rotation_from_icrs(frame).T @ np.stack([reference, east, north], axis=1))
    matrix.setflags(write=False)
    return matrix
