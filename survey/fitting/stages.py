"""What a worker does to predict the counts of a tile: read its window with the halo, predict, write its shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from survey.fitting.cell_responses import VARIABLES
from survey.fitting.prediction import counts_by_component
from survey.fitting.settings import PredictionSettings
from survey.models.collection import Models
from survey.models.components import FoVBackgroundModel
from survey.sky.grid import SkyGrid
from survey.sky.pixels import Window
from survey.sky.tiles import Tile, window_with_halo
from survey.store.cube import open_cube, read_window, write_block

INPUTS = (*VARIABLES, "background", "n_safe")
"""Variables of the cube that a prediction reads, where the cube has them."""

TABLES = ("energy_edges", "energy_true_edges", "rad_edges", "gti_start", "gti_stop")

SIGNAL, BACKGROUND = "npred_signal", "npred_background"
"""Variables of the product."""


def predict_tile(
    *,
    cube: str,
    npred: str,
    grid: Mapping[str, Any],
    tile: str,
    halo: int,
    models: Mapping[str, Any],
    name: str,
    settings: Mapping[str, Any],
    done: frozenset[str],
) -> dict[str, Any]:
    """Predict the counts of all components that reach a tile.

    Parameters
    ----------
    cube, npred : str
        URLs of the DL4 dataset and of the dataset of predicted counts.
    grid : mapping
        Plain values of `SkyGrid`.
    tile : str
        Name of the tile.
    halo : int
        Pixels around the tile to read, whole response cells.
    models : mapping
        Plain values of `Models`: those that reach the tile.
    name : str
        Of the DL4 dataset: models for others are left out.
    settings : mapping
        Plain values of `PredictionSettings`.

    Returns
    -------
    dict
        ``counts``: predicted counts of every component within the tile.
    """
    sky = SkyGrid.from_key(grid)
    inner = sky.window(Tile.from_name(tile))
    window = window_with_halo(sky, inner, halo)
    dataset = read_dataset(cube, window, sky)
    core = inner.relative_to(window)
    chosen = Models.from_dict(models)
    values = {variable: np.zeros((dataset.sizes["energy"], *core.shape)) for variable in (SIGNAL, BACKGROUND)}
    counts: dict[str, float] = {}
    corrections = {model.name for model in chosen.values() if isinstance(model, FoVBackgroundModel)} | {"background"}
    found = counts_by_component(dataset, chosen.values(), settings=PredictionSettings(**settings), name=name)
    for label, part in found:
        if part is None:
            continue
        common = part.window.intersection(core)
        if common.is_empty:
            continue
        piece = part.values[:, *common.relative_to(part.window).slices]
        target = BACKGROUND if label in corrections else SIGNAL
        values[target][:, *common.relative_to(core).slices] += piece
        counts[label] = float(piece.sum())
    write_block(npred, values, sky, Tile.from_name(tile))
    return {"counts": counts}


def read_dataset(cube: str, window: Window, grid: SkyGrid, names: Sequence[str] = INPUTS) -> xr.Dataset:
    """Variables of a cube on a window, in memory, with what a prediction needs to know of its axes, times and grid."""
    stored = open_cube(cube)
    present = [name for name in names if name in stored]
    values = read_window(cube, present, window)
    tables = {name: stored[name].variable.load() for name in TABLES if name in stored.variables}
    attrs = {
        "binsize": stored.attrs["binsize"],
        "cell": stored.attrs["cell"],
        "grid": grid.key(),
        "y_first": window.y0,
        "x_first": window.x0,
    }
    return xr.Dataset({name: (stored[name].dims, values[name]) for name in present}, tables, attrs)
