"""Array function of round Gaussians: their image, in one pass over the pixels."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, fastmath={"contract"})
def gaussian_image(vectors, solid_angle, center, slope, norm, farthest):
    """Values at the pixels' centres times the pixels' solid angles, shape (y, x).

    Parameters
    ----------
    vectors : array of float64
        Unit vectors of the pixels' centres, shape (3, y, x), NaN where there is no sky.
    solid_angle : array of float64
        Shape (y, x), sr.
    center : array of float64
        Unit vector, shape (3,).
    slope : float
        Of the logarithm of the brightness, in the square of the chord to the centre.
    norm : float
        Brightness at the centre, sr-1.
    farthest : float
        Square of the chord beyond which pixels are zero.
    """
    ny, nx = solid_angle.shape
    out = np.zeros((ny, nx))
    for y in range(ny):
        for x in range(nx):
            away = (
                (vectors[0, y, x] - center[0]) ** 2
                + (vectors[1, y, x] - center[1]) ** 2
                + (vectors[2, y, x] - center[2]) ** 2
            )
            if away <= farthest:
                out[y, x] = norm * np.exp(slope * away) * solid_angle[y, x]
    return out
