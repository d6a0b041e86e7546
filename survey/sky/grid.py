"""The pixel grid of a survey: a WCS, cut into response cells, chunks and tiles.

Pixels and their numbering are those of Gammapy's ``WcsGeom.create``, so that maps can be compared bin by bin. What a
tile or a field of view covers is worked out in `survey.sky.tiles`; the arrays of a window are a
`survey.sky.pixels.PixelGeometry`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import ArrayLike, NDArray

from survey.sky import frames
from survey.sky.frames import FRAMES, Frame
from survey.sky.kernels_projection import CODES, fill_cell_vectors, fill_geometry, on_sky
from survey.sky.pixels import EMPTY, PixelGeometry, Window
from survey.sky.tiles import Tile, tile_window, tiles_near, window_around

__all__ = ["EMPTY", "OFF_SKY", "PixelGeometry", "SkyGrid", "Tile", "Window"]

CHUNK_PIXELS = 50
"""Pixels that the side of an inner chunk comes nearest to: what a halo read fetches at least."""

OFF_SKY = -(2**40)
"""Row and column of a position that the projection cannot show."""

_CTYPES = {"icrs": ("RA---", "DEC--"), "galactic": ("GLON-", "GLAT-")}


@dataclass(frozen=True)
class SkyGrid:
    """A pixel grid on the sky. Plain values only: hashable, picklable, comparable.

    Parameters
    ----------
    proj : str
        ``CAR``, ``TAN``, ``AIT`` or ``MOL``.
    frame : str
        ``icrs`` or ``galactic``.
    lon, lat : float
        Centre, which is the reference point of the projection, deg in `frame`.
    binsize : float
        Pixel size, deg.
    width_x, width_y : float
        Width asked for, deg; the number of pixels is it over `binsize`, rounded.
    cell, chunk, tile : int
        Pixels along the side of a response cell, an inner chunk and a tile; each a multiple of the one before.
    """

    proj: str
    frame: Frame
    lon: float
    lat: float
    binsize: float
    width_x: float
    width_y: float
    cell: int
    chunk: int
    tile: int

    def __post_init__(self) -> None:
        problems = []
        if self.proj not in CODES:
            problems.append(f"projection {self.proj!r}, expected one of {', '.join(CODES)}")
        if self.frame not in FRAMES:
            problems.append(f"frame {self.frame!r}, expected one of {', '.join(FRAMES)}")
        if not (math.isfinite(self.lon) and -90 <= self.lat <= 90):
            problems.append(f"centre ({self.lon}, {self.lat}) deg, expected a longitude and a latitude in [-90, 90]")
        if not (math.isfinite(self.binsize) and self.binsize > 0):
            problems.append(f"pixel size {self.binsize} deg, expected a positive one")
        elif not (self.binsize / 2 < self.width_x <= 360 and self.binsize / 2 < self.width_y <= 180):
            problems.append(
                f"width {self.width_x} x {self.width_y} deg, expected at least a pixel and at most 360 x 180 deg"
            )
        elif self.proj == "TAN" and max(self.width_x, self.width_y) > 160:
            problems.append(f"width {self.width_x} x {self.width_y} deg, expected at most 160 deg in projection TAN")
        if not (0 < self.cell <= self.chunk <= self.tile) or self.chunk % self.cell or self.tile % self.chunk:
            problems.append(
                f"cell, chunk, tile {self.cell}, {self.chunk}, {self.tile} pixels, expected multiples of the one before"
            )
        if problems:
            raise ValueError("sky grid: " + "; ".join(problems))

    @classmethod
    def create(
        cls,
        *,
        proj: str = "CAR",
        frame: str = "icrs",
        lon: float,
        lat: float,
        binsize: float,
        width: float | tuple[float, float],
        binsize_irf: float = 0.2,
        tile_chunks: int = 5,
        chunk_pixels: int = CHUNK_PIXELS,
    ) -> SkyGrid:
        """A grid from the values of a configuration.

        Parameters
        ----------
        proj, frame : str
            ``CAR``, ``TAN``, ``AIT`` or ``MOL``; ``icrs`` or ``galactic``.
        lon, lat, binsize : float
            Centre in `frame` and pixel size, deg.
        width : float or (float, float)
            Width, or width in longitude and latitude, deg.
        binsize_irf : float
            Size asked for of a response cell, deg; the cell is the nearest number of pixels, at least one.
        tile_chunks : int
            Inner chunks along the side of a tile.
        chunk_pixels : int
            Pixels that the side of an inner chunk comes nearest to, in whole cells.
        """
        if not (binsize > 0 and binsize_irf > 0 and tile_chunks >= 1 and chunk_pixels >= 1):
            raise ValueError(
                f"sky grid: binsize {binsize} deg, binsize_irf {binsize_irf} deg, {tile_chunks} chunks a tile of "
                f"{chunk_pixels} pixels, expected positive values"
            )
        width_x, width_y = (width, width) if isinstance(width, (int, float)) else width
        cell = max(1, round(binsize_irf / binsize))
        chunk = cell * max(1, round(chunk_pixels / cell))
        return cls(
            proj=proj,
            frame=frame,  # type: ignore[arg-type]  # checked by __post_init__
            lon=float(lon) % 360.0,
            lat=float(lat),
            binsize=float(binsize),
            width_x=float(width_x),
            width_y=float(width_y),
            cell=cell,
            chunk=chunk,
            tile=chunk * int(tile_chunks),
        )

    # ------------------------------------------------------------------ size

    @property
    def nx(self) -> int:
        """Columns."""
        return max(1, int(np.rint(self.width_x / self.binsize)))

    @property
    def ny(self) -> int:
        """Rows."""
        return max(1, int(np.rint(self.width_y / self.binsize)))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, (ny, nx)."""
        return self.ny, self.nx

    @property
    def cells(self) -> tuple[int, int]:
        """Rows and columns of response cells, (ny_irf, nx_irf); the last ones may have fewer pixels."""
        return -(-self.ny // self.cell), -(-self.nx // self.cell)

    @property
    def full_window(self) -> Window:
        """All the pixels."""
        return Window(0, self.ny, 0, self.nx)

    @property
    def is_cyclic(self) -> bool:
        """Whether the last column touches the first one: CAR, 360 degrees wide."""
        return self.proj == "CAR" and abs(self.nx * self.binsize - 360.0) < 1e-6 * self.binsize

    def cell_window(self, window: Window) -> Window:
        """The response cells that a window of pixels touches."""
        step = self.cell
        return Window(window.y0 // step, -(-window.y1 // step), window.x0 // step, -(-window.x1 // step))

    # ----------------------------------------------------------------- tiles

    @property
    def tile_shape(self) -> tuple[int, int]:
        """Rows and columns of tiles; the last ones may have fewer pixels."""
        return -(-self.ny // self.tile), -(-self.nx // self.tile)

    def tiles(self) -> list[Tile]:
        """All tiles, in row-major order."""
        rows, columns = self.tile_shape
        return [Tile(iy, ix) for iy in range(rows) for ix in range(columns)]

    def window(self, tile: Tile) -> Window:
        """Pixels of a tile, clipped at the edge of the grid."""
        return tile_window(self, tile)

    def tiles_near(self, ra: float, dec: float, radius: float) -> list[Tile]:
        """Tiles with at least one pixel centre within a circle, on both sides of a seam, in row-major order.

        Parameters
        ----------
        ra, dec, radius : float
            Centre (ICRS) and radius, deg.
        """
        return tiles_near(self, ra, dec, radius)

    def window_around(self, ra: float, dec: float, radius: float, *, margin: bool = False) -> Window:
        """A window that holds all pixel centres within a circle, of whole response cells.

        Parameters
        ----------
        ra, dec, radius : float
            Centre (ICRS) and radius, deg.
        margin : bool
            False: clipped to the grid; as wide as the grid where the circle crosses its seam; `EMPTY` where they do not
            meet. True: the window may leave the grid, on which the projection goes on, or cross the seam of a cyclic
            one: use `geometry` with ``margin=True`` and `index_in`.
        """
        return window_around(self, ra, dec, radius, margin=margin)

    # ------------------------------------------------------------------- WCS

    @property
    def wcs(self) -> WCS:
        """A new celestial WCS, as Gammapy makes it. Never share one between threads: astropy's is not safe."""
        wcs = WCS(naxis=2)
        if self.frame == "icrs":
            wcs.wcs.radesys = "ICRS"
        wcs.wcs.ctype = [name + self.proj for name in _CTYPES[self.frame]]
        wcs.wcs.crpix = (self.nx + 1) / 2.0, (self.ny + 1) / 2.0
        wcs.wcs.crval = self.lon, self.lat
        wcs.wcs.cdelt = -self.binsize, self.binsize
        wcs.array_shape = self.shape
        wcs.wcs.set()
        return wcs

    def fits_header(self) -> fits.Header:
        """FITS header of an image on the grid: the WCS with every digit, and its size."""
        header = self.wcs.to_header()
        # to_header rounds to 12 digits; the cards hold all of a double
        exact = {
            "CRPIX1": (self.nx + 1) / 2.0,
            "CRPIX2": (self.ny + 1) / 2.0,
            "CDELT1": -self.binsize,
            "CDELT2": self.binsize,
            "CRVAL1": self.lon,
            "CRVAL2": self.lat,
        }
        for name, value in exact.items():
            header[name] = value
        header.insert(0, ("NAXIS", 2))
        header.insert(1, ("NAXIS1", self.nx))
        header.insert(2, ("NAXIS2", self.ny))
        return header

    def header(self) -> str:
        """`fits_header` as text, a card a line: ``fits.Header.fromstring(text, sep="\\n")`` reads it."""
        text = self.fits_header().tostring(sep="\n", endcard=False, padding=False)
        return "\n".join(line.rstrip() for line in text.split("\n"))

    def key(self) -> dict[str, Any]:
        """The fields as plain values, for hashing and JSON; `from_key` gives the grid back to the bit."""
        return asdict(self)

    @classmethod
    def from_key(cls, key: Mapping[str, Any]) -> SkyGrid:
        """The grid of a `key`."""
        return cls(**key)

    # ------------------------------------------------------------- positions

    def world_to_pixel(self, ra: ArrayLike, dec: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pixel coordinates (y, x) of ICRS positions in deg: 0 at the first pixel's centre; NaN off the projection."""
        lon, lat = np.broadcast_arrays(*frames.from_icrs(ra, dec, self.frame))
        if lon.size == 0:
            return np.empty(lon.shape), np.empty(lon.shape)
        x, y = self.wcs.wcs_world2pix(lon.ravel(), lat.ravel(), 0)
        return y.reshape(lon.shape), x.reshape(lon.shape)

    def pixel_to_world(self, y: ArrayLike, x: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """ICRS right ascension and declination, deg, of pixel coordinates, which may be fractions; NaN off the sky."""
        y, x = np.broadcast_arrays(np.asarray(y, np.float64), np.asarray(x, np.float64))
        if y.size == 0:
            return np.empty(y.shape), np.empty(y.shape)
        if self.is_cyclic:
            x = (x + 0.5) % self.nx - 0.5
        lon, lat = self.wcs.wcs_pix2world(x.ravel(), y.ravel(), 0)
        return frames.to_icrs(lon.reshape(y.shape), lat.reshape(y.shape), self.frame)

    def pixel_index(
        self, ra: ArrayLike, dec: ArrayLike
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Pixels of ICRS positions.

        Parameters
        ----------
        ra, dec : array-like
            deg, any one shape.

        Returns
        -------
        y, x : numpy.ndarray
            int64. Outside the grid they count on (negative, or beyond the shape), `OFF_SKY` where there is no pixel.
        inside : numpy.ndarray
            bool: whether the pixel is one of the grid's, and its centre on the sky.
        """
        y, x = self.world_to_pixel(ra, dec)
        off = ~(np.isfinite(x) & np.isfinite(y))
        rows = np.floor(np.where(off, OFF_SKY, y) + 0.5).astype(np.int64)
        columns = np.floor(np.where(off, OFF_SKY, x) + 0.5).astype(np.int64)
        if self.is_cyclic:
            # 180 degrees from the centre is both the first and the last edge
            columns = np.where(off, columns, columns % self.nx)
        return rows, columns, self.has_pixels(rows, columns)

    def has_pixels(self, y: NDArray[np.int64], x: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether rows and columns are pixels of the grid with their centre on the sky."""
        inside = (y >= 0) & (y < self.ny) & (x >= 0) & (x < self.nx)
        return inside & on_sky(CODES[self.proj], self._plane_x(x), self._plane_y(y))

    def index_in(
        self, window: Window, y: NDArray[np.int64], x: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Pixels of the grid counted from the first of a window, which may leave the grid or cross its seam.

        Parameters
        ----------
        window : Window
            As `window_around` gives it.
        y, x : numpy.ndarray
            As `pixel_index` gives them.

        Returns
        -------
        y, x, inside : numpy.ndarray
            Row and column in the window, and whether they are in it and their centre on the sky.
        """
        rows, columns = y - window.y0, x - window.x0
        if self.is_cyclic:
            columns = columns % self.nx
        height, width = window.shape
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        return rows, columns, inside & on_sky(CODES[self.proj], self._plane_x(x), self._plane_y(y))

    # -------------------------------------------------------------- geometry

    def geometry(self, window: Window, *, margin: bool = False) -> PixelGeometry:
        """Unit vectors and solid angles of a window; a pixel's values do not depend on the window.

        Parameters
        ----------
        window : Window
            Pixels, not none.
        margin : bool
            Whether the window may leave the grid, which then goes on in the same projection.
        """
        if window.is_empty or not (margin or self.full_window.contains(window)):
            raise ValueError(f"{window} is not a part of the grid of {self.ny} x {self.nx} pixels")
        whole = window.snapped(self.cell)
        if self.full_window.contains(window):
            whole = whole.intersection(self.full_window)
        vectors, solid_angle = self.fill(whole)
        cells = self.cell_window(window)
        cell_vectors = np.empty((3, *cells.shape))
        y_cell = np.arange(whole.y0, whole.y1) // self.cell - cells.y0
        x_cell = np.arange(whole.x0, whole.x1) // self.cell - cells.x0
        fill_cell_vectors(vectors, y_cell, x_cell, cell_vectors)
        if whole != window:
            inner = window.relative_to(whole).slices
            vectors, solid_angle = vectors[:, *inner].copy(), solid_angle[inner].copy()
        return PixelGeometry(window, vectors, solid_angle, cells, cell_vectors, self.cell)

    def fill(self, window: Window) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Vectors (3, ny, nx), solid angles (ny, nx) of a window, on or off the grid: `geometry` without cells."""
        vectors, solid_angle = np.empty((3, *window.shape)), np.empty(window.shape)
        fill_geometry(
            CODES[self.proj],
            *self.plane(window),
            math.radians(self.binsize),
            frames.basis_to_icrs(self.frame, self.lon, self.lat),
            vectors,
            solid_angle,
        )
        return vectors, solid_angle

    def plane(self, window: Window) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Plane coordinates, rad, of the columns (nx,) and rows (ny,) of a window, on or off the grid."""
        columns = np.arange(window.x0, window.x1)
        u = self._plane_x(columns % self.nx if self.is_cyclic else columns)
        return u, self._plane_y(np.arange(window.y0, window.y1))

    def to_native(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """ICRS vectors (3, ...) in the basis (reference point, east, north) of the projection."""
        return np.tensordot(frames.basis_to_icrs(self.frame, self.lon, self.lat).T, vectors, 1)

    def _plane_x(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Plane coordinate of columns, rad, positive to the east."""
        return (0.5 * (self.nx - 1) - x) * math.radians(self.binsize)

    def _plane_y(self, y: NDArray[Any]) -> NDArray[np.float64]:
        """Plane coordinate of rows, rad, positive to the north."""
        return (y - 0.5 * (self.ny - 1)) * math.radians(self.binsize)
