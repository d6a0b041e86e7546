"""Tiles of a grid, and what a circle on the sky covers of it: bounding windows, and the tiles that it reaches.

The windows are a little generous; the tiles are exact: one is named only if it has a pixel centre within the circle.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from survey.sky import frames
from survey.sky.kernels_projection import AIT, CAR, CODES, ELLIPSE, TAN
from survey.sky.pixels import EMPTY, Window

if TYPE_CHECKING:
    from survey.sky.grid import SkyGrid

RIM_SAMPLES = 720
"""Points on a circle whose images bound it; what lies between two of them is covered by the padding."""


class Tile(NamedTuple):
    """Row and column of a tile."""

    iy: int
    ix: int

    @property
    def name(self) -> str:
        """``y003x012``."""
        return f"y{self.iy:03d}x{self.ix:03d}"

    @classmethod
    def from_name(cls, name: str) -> Tile:
        """The tile of a `name`."""
        match = re.fullmatch(r"y(\d{3,})x(\d{3,})", name)
        if match is None:
            raise ValueError(f"tile name {name!r}, expected one like 'y003x012'")
        return cls(int(match[1]), int(match[2]))


def tile_window(grid: SkyGrid, tile: Tile) -> Window:
    """Pixels of a tile: clipped at the edge of the grid."""
    size = grid.tile
    window = Window(tile.iy * size, (tile.iy + 1) * size, tile.ix * size, (tile.ix + 1) * size)
    window = window.intersection(grid.full_window)
    if window.is_empty or min(tile) < 0:
        raise ValueError(f"tile {tile.name} is outside the grid of {grid.ny} x {grid.nx} pixels")
    return window


def window_with_halo(grid: SkyGrid, window: Window, halo: int) -> Window:
    """A tile's window with its halo: cut at the edge of the grid, across the seam of a cyclic one."""
    grown, whole = window.grown(halo), grid.full_window
    x0, x1 = grown.x0, grown.x1
    if not grid.is_cyclic:
        x0, x1 = max(x0, whole.x0), min(x1, whole.x1)
    elif x1 - x0 > grid.nx:
        x0, x1 = whole.x0, whole.x1
    return Window(max(grown.y0, whole.y0), min(grown.y1, whole.y1), x0, x1)


