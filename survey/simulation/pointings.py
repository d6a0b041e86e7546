"""Pointing patterns: where an array looks, run by run, before anybody asks when.

Positions of a pattern are made in its own frame and kept in ICRS. `survey.simulation.schedule` gives them their times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from survey.sky.frames import Frame, positions, to_icrs, unit_vectors


@dataclass(frozen=True, eq=False)
class Targets:
    """Positions that are observed, and how often.

    Parameters
    ----------
    ra, dec : numpy.ndarray (n,)
        deg, ICRS; NaN for a drift.
    alt, az : numpy.ndarray (n,)
        deg, of a drift; NaN elsewhere.
    visits : numpy.ndarray (n,)
        Runs at each.
    names : tuple of str
        One a position: what the runs are said to look at.
    """

    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    alt: NDArray[np.float64]
    az: NDArray[np.float64]
    visits: NDArray[np.int64]
    names: tuple[str, ...]

    @property
    def size(self) -> int:
        """Number of positions."""
        return self.ra.size

    @property
    def drifts(self) -> NDArray[np.bool_]:
        """Which of them are fixed in the horizontal frame."""
        return np.isfinite(self.alt)


def on_sky(lon: ArrayLike, lat: ArrayLike, *, frame: Frame, runs: int | None = None, name: str = "field") -> Targets:
    """Positions in a frame.

    Parameters
    ----------
    lon, lat : array_like (n,)
        deg.
    frame : str
        Of them.
    runs : int, optional
        In all, spread evenly over the positions; default one at each.
    name : str
        Of all positions.
    """
    ra, dec = to_icrs(np.atleast_1d(lon), np.atleast_1d(lat), frame)
    none = np.full(ra.shape, np.nan)
    return Targets(ra % 360.0, dec, none, none, visits(ra.size, runs), (name,) * ra.size)


def drift(alt: float, az: float, *, runs: int = 1, name: str = "drift") -> Targets:
    """A direction fixed in the horizontal frame, deg: the sky drifts by."""
    none = np.full(1, np.nan)
    return Targets(none, none, np.array([alt]), np.array([az]), np.array([runs]), (name,))


def join(parts: Sequence[Targets]) -> Targets:
    """Several patterns, one after the other."""
    columns = {
        key: np.concatenate([getattr(part, key) for part in parts]) for key in ("ra", "dec", "alt", "az", "visits")
    }
    return Targets(**columns, names=tuple(name for part in parts for name in part.names))


def visits(n_positions: int, runs: int | None) -> NDArray[np.int64]:
    """How many of `runs` go to each position: as evenly as can be, and spread over the pattern where they do not divide."""
    total = n_positions if runs is None else runs
    return np.diff(np.arange(n_positions + 1) * total // n_positions)


def row_positions(
    lon_range: tuple[float, float], lat_range: tuple[float, float], *, step: float, row_step: float | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The pattern of a scan along a plane: rows of constant latitude, every other one shifted by half a step.

    Parameters
    ----------
    lon_range : tuple of float
        First and last longitude, deg; counted upwards from the first, through 0 where the last is smaller.
    lat_range : tuple of float
        Lowest and highest row, deg.
    step, row_step : float
        Largest distances along a row and between rows, deg; made smaller so that the ends of the ranges are met.

    Returns
    -------
    lon, lat : numpy.ndarray
        deg, row by row.
    """
    row_step = step if row_step is None else row_step
    length = (lon_range[1] - lon_range[0]) % 360.0 or 360.0 * (lon_range[0] != lon_range[1])
    rows = _steps(lat_range[1] - lat_range[0], row_step)
    lat = np.linspace(lat_range[0], lat_range[1], rows + 1) if rows else np.array([np.mean(lat_range)])
    columns = _steps(length, step)
    lons, lats = [], []
    for number, row in enumerate(lat):
        if number % 2 and columns:
            along = (np.arange(columns) + 0.5) * (length / columns)
        else:
            along = np.arange(columns + (length < 360.0)) * (length / columns) if columns else np.zeros(1)
        lons.append((lon_range[0] + along) % 360.0)
        lats.append(np.full(along.size, row))
    return np.concatenate(lons), np.concatenate(lats)


def _steps(length: float, step: float) -> int:
    """Number of steps, none larger than `step`, that `length` is cut into."""
    return int(np.ceil(length / step - 1e-9))


def grid_positions(
    lon: float, lat: float, *, width: float, height: float, step: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A rectangular grid of positions around (`lon`, `lat`), all deg; steps are at most `step`, the rim is met."""
    n_x, n_y = _steps(width, step), _steps(height, step)
    x = np.linspace(-0.5 * width, 0.5 * width, n_x + 1) if n_x else np.zeros(1)
    y = np.linspace(-0.5 * height, 0.5 * height, n_y + 1) if n_y else np.zeros(1)
    left, up = (values.ravel() for values in np.meshgrid(x, y))
    return offset_by(lon, lat, left, up)


def wobble_positions(
    lon: float, lat: float, *, offset: float, n_positions: int = 4
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions around a target, evenly on a circle of radius `offset` (deg): north first, then opposite ones in turn."""
    order = np.arange(n_positions).reshape(2, -1).T.ravel() if n_positions % 2 == 0 else np.arange(n_positions)
    angle = 2.0 * np.pi * order / n_positions
    radius = np.radians(offset)
    # A point at a distance and position angle, as spherical offsets: exact at any distance.
    up = np.degrees(np.arcsin(np.sin(radius) * np.cos(angle)))
    left = np.degrees(np.arctan2(np.sin(radius) * np.sin(angle), np.cos(radius)))
    return offset_by(lon, lat, left, up)


def offset_by(
    lon: float, lat: float, left: NDArray[np.float64], up: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions at spherical offsets from (`lon`, `lat`): longitude and latitude in the frame turned there; deg."""
    x, y, z = unit_vectors(left, up)
    cosine, sine = np.cos(np.radians(lat)), np.sin(np.radians(lat))
    found = positions(np.stack([x * cosine - z * sine, y, x * sine + z * cosine]))
    return (found[0] + lon) % 360.0, found[1]
