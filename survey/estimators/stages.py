"""What a worker does to map a tile: read its window with the halo, estimate, write its shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr
from numpy.typing import NDArray

from survey.estimators.excess import Core, excess_map
from survey.estimators.settings import ExcessMapSettings, TSMapSettings
from survey.estimators.ts import ts_map
from survey.models import Disk, Gaussian, Point, PowerLaw
from survey.sky.grid import SkyGrid
from survey.sky.pixels import Window
from survey.sky.tiles import Tile, window_with_halo
from survey.store.cube import open_cube, read_window, write_block

INPUTS = {
    "excess": ("counts", "background", "n_safe", "exposure", "edisp_exposure", "irf_exposure"),
    "ts": ("counts", "background", "n_safe", "exposure", "psf_exposure", "edisp_exposure", "irf_exposure"),
}
"""Variables of the cube that a kind of map reads, where the cube has them."""

PUBLISHED_UNITS = {"s-1 m-2": ("cm-2 s-1", 1e-4)}
"""Unit that a map is published in, and the factor to it, where the field does not use the canonical one."""


def map_tile(
    *,
    kind: str,
    cube: str,
    maps: str,
    grid: Mapping[str, Any],
    tile: str,
    halo: int,
    settings: Mapping[str, Any],
    done: frozenset[str],
) -> dict[str, Any]:
    """Map one tile.

    Parameters
    ----------
    kind : str
        ``excess`` or ``ts``.
    cube, maps : str
        URLs of the DL4 dataset and of the dataset of these maps.
    grid : mapping
        Plain values of `SkyGrid`.
    tile : str
        Name of the tile.
    halo : int
        Pixels around the tile to read, whole response cells.
    settings : mapping
        Plain values, what ``key`` of the settings gives.
    """
    sky = SkyGrid.from_key(grid)
    inner = sky.window(Tile.from_name(tile))
    window = window_with_halo(sky, inner, halo)
    dataset = read_dataset(cube, INPUTS[kind], window)
    core = Core(*inner.relative_to(window))
    chosen = settings_from_key(kind, settings)
    result = ts_map(dataset, chosen, core) if isinstance(chosen, TSMapSettings) else excess_map(dataset, chosen, core)
    values = {str(name): published(result[name]) for name in result.data_vars}
    write_block(maps, values, sky, Tile.from_name(tile))
    return {}


def published(array: xr.DataArray) -> NDArray[Any]:
    """Values of a map in the unit that products have, see `PUBLISHED_UNITS`."""
    _, factor = PUBLISHED_UNITS.get(str(array.attrs.get("units", "")), ("", 1.0))
    return array.values if factor == 1.0 else array.values * factor


MODELS = {model.tag[1]: model for model in (PowerLaw, Point, Gaussian, Disk)}


def settings_from_key(kind: str, key: Mapping[str, Any]) -> ExcessMapSettings | TSMapSettings:
    """Settings from what their ``key`` gives."""
    values = dict(key)
    for name in ("spectral_model", "spatial_model"):
        if name in values:
            fields = dict(values[name])
            values[name] = MODELS[fields.pop("type")](**fields)
    values["selection_optional"] = frozenset(values["selection_optional"])
    if values["bands"] is not None:
        values["bands"] = tuple((float(low), float(high)) for low, high in values["bands"])
    return TSMapSettings(**values) if kind == "ts" else ExcessMapSettings(**values)


def read_dataset(cube: str, names: Sequence[str], window: Window) -> xr.Dataset:
    """Variables of the cube on a window, in memory, with the axes' edges and what estimators need to know of the grid."""
    stored = open_cube(cube)
    present = [name for name in names if name in stored]
    values = read_window(cube, present, window)
    coords = {
        name: stored[name].variable for name in ("energy_edges", "energy_true_edges", "rad_edges") if name in stored
    }
    attrs = {name: stored.attrs[name] for name in ("binsize", "cell")}
    return xr.Dataset({name: (stored[name].dims, values[name]) for name in present}, coords, attrs)