def tiles_touching(grid: SkyGrid, window: Window) -> list[Tile]:
    """Tiles that have pixels in a window, which may reach over the seam of a cyclic grid, in row-major order."""
    if window.is_empty:
        return []
    size = grid.tile
    # every column counts: the last tile before a seam may be narrower than a step of a tile's width
    columns = np.unique(np.arange(window.x0, window.x1) % grid.nx // size)
    rows = range(window.y0 // size, (window.y1 - 1) // size + 1)
    return [Tile(iy, ix) for iy in rows for ix in columns.tolist()]


def window_around(grid: SkyGrid, ra: float, dec: float, radius: float, *, margin: bool = False) -> Window:
    """Bounding window, of whole response cells, of the pixel centres within a circle; see `SkyGrid.window_around`."""
    boxes = _boxes(grid, ra, dec, radius)
    if margin:
        if not boxes:
            return EMPTY
        # a grid that comes round to its seam without being cyclic shows the rest of the circle at its other end
        window = _hull([boxes[0], *(box for box in boxes[1:] if _parts_on_grid(grid, box))]).snapped(grid.cell)
        if grid.is_cyclic and window.x1 - window.x0 > grid.nx:
            return Window(window.y0, window.y1, 0, grid.nx)
        return window
    parts = [part for box in boxes for part in _parts_on_grid(grid, box)]
    if not parts:
        return EMPTY
    return _hull(parts).snapped(grid.cell).intersection(grid.full_window)


def _hull(windows: Sequence[Window]) -> Window:
    """The smallest window that holds some others."""
    y0, y1, x0, x1 = np.array(windows).T
    return Window(int(y0.min()), int(y1.max()), int(x0.min()), int(x1.max()))


def tiles_near(grid: SkyGrid, ra: float, dec: float, radius: float) -> list[Tile]:
    """Tiles with a pixel centre within a circle, in row-major order; see `SkyGrid.tiles_near`."""
    # half a milliarcsecond of tolerance: a tile too many costs nothing, a missing one costs events
    reach = math.cos(math.radians(min(radius + 1e-7, 180.0)))
    center = frames.unit_vectors(ra, dec)
    y_center, x_center = (float(value) for value in grid.world_to_pixel(ra, dec))
    candidates: dict[Tile, list[Window]] = {}
    for box in _boxes(grid, ra, dec, radius):
        for part in _parts_on_grid(grid, box):
            for iy in range(part.y0 // grid.tile, (part.y1 - 1) // grid.tile + 1):
                for ix in range(part.x0 // grid.tile, (part.x1 - 1) // grid.tile + 1):
                    candidates.setdefault(Tile(iy, ix), []).append(part)
    near = []
    for tile, parts in sorted(candidates.items()):
        for part in parts:
            inside = tile_window(grid, tile).intersection(part)
            if any(_reaches(grid, probe, center, reach) for probe in _probes(inside, y_center, x_center)):
                near.append(tile)
                break
    return near


def _probes(window: Window, y: float, x: float) -> Iterator[Window]:
    """The pixel nearest to the circle's centre, which mostly settles it; then the whole window."""
    if math.isfinite(y) and math.isfinite(x):
        row = min(max(round(y), window.y0), window.y1 - 1)
        column = min(max(round(x), window.x0), window.x1 - 1)
        yield Window(row, row + 1, column, column + 1)
    yield window


def _reaches(grid: SkyGrid, window: Window, center: NDArray[np.float64], reach: float) -> bool:
    if CODES[grid.proj] == CAR:  # no kernel: the first one that a driver loads takes 50 MB and half a second
        u, v = grid.plane(window)
        u, v = u[np.abs(u) <= math.pi * ELLIPSE], v[np.abs(v) <= 0.5 * math.pi * ELLIPSE]
        front, east, north = grid.to_native(center)
        cosines = np.outer(np.cos(v), front * np.cos(u) + east * np.sin(u)) + north * np.sin(v)[:, None]
    else:
        cosines = np.tensordot(center, grid.fill(window)[0], 1)
    return bool(np.any(cosines >= reach))  # a comparison with NaN, off the sky, is false


def _parts_on_grid(grid: SkyGrid, box: Window) -> list[Window]:
    """The parts of an unclipped box that lie on the grid: two where it crosses the seam of a cyclic grid."""
    shifts = (-grid.nx, 0, grid.nx) if grid.is_cyclic else (0,)
    moved = (Window(box.y0, box.y1, box.x0 + shift, box.x1 + shift) for shift in shifts)
    return [part for part in (window.intersection(grid.full_window) for window in moved) if not part.is_empty]


def _boxes(grid: SkyGrid, ra: float, dec: float, radius: float) -> list[Window]:
    """Windows, not clipped to the grid, that hold every pixel centre within a circle; the first has its centre."""
    if not (0 < radius < math.inf and math.isfinite(ra) and math.isfinite(dec)):
        raise ValueError(f"circle at ({ra}, {dec}) deg of radius {radius} deg, expected a place and a positive radius")
    radius = radius + 1e-6
    native = grid.to_native(frames.unit_vectors(ra, dec))
    if CODES[grid.proj] == CAR:
        return _boxes_car(grid, native, radius)
    if CODES[grid.proj] == TAN:
        if math.degrees(math.acos(min(1.0, max(-1.0, native[0])))) + radius > 80.0:
            return [grid.full_window]
        return [_box_of_rim(grid, ra, dec, radius)]
    return [_box_ellipse(grid, native, ra, dec, radius)]


def _boxes_car(grid: SkyGrid, native: NDArray[np.float64], radius: float) -> list[Window]:
    lon = math.degrees(math.atan2(native[1], native[0]))
    lat = math.degrees(math.atan2(native[2], math.hypot(native[0], native[1])))
    low, high = max(lat - radius, -90.0), min(lat + radius, 90.0)
    reach = 180.0
    if lat - radius > -90.0 and lat + radius < 90.0:
        reach = math.degrees(math.asin(min(1.0, math.sin(math.radians(radius)) / math.cos(math.radians(lat)))))
    y0 = math.ceil(low / grid.binsize + 0.5 * (grid.ny - 1) - 1e-9)
    y1 = math.floor(high / grid.binsize + 0.5 * (grid.ny - 1) + 1e-9) + 1

    def columns(east: float, west: float) -> tuple[int, int]:
        x0 = math.ceil(0.5 * (grid.nx - 1) - east / grid.binsize - 1e-9)
        return x0, math.floor(0.5 * (grid.nx - 1) - west / grid.binsize + 1e-9) + 1

    if reach >= 180.0:
        return [Window(y0, y1, *((0, grid.nx) if grid.is_cyclic else columns(180.0, -180.0)))]
    if grid.is_cyclic:
        return [Window(y0, y1, *columns(lon + reach, lon - reach))]
    boxes = []
    for turn in (0.0, 360.0, -360.0):
        east, west = min(lon + turn + reach, 180.0), max(lon + turn - reach, -180.0)
        if east >= west:
            boxes.append(Window(y0, y1, *columns(east, west)))
    return [box for box in boxes if not box.is_empty]


def _box_ellipse(grid: SkyGrid, native: NDArray[np.float64], ra: float, dec: float, radius: float) -> Window:
    """AIT and MOL: a circle over the half circle opposite to the reference, or a pole, falls apart in the plane."""
    if radius >= 90.0:
        return grid.full_window
    half = np.radians(np.arange(-90.0, 90.0625, 0.0625))
    opposite = np.stack([-np.cos(half), np.zeros_like(half), np.sin(half)])
    inside = native @ opposite >= math.cos(math.radians(min(radius + 0.1, 90.0)))
    if not inside.any():
        return _box_of_rim(grid, ra, dec, radius)
    # the image of the part of that half circle, both halves of the ellipse; and of the rim
    lat = half[inside]
    if CODES[grid.proj] == AIT:
        v = math.sqrt(2.0) * np.sin(lat)
    else:
        v = math.sqrt(2.0) * np.sin(_mollweide_angle(lat))
    rows = np.degrees(v) / grid.binsize + 0.5 * (grid.ny - 1)
    rim = _box_of_rim(grid, ra, dec, radius)
    # a step of the sampling moves the image by less than 0.7 deg, at the poles of MOL
    pad = 0.75 / grid.binsize + 1
    y0 = min(rim.y0, math.floor(rows.min() - pad))
    y1 = max(rim.y1, math.ceil(rows.max() + pad) + 1)
    return Window(y0, y1, 0, grid.nx)


def _mollweide_angle(lat: NDArray[np.float64]) -> NDArray[np.float64]:
    """The auxiliary angle of Mollweide's projection by bisection, rad."""
    low, high = np.full_like(lat, -0.5 * math.pi), np.full_like(lat, 0.5 * math.pi)
    target = math.pi * np.sin(lat)
    for _ in range(60):
        middle = 0.5 * (low + high)
        below = 2 * middle + np.sin(2 * middle) < target
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return 0.5 * (low + high)


def _box_of_rim(grid: SkyGrid, ra: float, dec: float, radius: float) -> Window:
    """Bounding box of the image of a circle's rim, padded for what lies between its samples."""
    angle = np.linspace(0.0, 2 * math.pi, RIM_SAMPLES, endpoint=False)
    center = frames.unit_vectors(ra, dec)
    lon, lat = math.radians(ra), math.radians(dec)
    east = np.array([-math.sin(lon), math.cos(lon), 0.0])
    north = np.array([-math.sin(lat) * math.cos(lon), -math.sin(lat) * math.sin(lon), math.cos(lat)])
    around = np.outer(east, np.cos(angle)) + np.outer(north, np.sin(angle))
    size = math.radians(radius)
    y, x = grid.world_to_pixel(*frames.positions(math.cos(size) * center[:, None] + math.sin(size) * around))
    if not np.isfinite(y).any():
        return EMPTY

    def padded(values: NDArray[np.float64]) -> tuple[int, int]:
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        pad = 1.0 + 0.002 * (high - low)
        return math.floor(low - pad), math.ceil(high + pad) + 1

    return Window(*padded(y), *padded(x))
