"""Room on the disk and in the memory of a worker is asked for before anything starts."""

import logging
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import survey
from cluster.config import ClusterConfig
from cluster.memory import machine, worker_limit
from survey import cli
from survey.capacity import _image_bytes, check_capacity, coverage, output_need, worker_need
from survey.config import load_config
from survey.refusal import Refusal
from survey.survey_plan import make_plan
from survey.unit_memory import largest_units

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def disk(monkeypatch):
    """A function that says how much is free."""
    return lambda free: monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10**9, 0, free))


def test_what_a_run_took_lies_between_least_and_likely(run, settings):
    plan = make_plan(load_config(settings))
    need = output_need(plan)
    folders = ("cube.zarr", "maps.zarr", ".survey/prepared")
    took = sum(path.stat().st_size for name in folders for path in Path(run.outdir, name).rglob("*") if path.is_file())
    assert need.least < took < 2 * need.likely
    images = sum(path.stat().st_size for path in Path(run.outdir, "maps").glob("*.fits"))
    assert 0.7 * images < _image_bytes(plan) <= images
    assert 0.5 < coverage(plan) <= 1.0
    peaks = [stage["peak_memory"] for stage in run.record["timings"]["stages"].values()]
    assert worker_need(plan).least < max(peaks)
    stages = [unit.slot.partition("/")[0] for unit in largest_units(plan)]
    assert set(run.record["timings"]["stages"]) == set(stages)


def test_a_disk_that_cannot_hold_the_products_is_refused(settings, disk):
    settings["datasets"]["geom"]["wcs"]["binsize"] = "0.005 deg"
    disk(100_000)
    with pytest.raises(Refusal, match=r"products take at least [\d.]+ MB more and 100 kB are free below .*; make room"):
        survey.run(settings, listeners=[])
    assert not Path(settings["general"]["outdir"]).exists()


def test_a_disk_that_is_nearly_full_is_told(settings, disk, caplog):
    disk(100_000)
    with caplog.at_level(logging.WARNING):
        assert survey.run(settings, listeners=[]).exit_status == 0
    assert "and 100 kB are free below" in caplog.text


def test_a_disk_without_any_room_is_refused(run, settings, disk):
    disk(0)
    with pytest.raises(Refusal, match=r"products take at least 100 kB more and 0 B are free below"):
        survey.run(settings, listeners=[])


def test_what_is_there_already_needs_no_room(run, settings, disk, caplog):
    disk(150_000)
    (Path(run.outdir) / ".survey" / "prepared" / "ballast").write_bytes(bytes(4_000_000))
    with caplog.at_level(logging.WARNING):
        assert survey.run(settings, listeners=[]).exit_status == 0
    assert "are free" not in caplog.text


@pytest.mark.parametrize("command", ["run", "plan", "validate"])
def test_a_tile_that_no_worker_can_hold_is_refused_in_one_line(settings, tmp_path, command):
    settings["cluster"] = {"kind": "local", "workers": 2, "memory": "150 MB"}
    path = tmp_path / "survey.yaml"
    path.write_text(yaml.safe_dump(settings))
    result = CliRunner().invoke(cli.app, [command, str(path)])
    assert result.exit_code == 2
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("refused:"))
    assert line.startswith("refused: cluster.memory: pictures/")
    assert "MB and a worker has 150 MB; raise cluster.memory, or make datasets.geom.wcs.binsize larger" in line


def test_the_largest_unit_of_any_stage_is_held_against_the_limit(settings, caplog):
    settings["datasets"]["geom"]["wcs"]["binsize"] = "0.005 deg"
    settings["datasets"]["geom"]["tiles"] = {"chunk": 100, "chunks": 5}
    settings["ts_map"] = {"model": {"spatial": "point"}, "index": 2.3, "kernel_width": "1 deg"}
    plan = make_plan(load_config(settings))
    largest = max(largest_units(plan), key=lambda unit: unit.base + unit.data)
    assert largest.slot.startswith("ts/")
    limit = int(worker_need(plan).likely / 1e6)
    for memory, count in ((limit * 2, 0), (limit, 1)):
        caplog.clear()
        check_capacity(plan, ClusterConfig(workers=1, memory=f"{memory} MB"))
        found = [line.getMessage() for line in caplog.records if "cluster.memory" in line.getMessage()]
        assert len(found) == count
    assert found[0].startswith(f"cluster.memory: {largest.slot} is likely to take ")
    assert found[0].endswith("; raise cluster.memory, or make datasets.geom.tiles or ts_map.kernel_width smaller")
    with pytest.raises(Refusal, match=r"ts/y\d+x\d+ takes at least [\d.]+ MB and a worker has 400 MB; raise"):
        check_capacity(plan, ClusterConfig(workers=1, memory="400 MB"))


def test_without_a_cluster_the_memory_of_the_machine_counts(settings, monkeypatch):
    assert "GB for this process;" in str(survey.plan(settings))
    monkeypatch.setattr("cluster.memory.machine", lambda: 200_000_000)
    with pytest.raises(Refusal, match=r"at least \d+ MB and this process has 200 MB; use a larger machine, or make"):
        survey.plan(settings)


@pytest.mark.parametrize(
    ("section", "limit"),
    [
        ({"kind": "none", "memory": "2 GB"}, machine()),
        ({"workers": 4}, machine() // 4),
        ({"workers": 4, "memory": "2 GB"}, 2 * 10**9),
        ({"workers": 4, "memory": "2000 TB"}, machine()),
    ],
)
def test_limits_of_workers_are_known_before_they_start(section, limit):
    assert worker_limit(ClusterConfig(**section)) == limit
