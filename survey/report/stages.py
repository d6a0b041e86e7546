"""What a worker does to draw: read a map, write it as FITS and PNG."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from numpy.typing import NDArray

from survey.estimators.significance_histogram import significance_histogram
from survey.report.accessor import ADDITIVE, wcs_of
from survey.report.figures import draw_map, draw_significance_histogram, to_png
from survey.report.images import to_fits
from survey.sky.grid import SkyGrid
from survey.sky.pixels import Window
from survey.sky.regions import ExclusionSpec, exclusion_mask
from survey.store import urls
from survey.store.cube import open_cube

LARGE = 1_000_000
"""Pixels of a picture from which on its memory is asked back at once; doing so takes as long as drawing a small one."""
FEW_BANDS = 4
"""Energy bands up to which every map is drawn in each; with more, just the significance is, and sums of what adds up."""
DRAWN = ("counts", "background", "excess", "sqrt_ts", "flux", "flux_ul")
"""Maps that are drawn; all are written as FITS images."""


def draw_cube_image(*, url: str, out: str, variable: str, done: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Image of a variable of the cube: counts and background summed over energy, exposure at the middle of the axis."""
    cube = open_cube(url)
    array = cube[variable]
    wcs = wcs_of(cube)
    unit, title = str(array.attrs.get("units", "")), str(array.attrs.get("long_name", variable))
    if variable == "exposure":
        energies = cube["energy_true"].values
        middle = int(np.argmin(np.abs(np.log(energies / np.sqrt(energies[0] * energies[-1])))))
        image = array.isel(energy_true=middle).values
        title = f"{title} at {energies[middle]:.3g} TeV"
    else:
        image = sum_over_energy(array)
    urls.write_bytes(f"{out}{variable}.fits", to_fits(image, wcs, unit=unit, name=variable))
    shown = np.where(cube["n_observations"].values > 0, image, np.nan)
    _write_png(f"{out}{variable}.png", draw_map(shown, wcs, name=variable, title=title, unit=unit), shown.size)
    return {"files": [f"{variable}.fits", f"{variable}.png"]}


def _write_png(url: str, figure: Figure, pixels: int) -> None:
    """Write a picture, and free what it was drawn from, which a figure's circles of references keep until Python looks."""
    urls.write_bytes(url, to_png(figure))
    figure.clear()
    if pixels > LARGE:
        gc.collect()


def sum_over_energy(array: xr.DataArray) -> NDArray[Any]:
    """Sum over the first axis, a bin at a time: the memory of one image, not of the cube."""
    total = np.zeros(array.shape[1:], dtype=array.dtype)
    for index in range(array.shape[0]):
        total += array[index].values
    return total


def draw_maps(*, url: str, out: str, prefix: str, done: frozenset[str] = frozenset()) -> dict[str, Any]:
    """All maps of a kind: a FITS file each, and pictures."""
    maps = open_cube(url)
    wcs = wcs_of(maps)
    files = []
    for name in map(str, maps.data_vars):
        array = maps[name]
        if array.dims[-2:] != ("y", "x"):
            continue
        unit = str(array.attrs.get("units", ""))
        values = array.values
        bands = maps["energy_edges"].values if values.ndim == 3 else None
        urls.write_bytes(f"{out}{prefix}_{name}.fits", to_fits(values, wcs, unit=unit, name=name, bands=bands))
        files.append(f"{prefix}_{name}.fits")
        if name not in DRAWN:
            continue
        for suffix, title, image in _images(array, maps):
            figure = draw_map(image.astype(np.float64), wcs, name=name, title=title, unit=unit)
            _write_png(f"{out}{prefix}_{name}{suffix}.png", figure, image.size)
            files.append(f"{prefix}_{name}{suffix}.png")
    return {"files": files}


def _images(array: xr.DataArray, maps: xr.Dataset) -> Iterator[tuple[str, str, NDArray[Any]]]:
    """Suffix of the file, title and image of every picture of a map."""
    title = str(array.attrs.get("long_name", array.name))
    if array.ndim == 2:
        yield "", title, array.values
        return
    low, high = maps["energy_edges"].values.T
    if low.size == 1:
        yield "", f"{title}, {low[0]:.3g} to {high[0]:.3g} TeV", array.values[0]
        return
    if low.size <= FEW_BANDS or array.name in ("sqrt_ts", "significance"):
        for index in range(low.size):
            yield f"_band{index}", f"{title}, {low[index]:.3g} to {high[index]:.3g} TeV", array.values[index]
    elif array.name in ADDITIVE:
        yield "", f"{title}, all bands", array.values.sum(axis=0)


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
    excluded = np.zeros(sky.shape, dtype=bool)
    if exclusion is not None:
        spec = ExclusionSpec.from_dict(exclusion)
        # tile by tile: the directions of all pixels at once would take many times the memory of the map
        for row, column in product(range(0, sky.ny, sky.tile), range(0, sky.nx, sky.tile)):
            window = Window(row, min(row + sky.tile, sky.ny), column, min(column + sky.tile, sky.nx))
            excluded[window.slices] = exclusion_mask(sky.geometry(window), spec)
    values = maps["sqrt_ts"].values
    values = values[np.newaxis] if values.ndim == 2 else values
    low, high = maps["energy_edges"].values.T
    results: dict[str, Any] = {}
    files = [f"{prefix}_significance_histogram.json"]
    for index in range(values.shape[0]):
        found = significance_histogram(values[index], excluded)
        suffix = "" if values.shape[0] == 1 else f"_band{index}"
        band = "" if values.shape[0] == 1 else f", {low[index]:.3g} to {high[index]:.3g} TeV"
        figure = draw_significance_histogram(
            found.centers,
            found.counts,
            mean=found.mean,
            width=found.width,
            counts_all=found.counts_all,
            title=f"Significance of the {prefix.replace('ts', 'TS')} map{band}",
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
