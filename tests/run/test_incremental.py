"""Observations added to a reduced survey: only they and the tiles that they touch are computed, to the same bytes."""

import copy
import json
from pathlib import Path

import pytest

import survey
from survey.config import load_config
from survey.estimators.graph import chosen_maps, halo
from survey.events.synthetic import make_store
from survey.sky.tiles import window_with_halo
from survey.survey_plan import make_plan

ADDED = (5, 9)
"""Two of ten observations in a row across the sky: one in the middle, one near the end."""


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """Ten observations in a row, a degree apart."""
    folder = tmp_path_factory.mktemp("wide") / "store"
    return make_store(folder, n_observations=10, ra=83.63, dec=-22.01, pattern="line", spacing=1.0, livetime=600.0)


@pytest.fixture
def survey_of(settings, wide, tmp_path):
    """Function that gives the configuration of a survey of some of the observations, in a folder."""

    def make(name, obs_ids):
        made = copy.deepcopy(settings)
        made["general"]["outdir"] = str(tmp_path / name)
        made["observations"] = {"datastore": str(wide), "obs_ids": list(obs_ids)}
        geom = made["datasets"]["geom"]
        geom["wcs"]["width"] = {"width": "14 deg", "height": "4 deg"}
        geom["tiles"] = {"chunk": 5, "chunks": 2}
        geom["selection"] = {"offset_max": "0.8 deg"}
        made["datasets"]["safe_mask"]["parameters"]["offset_max"] = "0.8 deg"
        made["ts_map"] = {"kernel_width": "0.5 deg"}
        return made

    return make


def markers(run, stage):
    """When each unit of a stage was begun, by name."""
    records = (json.loads(path.read_bytes()) for path in Path(run.layout.work, "markers", stage).glob("*.json"))
    return {record["slot"].partition("/")[2]: record["started"] for record in records}


def test_added_observations_redo_the_tiles_that_they_touch_and_no_others(survey_of, digest):
    before = survey.run(survey_of("grown", [n for n in range(1, 11) if n not in ADDED]), listeners=[])
    stages = ("observations", "background", "tiles", "background-tiles", "excess", "ts")
    old = {stage: markers(before, stage) for stage in stages}
    both = survey_of("grown", range(1, 11))
    plan = make_plan(load_config(both))
    grown = survey.run(both, listeners=[])
    new = {stage: markers(grown, stage) for stage in stages}
    ran = {stage: {name for name, at in new[stage].items() if old[stage].get(name) != at} for stage in stages}

    added = {number for number, source in enumerate(plan.sources) if source.obs_id in ADDED}
    identities = {plan.sources[number].identity for number in added}
    assert len(identities) == 2
    touched = {tile for tile, numbers in plan.tiles.items() if added & set(numbers)}
    assert ran["observations"] == ran["background"] == identities
    assert ran["tiles"] == ran["background-tiles"] == {tile.name for tile in touched}
    for stage, chosen in chosen_maps(plan.config).items():
        near = set()
        for tile in plan.tiles:
            around = window_with_halo(plan.grid, plan.grid.window(tile), halo(chosen, plan))
            if any(not around.intersection(plan.grid.window(other)).is_empty for other in touched):
                near.add(tile.name)
        assert ran[stage] == near
        assert len(near) < len(plan.tiles)
    assert 0 < len(touched) <= len(plan.tiles) / 2

    scratch = survey.run(survey_of("scratch", range(10, 0, -1)), listeners=[])
    for store in ("cube.zarr", "maps.zarr"):
        assert digest(f"{grown.outdir}/{store}") == digest(f"{scratch.outdir}/{store}")
    assert grown.record["ledger"] == scratch.record["ledger"]
    assert (grown.observations["norm"] == scratch.observations["norm"]).all()


def test_a_tile_that_loses_all_its_observations_is_as_if_it_never_had_any(survey_of, digest):
    left = range(1, 7)
    plans = [make_plan(load_config(survey_of("shrunk", ids))) for ids in (range(1, 11), left)]
    assert len(plans[1].tiles) < len(plans[0].tiles)
    survey.run(survey_of("shrunk", range(1, 11)), listeners=[])
    shrunk = survey.run(survey_of("shrunk", left), listeners=[])
    scratch = survey.run(survey_of("scratch", left), listeners=[])
    for folder in ("cube.zarr", "maps.zarr", "maps"):
        assert digest(f"{shrunk.outdir}/{folder}") == digest(f"{scratch.outdir}/{folder}")
