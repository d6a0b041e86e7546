"""How a map is laid out on a page: strips below each other, and which of its pixels are drawn.

A map may be handed over in parts: what is drawn of it has the size of the page, however large the map is.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from survey.sky.pixels import Window

ALL_SKY_PROJECTIONS = ("AIT", "MOL")

WIDTH = 9.5
"""Of a picture, inches."""
DPI = 110
"""Dots per inch of a picture."""

LONGEST_STRIP = 7.0
"""A map that is longer than this many times its height is drawn in strips below each other."""

SAMPLES_PER_DOT = 2
"""Pixels of a map for each dot of its picture, along a side; of more than that some are left out, which nobody sees, because
drawing takes several times the memory of what is drawn."""


def is_all_sky(wcs: WCS) -> bool:
    """Whether `wcs` is an all-sky projection, whose frame is an ellipse rather than a rectangle."""
    return wcs.wcs.ctype[0][-3:] in ALL_SKY_PROJECTIONS


@dataclass(frozen=True)
class Panels:
    """The strips that a map is drawn in.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the map.
    edges : tuple of int
        First columns of the strips, and the end; the first ones are multiples of `step`.
    step : int
        One pixel of so many is drawn, along either side.
    """

    shape: tuple[int, int]
    edges: tuple[int, ...]
    step: int

    @classmethod
    def of(cls, shape: tuple[int, int], wcs: WCS, *, dpi: int = DPI) -> Panels:
        """Panels of a map: several for a long band along a plane, one else."""
        ny, nx = shape
        number = 1 if is_all_sky(wcs) else int(np.ceil(nx / ny / LONGEST_STRIP))
        step = max(1, -(-nx // number) // (SAMPLES_PER_DOT * int(WIDTH * dpi)))
        return cls(shape, (*(-(-nx * k // number) // step * step for k in range(number)), nx), step)

    @property
    def strips(self) -> list[slice]:
        """Columns of each strip."""
        return [slice(*ends) for ends in pairwise(self.edges)]

    @property
    def widest(self) -> int:
        """Columns of the widest strip."""
        return max(last - first for first, last in pairwise(self.edges))

    def drawn(self, strip: slice) -> slice:
        """Columns of the samples that a strip shows."""
        return slice(strip.start // self.step, len(range(self.step // 2, strip.stop, self.step)))

    def sample(self, values: NDArray[Any]) -> NDArray[Any]:
        """What is drawn of a map (y, x)."""
        return values[self.step // 2 :: self.step, self.step // 2 :: self.step]

    def blank(self) -> NDArray[np.float32]:
        """Samples of a map of which nothing is known yet: NaN."""
        rows, columns = (len(range(self.step // 2, size, self.step)) for size in self.shape)
        return np.full((rows, columns), np.nan, dtype=np.float32)

    def put(self, samples: NDArray[np.float32], values: NDArray[Any], window: Window) -> None:
        """Enter the values (y, x) of a window of the map into its samples."""
        first_y, first_x = ((self.step // 2 - start) % self.step for start in (window.y0, window.x0))
        part = values[first_y :: self.step, first_x :: self.step]
        y, x = (window.y0 + first_y) // self.step, (window.x0 + first_x) // self.step
        samples[y : y + part.shape[0], x : x + part.shape[1]] = part
