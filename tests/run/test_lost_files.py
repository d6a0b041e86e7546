"""Products and files of the workspace that somebody removed or damaged between two runs: made again, or told."""

import json
import re
import shutil
from pathlib import Path

import pytest

import survey
from cluster.workspace import Workspace
from survey import pipeline
from survey.pipeline import RunFailed
from survey.publish import ConservationError

PRODUCTS = ("cube.zarr", "maps.zarr", "maps")


@pytest.fixture
def settings(configure, store, tmp_path):
    """The configuration of the run that was complete, pictures included, in a folder of its own."""
    return configure(store, tmp_path / "again")


@pytest.fixture
def again(finished, settings, tmp_path, digest):
    """Function that takes something away from a run that was complete and runs again: what was computed, what differs."""
    outdir = tmp_path / "again"
    shutil.copytree(finished, outdir)

    def run(take):
        take(outdir)
        stages = survey.run(settings, listeners=[]).record["timings"]["stages"]
        differ = [name for name in PRODUCTS if digest(outdir / name) != digest(finished / name)]
        return {name: row["done"] for name, row in stages.items() if row["done"]}, differ

    return run


@pytest.mark.parametrize(
    ("take", "stages"),
    [
        (lambda out: None, set()),
        (lambda out: (out / "maps" / "counts.fits").unlink(), {"pictures"}),
        (lambda out: shutil.rmtree(out / "maps"), {"pictures"}),
        (lambda out: shutil.rmtree(out / "cube.zarr" / "stacked" / "livetime"), {"tiles", "background-tiles"}),
        (lambda out: shutil.rmtree(out / "maps.zarr" / "excess" / "sqrt_ts"), {"excess"}),
        (lambda out: shutil.rmtree(out / ".survey" / "prepared"), {"observations"}),
        (lambda out: next((out / ".survey" / "norms").iterdir()).unlink(), {"background"}),
        (lambda out: (out / ".survey" / "configuration.json").write_text('{"a'), set()),
        (lambda out: (out / ".survey" / "configuration.json").write_text("[1]"), set()),
    ],
)
def test_what_was_removed_is_made_again_and_nothing_else(again, take, stages):
    computed, differ = again(take)
    assert set(computed) == stages
    assert differ == []


def test_a_cube_that_was_changed_from_outside_is_told_with_advice_that_helps(again, settings):
    def take(out):
        next(path for path in (out / "cube.zarr/stacked/counts/c").rglob("*") if path.is_file()).unlink()

    with pytest.raises(ConservationError, match=r"it was changed from outside.*; remove \S*/cube.zarr"):
        again(take)
    outdir = Path(settings["general"]["outdir"])
    record = json.loads((outdir / "run.json").read_text())
    assert record["state"] == "stopped"
    assert "changed from outside" in record["reason"]
    assert "Not complete: stopped" in (outdir / "run.html").read_text()
    computed, differ = again(lambda out: shutil.rmtree(out / "cube.zarr"))
    assert set(computed) == {"tiles", "background-tiles"}
    assert differ == []


def test_maps_that_are_not_asked_for_any_more_leave_no_store(again, settings):
    del settings["excess_map"]
    _, differ = again(lambda out: None)
    assert "cube.zarr" not in differ
    assert not Path(settings["general"]["outdir"], "maps.zarr").exists()


def test_a_fit_that_failed_is_a_unit_that_failed(again, settings):
    def take(out):
        sorted((out / ".survey" / "prepared").iterdir())[0].write_bytes(b"x")

    settings["datasets"]["background"]["exclusion"] = []
    with pytest.raises(RunFailed, match=r"^background/"):
        again(take)
    record = json.loads((Path(settings["general"]["outdir"]) / "run.json").read_text())
    assert record["state"] == "failed"
    assert [line.partition("/")[0] for line in record["failed_units"]] == ["background"]
    assert re.search(
        r"prepared/\S+: damaged \(.*\); remove it and run again with --retry-failed", record["failed_units"][0]
    )


def test_a_run_that_is_killed_leaves_no_page_of_the_run_before(finished, settings, tmp_path, monkeypatch):
    outdir = tmp_path / "again"
    shutil.copytree(finished, outdir)
    settings["excess_map"]["correlation_radius"] = "0.3 deg"

    class Killed(Exception):
        pass

    seen = []

    def killed(*given, **more):
        seen.append((outdir / "run.html").read_text())
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "execute", killed)
        with pytest.raises(Killed):
            survey.run(settings, listeners=[])
    (page,) = seen
    assert "observations used" not in page
    assert "Not complete: running, or killed" in page


def test_the_memory_of_a_driver_is_there_from_its_first_moment_on(settings):
    seen = []

    def look(event):
        seen.append(len(Workspace(Path(settings["general"]["outdir"]) / ".survey").driver_memory()))

    survey.run(settings, listeners=[look])
    assert set(seen[1:]) == {1}
