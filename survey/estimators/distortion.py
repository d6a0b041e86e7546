"""Whether the pixels of a grid are alike enough for maps that are convolved.

Templates and circles are made of pixels of one size. On an all-sky AIT or MOL grid, or far from the equator of a CAR
grid, pixels differ, and a template would be seen as a source of another shape and flux.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

Array = NDArray[np.float64]

LIMIT = 0.05
"""Greatest difference of a pixel's sides from the pixel size, and greatest cosine of the angle between them. At this
limit the template of a PSF is as wrong as its width is known."""

SAMPLES = 17
"""Places along each axis that are looked at."""


class GridLike(Protocol):
    """What must be known of a grid."""

    @property
    def proj(self) -> str: ...
    @property
    def binsize(self) -> float: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def wcs(self) -> WCS: ...


def pixel_distortion(grid: GridLike) -> Array:
    """How far pixels are from squares of the pixel size, at places all over the grid.

    Parameters
    ----------
    grid : GridLike
        A pixel grid.

    Returns
    -------
    numpy.ndarray
        Shape (SAMPLES, SAMPLES): the greatest of the relative differences of the two sides and the cosine of the angle
        between them; infinite where the projection has no sky.
    """
    ny, nx = grid.shape
    first, last = 0.0, nx - 1.0
    if grid.proj == "CAR":
        # all columns are alike, and those of a grid that comes round may end a little beyond the sky
        beyond = max(0.0, 0.5 * (nx - 360.0 / grid.binsize))
        first, last = first + beyond, last - beyond
    y, x = np.meshgrid(np.linspace(0, ny - 1, SAMPLES), np.linspace(first, last, SAMPLES), indexing="ij")
    wcs = grid.wcs

    def vectors(dy: float, dx: float) -> Array:
        lon, lat = wcs.wcs_pix2world((x + dx).ravel(), (y + dy).ravel(), 0)
        lon, lat = np.radians(lon), np.radians(lat)
        place = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
        return place.reshape(3, *y.shape)

    side_y = vectors(0.5, 0.0) - vectors(-0.5, 0.0)
    side_x = vectors(0.0, 0.5) - vectors(0.0, -0.5)
    length_y, length_x = (np.sqrt(np.sum(side**2, axis=0)) for side in (side_y, side_x))
    size = np.radians(grid.binsize)
    with np.errstate(invalid="ignore", divide="ignore"):
        skew = np.abs(np.sum(side_y * side_x, axis=0) / (length_y * length_x))
    worst = np.max([np.abs(length_y / size - 1), np.abs(length_x / size - 1), skew], axis=0)
    return np.where(np.isfinite(worst), worst, np.inf)


def check_distortion(grid: GridLike, *, limit: float = LIMIT) -> None:
    """Refuse a grid whose pixels are too different for maps that are convolved.

    Parameters
    ----------
    grid : GridLike
        A pixel grid.
    limit : float
        See `LIMIT`.

    Raises
    ------
    ValueError
        One line: how different the pixels are and what to do.
    """
    worst = float(pixel_distortion(grid).max())
    if worst <= limit:
        return
    how = "parts without sky" if np.isinf(worst) else f"pixels up to {worst:.0%} off their nominal size or angle"
    ny, nx = grid.shape
    raise ValueError(
        f"the {grid.proj} grid of {nx * grid.binsize:g} x {ny * grid.binsize:g} deg has {how}, more than the "
        f"{limit:.0%} that maps which are convolved bear; take excess_map and ts_map out, or use a smaller grid, "
        "TAN around the field, or CAR along its reference latitude"
    )
