"""What a rerun says of a configuration that changed."""

import copy
import json
from pathlib import Path

import numpy as np

import survey
from survey.changes import changes


def test_every_changed_key_is_named_with_both_values():
    before = {"a": {"b": 1, "c": [1, 2]}, "gone": {"x": 1}, "same": "s"}
    after = {"a": {"b": 2, "c": [1, 2]}, "same": "s", "came": {"y": 2}}
    assert changes(before, after) == ["a.b: 1 -> 2", "came: absent -> a section", "gone: a section -> absent"]
    assert changes(after, after) == []


def test_long_values_are_cut():
    (line,) = changes({"ids": []}, {"ids": list(range(1000))})
    assert len(line) < 120
    assert line.endswith("...")


def test_a_rerun_lists_what_changed(run, settings, caplog):
    changed = copy.deepcopy(settings)
    changed["datasets"]["safe_mask"]["parameters"]["offset_max"] = "1.5 deg"
    with caplog.at_level("INFO", logger="survey"):
        again = survey.run(changed, listeners=[])
    (line,) = again.record["changed"]
    assert line.startswith("datasets.safe_mask.parameters.offset_max: ")
    assert line in caplog.text
    assert survey.run(changed, listeners=[]).record["changed"] == []


def test_bands_between_edges_are_told(settings, caplog):
    moved = copy.deepcopy(settings)
    moved["excess_map"] = {
        **moved.get("excess_map", {}),
        "energy_edges": {"min": "1.3 TeV", "max": "9 TeV", "nbins": 1},
    }
    summary = survey.plan(moved)
    (line,) = [line for line in summary.lines if "energy band" in line]
    assert line.startswith("excess_map: energy band 1.3 to 9 TeV is taken as ")
    assert "nearest edges of datasets.geom.axes.energy" in line


def test_true_energies_that_do_not_hold_the_measured_ones_are_told(settings, caplog):
    axes = settings["datasets"]["geom"]["axes"]
    axes["energy_true"] = {"min": "0.5 TeV", "max": "20 TeV", "nbins": 6}  # those of energy
    survey.run(settings, listeners=[])
    assert "energy_true" not in caplog.text
    axes["energy_true"]["max"] = "10 TeV"
    survey.run(settings, overwrite=True, listeners=[])
    assert "energy_true: found 0.5 to 10 TeV, which does not hold the 0.5 to 20 TeV of energy" in caplog.text


def test_the_configuration_that_ran_is_kept(run):
    assert json.loads(Path(run.layout.configuration).read_text()) == run.record["configuration"]


def test_maps_hold_no_flux_of_a_cube_that_had_more_responses(run, settings, tmp_path, digest):
    settings["datasets"]["map_selection"] = ["counts", "exposure", "background"]
    again = survey.run(settings, listeners=[])
    settings["general"]["outdir"] = str(tmp_path / "scratch")
    scratch = survey.run(settings, listeners=[])
    assert np.isnan(scratch.maps["excess"]["flux"].values).all()
    for store in ("cube.zarr", "maps.zarr"):
        assert digest(f"{again.outdir}/{store}") == digest(f"{scratch.outdir}/{store}")
