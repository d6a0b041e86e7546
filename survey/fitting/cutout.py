"""The part of a cube that a source is seen through: pixels within its evaluation radius, whole response cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from survey.fitting.settings import PredictionSettings
from survey.models.components import Component, SkyModel
from survey.models.spatial import Pixels, SpatialModel
from survey.sky.frames import positions
from survey.sky.grid import SkyGrid
from survey.sky.pixels import Window
from survey.sky.tiles import Tile

Array = NDArray[np.float64]

MAX_DISTORTION = 0.1
"""Kernels are of square pixels: the greatest deviation of a pixel's solid angle from its nominal one under a source."""


class PixelCut(NamedTuple):
    """Centres and solid angles of the pixels of a cut-out."""

    vectors: Array
    """ICRS unit vectors, shape (3, y, x)."""
    solid_angle: Array
    """In sr, shape (y, x)."""


def pixels_of(dataset: xr.Dataset) -> Pixels:
    """Where the pixels of a cube, or of a cut-out of one, look.

    Parameters
    ----------
    dataset : xarray.Dataset
        With the attribute ``grid``, and ``y_first``, ``x_first`` when it is a cut-out.

    Raises
    ------
    ValueError
        When it does not say what its grid is.
    """
    attributes: Mapping[str, Any] = dataset.attrs
    if "grid" not in attributes:
        raise ValueError(
            "predicted counts: the dataset has no attribute 'grid'; expected the grid of its cube: keep the attributes of "
            "the dataset that it was cut out of, or give the pixels"
        )
    grid = SkyGrid.from_key(attributes["grid"])
    y, x = int(attributes.get("y_first", 0)), int(attributes.get("x_first", 0))
    window = Window(y, y + dataset.sizes["y"], x, x + dataset.sizes["x"])
    return grid.geometry(window, margin=grid.is_cyclic)


def source_window(pixels: Pixels, shape: SpatialModel, *, margin: float = 0.0) -> Window | None:
    """Pixels of a dataset that hold a shape.

    Parameters
    ----------
    pixels : Pixels
        Of the dataset.
    shape : SpatialModel
    margin : float
        More radius, deg.

    Returns
    -------
    Window or None
        Counted from the dataset's first pixel, inside the dataset; None when no pixel holds anything.
    """
    vectors, solid_angle = pixels.vectors, pixels.solid_angle
    # a point lies on the four pixels around it
    size = float(np.degrees(np.sqrt(solid_angle.max())))
    radius = min(shape.evaluation_radius + margin + 2 * size, 180.0)
    near = np.tensordot(shape.center, vectors, 1) >= np.cos(np.radians(radius))
    rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
    if rows.size == 0:
        return None
    return Window(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)


def cells_around(window: Window, cell: int, shape: tuple[int, int]) -> Window:
    """Whole cells that hold a window, and one more on every side, which responses are interpolated to.

    Parameters
    ----------
    window : Window
        Counted from the first pixel of a dataset that starts at the border of a cell.
    cell : int
        Pixels of a cell.
    shape : tuple of int
        Pixels of the dataset (y, x), which the result stays inside of.
    """
    ny, nx = shape
    y0, y1, x0, x1 = window.snapped(cell).grown(cell)
    return Window(max(y0, 0), min(y1, ny), max(x0, 0), min(x1, nx))


def cut(pixels: Pixels, window: Window) -> PixelCut:
    """The pixels of a window."""
    y, x = window.slices
    return PixelCut(pixels.vectors[:, y, x], pixels.solid_angle[y, x])


def cut_dataset(dataset: xr.Dataset, window: Window) -> xr.Dataset:
    """A window of whole cells of a dataset, with its cells."""
    cell = int(dataset.attrs["cell"])
    y, x = window.slices
    indexers = {"y": y, "x": x}
    for dim, part in (("y_irf", y), ("x_irf", x)):
        if dim in dataset.dims:
            indexers[dim] = slice(part.start // cell, -(-part.stop // cell))
    return dataset.isel(indexers)


def check_square(solid_angle: Array, binsize: float, name: str) -> None:
    """Refuse a place of the grid where pixels are far from square.

    Raises
    ------
    ValueError
        When a kernel of square pixels would be wrong there.
    """
    known = solid_angle > 0
    if not known.any():
        return
    worst = float(np.abs(solid_angle[known] / np.radians(binsize) ** 2 - 1).max())
    if worst > MAX_DISTORTION:
        raise ValueError(
            f"model {name}: the grid's pixels under it deviate by {100 * worst:.0f} % from squares of {binsize:g} deg, "
            f"expected {100 * MAX_DISTORTION:.0f} % at most: choose a grid whose projection has its reference near the source"
        )


def tiles_of(model: Component, grid: SkyGrid, settings: PredictionSettings) -> set[Tile]:
    """Tiles that a component may have predicted counts in."""
    if not isinstance(model, SkyModel) or model.spatial is None:
        return set(grid.tiles())
    ra, dec = (float(angle) for angle in positions(model.spatial.center))
    reach = model.spatial.evaluation_radius + np.sqrt(2) * settings.psf_radius_max + 4 * grid.binsize
    return set(grid.tiles() if reach >= 180 else grid.tiles_near(ra, dec, reach))
