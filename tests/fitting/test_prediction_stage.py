"""Units of predicted counts: one a tile, the tiles together are the whole; keys hold the models in reach."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from survey.fitting.graph import npred_units, npred_url, npred_variables
from survey.fitting.prediction import predict
from survey.fitting.settings import PredictionSettings
from survey.fitting.stages import predict_tile
from survey.layout import Layout
from survey.models import Disk, Gaussian, Point
from survey.models.collection import Models
from survey.reduction.axes import Axes
from survey.sky.energy import EnergyAxis
from survey.store.cube import create_cube, create_dataset, open_cube, write_block

SETTINGS = PredictionSettings(psf_radius_max=0.4)


@pytest.fixture
def plan(placed_sky, tmp_path):
    """What the graph reads of a plan, with its cube in a store."""
    axes = Axes(
        EnergyAxis("energy", placed_sky.energy), EnergyAxis("energy_true", placed_sky.energy_true), placed_sky.rad
    )
    grid = placed_sky.grid
    layout = Layout(str(tmp_path / "out"))
    plan = SimpleNamespace(
        grid=grid, axes=axes, layout=layout, dataset_name="stacked", cube=f"{layout.cube}/stacked",
        tiles={tile: [0] for tile in grid.tiles()},
    )  # fmt: skip
    dataset = placed_sky.dataset()
    create_cube(plan.cube, grid, axes, variables=list(dataset.data_vars))
    for tile in grid.tiles():
        window = grid.window(tile)
        cells = grid.cell_window(window)
        parts = {
            name: array.values[(..., *(cells if "y_irf" in array.dims else window).slices)]
            for name, array in dataset.data_vars.items()
        }
        write_block(plan.cube, parts, grid, tile)
    variables, coordinates = npred_variables(axes)
    create_dataset(npred_url(plan), grid, variables, coordinates=coordinates)
    return plan


@pytest.fixture
def models(placed_sky, crab, make_source):
    return Models(
        [
            make_source(Gaussian(sigma=0.3, **placed_sky.place(41, 38)), crab, "large"),
            make_source(Point(**placed_sky.place(10.2, 12.7)), crab, "corner"),
            make_source(Disk(r_0=0.4, **placed_sky.place(60, 39)), crab, "edge"),
        ]
    )


def run(units):
    return {unit.name: predict_tile(**json.loads(json.dumps(dict(unit.arguments))), done=frozenset()) for unit in units}


def test_tiles_make_the_whole(plan, models, placed_sky):
    units = list(npred_units(plan, models, SETTINGS))
    assert len(units) == 4
    results = run(units)
    stored = open_cube(npred_url(plan))
    dataset = placed_sky.dataset()
    whole = predict(dataset, models.values(), background=False, settings=SETTINGS).values
    np.testing.assert_allclose(stored["npred_signal"], whole, rtol=1e-9, atol=1e-9 * whole.max())
    np.testing.assert_allclose(stored["npred_background"], dataset["background"])
    counts = sum(result["counts"].get(name, 0.0) for result in results.values() for name in models)
    assert counts == pytest.approx(whole.sum())
    assert set(results["y001x001"]["counts"]) == {"background", "large", "edge"}


def test_unit_waits_for_the_tiles_of_its_halo(plan, models):
    units = {unit.name: unit for unit in npred_units(plan, models, SETTINGS)}
    assert "tiles/y001x001" in units["y000x000"].after
    assert "background-tiles/y000x000" in units["y000x000"].after


def test_a_far_source_changes_no_key(plan, models, crab, make_source):
    """Only tiles that a changed source reaches are predicted again."""
    before = {unit.name: unit.key for unit in npred_units(plan, models, SETTINGS)}
    corner = models["corner"]
    brighter = models.replaced(make_source(corner.spatial, crab.replaced(amplitude=1e-7), "corner"))
    after = {unit.name: unit.key for unit in npred_units(plan, brighter, SETTINGS)}
    assert [name for name in before if before[name] != after[name]] == ["y000x000"]
