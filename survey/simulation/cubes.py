"""Counts that models predict instead of events: Asimov cubes, and Poisson draws of them.

Draws are reproducible pixel by pixel: every tile of the grid has its own random numbers, one for a bin, and a count is
where its number lies in the Poisson distribution. So a cut-out, a tile and the whole cube have the same counts, whoever
draws them and in whichever order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import pdtr, pdtrik

from survey.fitting.prediction import predict
from survey.fitting.settings import PredictionSettings
from survey.models.collection import Models
from survey.models.components import Component
from survey.sky.grid import SkyGrid
from survey.sky.tiles import Tile

Array = NDArray[np.float64]


def asimov(
    dataset: xr.Dataset,
    models: Models | Iterable[Component],
    *,
    settings: PredictionSettings | None = None,
    name: str | None = None,
) -> xr.Dataset:
    """The dataset with the counts that are expected: background and models, in the safe range.

    Parameters are those of `survey.fitting.prediction.predict`. Counts are not whole numbers, and never negative.
    """
    expected = predict(dataset, models, settings=settings, name=name)
    assert isinstance(expected, xr.DataArray)
    return dataset.assign(counts=_as_counts(np.maximum(expected.values, 0.0), "expected counts"))


def fake(
    dataset: xr.Dataset,
    models: Models | Iterable[Component],
    *,
    seed: int,
    settings: PredictionSettings | None = None,
    name: str | None = None,
) -> xr.Dataset:
    """The dataset with random counts of what is expected.

    Parameters
    ----------
    dataset : xarray.Dataset
        With the attribute ``grid``, and ``y_first``, ``x_first`` when it is a cut-out.
    models : Models or iterable of Component
        Sources and background.
    seed : int
        A tile's random numbers follow from the seed and its row and column.
    settings, name
        As of `survey.fitting.prediction.predict`.
    """
    expected = predict(dataset, models, settings=settings, name=name)
    assert isinstance(expected, xr.DataArray)
    mean = np.maximum(expected.values, 0.0)
    counts = np.zeros(mean.shape, dtype=np.int32)
    for tile, inside, target in _parts(dataset):
        size = SkyGrid.from_key(dataset.attrs["grid"]).tile
        rng = np.random.default_rng([seed, *tile])
        numbers = rng.random((mean.shape[0], size, size))
        counts[:, *target] = poisson_at(numbers[:, *inside], mean[:, *target])
    return dataset.assign(counts=_as_counts(counts, "random counts"))


def _as_counts(values: NDArray[np.generic], long_name: str) -> xr.DataArray:
    return xr.DataArray(values, dims=("energy", "y", "x"), attrs={"units": "", "long_name": long_name})


def poisson_at(numbers: Array, mean: Array) -> NDArray[np.int32]:
    """The least counts whose cumulative Poisson probability reaches numbers in [0, 1).

    Parameters
    ----------
    numbers, mean : numpy.ndarray
        One shape.
    """
    counts = np.zeros(mean.shape, dtype=np.int32)
    some = numbers > np.exp(-mean)
    wanted, expected = numbers[some], mean[some]
    found = np.ceil(pdtrik(wanted, expected))
    # the inverse may be a round-off beyond a whole number
    below = np.maximum(found - 1, 0)
    counts[some] = np.where(pdtr(below, expected) >= wanted, below, found).astype(np.int32)
    return counts


def _parts(dataset: xr.Dataset) -> Iterator[tuple[Tile, tuple[slice, slice], tuple[slice, slice]]]:
    """Tiles that a dataset touches: each with the dataset's part of it, counted from the tile's and the dataset's pixels."""
    grid = SkyGrid.from_key(dataset.attrs["grid"])
    rows = _along(int(dataset.attrs.get("y_first", 0)), dataset.sizes["y"], grid.tile, None)
    columns = _along(int(dataset.attrs.get("x_first", 0)), dataset.sizes["x"], grid.tile, grid.nx)
    for iy, inside_y, target_y in rows:
        for ix, inside_x, target_x in columns:
            yield Tile(iy, ix), (inside_y, inside_x), (target_y, target_x)


def _along(first: int, size: int, tile: int, turn: int | None) -> list[tuple[int, slice, slice]]:
    """Tiles along an axis that goes round after `turn` pixels: number, pixels of the tile, pixels of the dataset."""
    parts = []
    place = 0
    while place < size:
        pixel = first + place if turn is None else (first + place) % turn
        start = pixel % tile
        length = min(tile - start, size - place, size if turn is None else turn - pixel)
        parts.append((pixel // tile, slice(start, start + length), slice(place, place + length)))
        place += length
    return parts
