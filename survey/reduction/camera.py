"""The camera on the sky: pointing and axes as vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from survey.sky.frames import unit_vectors


def camera_frames(ra: NDArray[np.float64], dec: NDArray[np.float64], roll: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pointing, direction of camera x and direction of camera y as rows of matrices, (k, 3, 3).

    Parameters
    ----------
    ra, dec, roll : numpy.ndarray (k,)
        Pointing (ICRS) and position angle of camera y from north through east, deg.
    """
    lon, lat, angle = np.radians(ra), np.radians(dec), np.radians(roll)
    center = unit_vectors(ra, dec)
    east = np.stack([-np.sin(lon), np.cos(lon), np.zeros_like(lon)])
    north = np.stack([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)])
    x = np.cos(angle) * east - np.sin(angle) * north
    y = np.sin(angle) * east + np.cos(angle) * north
    return np.ascontiguousarray(np.stack([center, x, y]).transpose(2, 0, 1))
