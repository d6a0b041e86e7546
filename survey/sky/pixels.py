"""Windows of pixels, and the geometry of the pixels in one: unit vectors, solid angles, response cells.

`survey.sky.grid.SkyGrid` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from survey.sky.frames import positions


class Window(NamedTuple):
    """Half-open ranges of rows and columns of a grid."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, (ny, nx)."""
        return max(self.y1 - self.y0, 0), max(self.x1 - self.x0, 0)

    @property
    def is_empty(self) -> bool:
        """Whether it has no pixel."""
        return self.y1 <= self.y0 or self.x1 <= self.x0

    @property
    def slices(self) -> tuple[slice, slice]:
        """What cuts it out of an array (..., y, x) of the whole grid; only for windows inside the grid."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def intersection(self, other: Window) -> Window:
        """The part in common; an empty window if there is none."""
        y0, y1 = max(self.y0, other.y0), min(self.y1, other.y1)
        x0, x1 = max(self.x0, other.x0), min(self.x1, other.x1)
        return Window(y0, y1, x0, x1) if y0 < y1 and x0 < x1 else EMPTY

    def contains(self, other: Window) -> bool:
        """Whether `other` lies inside."""
        return self.y0 <= other.y0 and other.y1 <= self.y1 and self.x0 <= other.x0 and other.x1 <= self.x1

    def grown(self, pixels: int) -> Window:
        """The window with a halo of some pixels on every side (it may leave the grid)."""
        return Window(self.y0 - pixels, self.y1 + pixels, self.x0 - pixels, self.x1 + pixels)

    def relative_to(self, other: Window) -> Window:
        """The same pixels, counted from the first pixel of `other`."""
        return Window(self.y0 - other.y0, self.y1 - other.y0, self.x0 - other.x0, self.x1 - other.x0)

    def snapped(self, step: int) -> Window:
        """Grown to whole steps, counted from the first pixel of the grid (it may leave the grid)."""
        return Window(
            self.y0 // step * step, -(-self.y1 // step) * step, self.x0 // step * step, -(-self.x1 // step) * step
        )


EMPTY = Window(0, 0, 0, 0)


@dataclass(frozen=True, eq=False)
class PixelGeometry:
    """Where the pixels of a window look.

    Parameters
    ----------
    window : Window
        The pixels.
    vectors : numpy.ndarray
        (3, ny, nx), ICRS unit vectors of the pixel centres; NaN where there is no sky.
    solid_angle : numpy.ndarray
        (ny, nx), sr; 0 where there is no sky.
    cells : Window
        The response cells that the window touches.
    cell_vectors : numpy.ndarray
        (3, nyc, nxc), ICRS unit vectors of those cells' centres, over the pixels of the grid that the cell has.
    cell_size : int
        Pixels along the side of a whole cell.
    """

    window: Window
    vectors: NDArray[np.float64]
    solid_angle: NDArray[np.float64]
    cells: Window
    cell_vectors: NDArray[np.float64]
    cell_size: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, (ny, nx)."""
        return self.window.shape

    @cached_property
    def valid(self) -> NDArray[np.bool_]:
        """(ny, nx): pixels that are on the sky."""
        return self.solid_angle > 0

    @cached_property
    def positions(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Right ascension and declination of the pixel centres, deg, each (ny, nx)."""
        return positions(self.vectors)

    @cached_property
    def cell_positions(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Right ascension and declination of the cells' centres, deg, each (nyc, nxc)."""
        return positions(self.cell_vectors)
