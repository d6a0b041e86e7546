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
from survey.capacity import coverage, output_need, worker_need
from survey.config import load_config
from survey.refusal import Refusal
from survey.survey_plan import make_plan

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
    assert 0.5 < coverage(plan) <= 1.0
    peaks = [stage["peak_memory"] for stage in run.record["timings"]["stages"].values()]
    assert worker_need(plan).least < max(peaks)


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


def test_what_is_there_already_needs_no_room(run, settings, disk, caplog):
    disk(0)
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
    assert line.startswith("refused: cluster.memory: a tile takes at least 28")
    assert "MB and a worker has 150 MB; raise cluster.memory, lower cluster.workers" in line


@pytest.mark.parametrize(
    ("section", "limit"),
    [
        ({"kind": "none", "memory": "2 GB"}, None),
        ({"workers": 4}, machine() // 4),
        ({"workers": 4, "memory": "2 GB"}, 2 * 10**9),
    ],
)
def test_limits_of_workers_are_known_before_they_start(section, limit):
    assert worker_limit(ClusterConfig(**section)) == limit
