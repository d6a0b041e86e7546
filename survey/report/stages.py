"""What a worker does to draw: read a map tile by tile, write it as FITS and PNG.

Every chunk is read once, and nothing grows with the map but its FITS image and, up to the dots of the page, its picture.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import DTypeLike, NDArray

from survey.estimators.significance_histogram import significance_counts, significance_histogram
from survey.report.accessor import ADDITIVE, apart, wcs_of
from survey.report.figures import draw_map, draw_significance_histogram, to_png
from survey.report.images import ImageFile
from survey.report.panels import Panels
from survey.sky.grid import SkyGrid
from survey.sky.pixels import Window
from survey.sky.regions import ExclusionSpec, exclusion_mask
from survey.store import urls
from survey.store.cube import open_cube

LARGE = 1_000_000
"""Pixels drawn after which their memory is asked back; doing so takes as long as drawing a small picture."""
FEW_BANDS = 4
"""Energy bands up to which every map is drawn in each; with more, just the significance is, and sums of what adds up."""
DRAWN = ("counts", "background", "excess", "sqrt_ts", "flux", "flux_ul")
"""Maps that are drawn; all are written as FITS images."""

Part = Callable[[NDArray[Any], Window], NDArray[Any]]
"""What is shown of the values (..., y, x) of a window."""


@dataclass(frozen=True)
class Shown:
    """A picture of a variable: what its file is called after the variable, its title, what it shows (y, x)."""

    suffix: str
    title: str
    part: Part


def draw_cube_image(*, url: str, out: str, variable: str, done: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Image of a variable of the cube: counts and background summed over energy, exposure at the middle of the axis."""
    cube = open_cube(url)
    array = cube[variable]
    seen = cube["n_observations"]
    title = str(array.attrs.get("long_name", variable))
    if variable == "exposure":
        energies = cube["energy_true"].values
        middle = int(np.argmin(np.abs(np.log(energies / np.sqrt(energies[0] * energies[-1])))))
        array = array.isel(energy_true=middle)
        title = f"{title} at {energies[middle]:.3g} TeV"

    def image(values: NDArray[Any], _: Window) -> NDArray[Any]:
        return values if values.ndim == 2 else values.sum(axis=0, dtype=values.dtype)

    def where_seen(values: NDArray[Any], window: Window) -> NDArray[Any]:
        return np.where(seen[window.slices].values > 0, image(values, window), np.nan)

    files = _write(cube, array, f"{out}{variable}", [Shown("", title, where_seen)], image=image, shape=seen.shape)
    return {"files": files}


def draw_map_image(
    *, url: str, out: str, prefix: str, variable: str, done: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """A map of a kind: a FITS file of all its bands, and pictures."""
    maps = open_cube(url)
    array = maps[variable]
    bands = maps["energy_edges"].values if array.ndim == 3 else None
    pictures = list(_pictures(array, maps)) if variable in DRAWN else []
    return {"files": _write(maps, array, f"{out}{prefix}_{variable}", pictures, bands=bands)}


def _pictures(array: xr.DataArray, maps: xr.Dataset) -> Iterator[Shown]:
    """Pictures of a map."""
    title = str(array.attrs.get("long_name", array.name))
    if array.ndim == 2:
        yield Shown("", title, lambda values, _: values)
        return
    low, high = maps["energy_edges"].values.T
    if low.size == 1:
        yield Shown("", f"{title}, {low[0]:.3g} to {high[0]:.3g} TeV", _band(0))
    elif low.size <= FEW_BANDS or array.name in ("sqrt_ts", "significance"):
        for index in range(low.size):
            yield Shown(f"_band{index}", f"{title}, {low[index]:.3g} to {high[index]:.3g} TeV", _band(index))
    elif array.name in ADDITIVE and apart(maps["energy_edges"].values):
        yield Shown("", f"{title}, all bands", lambda values, _: values.sum(axis=0))


def _band(index: int) -> Part:
    return lambda values, _: values[index]


def _write(
    dataset: xr.Dataset,
    array: xr.DataArray,
    stem: str,
    pictures: Sequence[Shown],
    *,
    image: Part = lambda values, _: values,
    shape: tuple[int, ...] | None = None,
    bands: NDArray[np.float64] | None = None,
) -> list[str]:
    """Write a variable of a dataset as FITS image and pictures; gives the names of their files."""
    wcs, name, unit = wcs_of(dataset), str(array.name), str(array.attrs.get("units", ""))
    ny, nx = array.shape[-2:]
    panels = Panels.of((ny, nx), wcs)
    samples = [panels.blank() for _ in pictures]
    dtype: DTypeLike = array.dtype
    with (
        urls.writing(f"{stem}.fits") as stream,
        ImageFile(stream, shape or array.shape, dtype, wcs, unit=unit, name=name, bands=bands) as file,
    ):
        for window, values in _tiles(array, dataset.attrs["tile"]):
            file.put(image(values, window), window)
            for sample, picture in zip(samples, pictures, strict=True):
                panels.put(sample, picture.part(values, window), window)
    files = [f"{stem}.fits"]
    for sample, picture in zip(samples, pictures, strict=True):
        files.append(f"{stem}{picture.suffix}.png")
        figure = draw_map(sample, wcs, name=name, title=picture.title, unit=unit, panels=panels)
        urls.write_bytes(files[-1], to_png(figure))
        figure.clear()
        _drawn.add(sample.size)
    return [file.rpartition("/")[2] for file in files]


class _Drawn:
    """Pixels whose figures may still be held: their circles of references keep them until Python looks, which it does late."""

    def __init__(self) -> None:
        self.pixels = 0

    def add(self, pixels: int) -> None:
        self.pixels += pixels
        if self.pixels > LARGE:
            gc.collect()
            self.pixels = 0


_drawn = _Drawn()


def _tiles(array: xr.DataArray, size: int) -> Iterator[tuple[Window, NDArray[Any]]]:
    """Windows of the tiles of a variable, and its values (..., y, x) there."""
    ny, nx = array.shape[-2:]
    for y, x in product(range(0, ny, size), range(0, nx, size)):
        window = Window(y, min(y + size, ny), x, min(x + size, nx))
        yield window, array[(..., *window.slices)].values


def draw_histogram(
    *,
    url: str,
    out: str,
    prefix: str,
    exclusion: Mapping[str, Any] | None,
    grid: Mapping[str, Any],
    done: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """Histogram of significance outside the exclusion regions, with the mean and width of the fitted normal distribution."""
    maps = open_cube(url)
    sky = SkyGrid.from_key(grid)
    spec = None if exclusion is None else ExclusionSpec.from_dict(exclusion)
    low, high = maps["energy_edges"].values.T
    counts: list[Any] = [0] * low.size
    counts_all: list[Any] = [0] * low.size
    for window, values in _tiles(maps["sqrt_ts"], sky.tile):
        excluded = np.zeros(window.shape, dtype=bool)
        if spec is not None:
            excluded = exclusion_mask(sky.geometry(window), spec)
        for index, band in enumerate(values.reshape(-1, *window.shape)):
            outside, everywhere = significance_counts(band, excluded)
            counts[index] += outside
            counts_all[index] += everywhere
    results: dict[str, Any] = {}
    files = [f"{prefix}_significance_histogram.json"]
    for index in range(low.size):
        found = significance_histogram(counts[index], counts_all[index])
        suffix = "" if low.size == 1 else f"_band{index}"
        band_title = "" if low.size == 1 else f", {low[index]:.3g} to {high[index]:.3g} TeV"
        figure = draw_significance_histogram(
            found.centers,
            found.counts,
            mean=found.mean,
            width=found.width,
            counts_all=found.counts_all,
            title=f"Significance of the {prefix.replace('ts', 'TS')} map{band_title}",
        )
        urls.write_bytes(f"{out}{prefix}_significance_histogram{suffix}.png", to_png(figure))
        files.append(f"{prefix}_significance_histogram{suffix}.png")
        results[f"band{index}"] = {
            "mean": found.mean,
            "mean_err": found.mean_err,
            "width": found.width,
            "width_err": found.width_err,
            "pixels": int(found.counts.sum()),
        }
    urls.write_bytes(
        f"{out}{prefix}_significance_histogram.json", json.dumps(results, indent=1, sort_keys=True).encode()
    )
    return {"files": files}
