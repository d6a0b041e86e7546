"""What goes wrong around a run: a rerun completes it, computes only what is missing, and the bytes are the same."""

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import xarray as xr
import yaml
from astropy.io import fits
from typer.testing import CliRunner

import survey
from cluster.events import UnitEnded, WorkerLost
from cluster.workspace import Workspace
from survey import cli, pipeline
from survey.estimators import stages as estimators
from survey.reduction import stages
from survey.refusal import Refusal

UNITS = 6 + 6 + 4 + 4 + 4
"""Observations, background fits, tiles, background tiles, excess tiles; pictures come on top."""


@pytest.fixture
def calm(finished, digest):
    """The stores of a run that nothing happened to."""
    return stores(finished, digest)


def stores(outdir, digest):
    return {name: digest(Path(outdir) / name) for name in ("cube.zarr", "maps.zarr")}


def command(settings, tmp_path, *arguments):
    """The run of a configuration as a command line, without the program."""
    path = tmp_path / "survey.yaml"
    path.write_text(yaml.safe_dump(settings))
    return ["run", str(path), *arguments]


def records(settings):
    """When each unit was started that has a marker."""
    folder = Path(settings["general"]["outdir"]) / ".survey" / "markers"
    found = {}
    for path in folder.rglob("*.json"):
        with contextlib.suppress(FileNotFoundError):
            record = json.loads(path.read_bytes())
            found[record["slot"]] = record["started"]
    return found


def completed(settings, before):
    """Run again to the end: what was done stays done; returns how many units were computed."""
    run = survey.run(settings, listeners=[])
    after = records(settings)
    assert {slot: after[slot] for slot in before} == before
    assert run.exit_status == 0
    return sum(stage["done"] for stage in run.record["timings"]["stages"].values())


def test_a_worker_killed_on_the_way_changes_no_byte(settings, calm, digest):
    settings["cluster"] = {"kind": "local", "workers": 2}
    killed, lost = [], []

    def kill(event):
        if isinstance(event, WorkerLost):
            lost.append(event)
        if isinstance(event, UnitEnded) and not killed:
            killed.append(int(event.outcome.worker.rpartition(":")[2]))
            os.kill(killed[0], signal.SIGKILL)

    run = survey.run(settings, listeners=[kill])
    assert len(killed) == 1
    assert lost
    assert run.exit_status == 0
    assert stores(run.outdir, digest) == calm


def test_a_driver_that_is_killed_is_resumed(settings, tmp_path, calm, digest):
    settings["cluster"] = {"kind": "local", "workers": 2}
    arguments = command(settings, tmp_path)
    with (tmp_path / "told.txt").open("w") as told:
        driver = subprocess.Popen([sys.executable, "-m", "survey.cli", *arguments], stdout=told, stderr=told)
    try:
        limit = time.monotonic() + 100
        while len(records(settings)) < 5 and time.monotonic() < limit:
            assert driver.poll() is None, (tmp_path / "told.txt").read_text()
            time.sleep(0.005)
        workers = psutil.Process(driver.pid).children(recursive=True)
    finally:
        driver.kill()
        driver.wait()
    assert psutil.wait_procs(workers, timeout=20)[1] == []
    before = records(settings)
    assert 5 <= len(before)
    settings["cluster"] = {"kind": "none"}
    again = len([slot for slot in before if not slot.startswith("pictures/")])
    assert completed(settings, before) == UNITS - again
    assert stores(settings["general"]["outdir"], digest) == calm


def test_an_interrupted_run_says_so_and_is_resumed(run, settings, tmp_path, monkeypatch, calm, digest):
    changed = {**settings, "datasets": {**settings["datasets"], "safe_mask": {"methods": []}}}

    def interrupt(event):
        if isinstance(event, UnitEnded) and event.slot.startswith("tiles/"):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "listening", lambda given: contextlib.nullcontext([interrupt]))
        result = CliRunner().invoke(cli.app, command(changed, tmp_path))
    assert result.exit_code == 130
    assert "interrupted: what is done is kept" in result.stderr
    assert xr.open_zarr(f"{run.layout.cube}/stacked", consolidated=False).attrs["status"] == "running"
    assert completed(changed, {slot: at for slot, at in records(changed).items() if slot.startswith("obs")}) > 0
    survey.run(settings, listeners=[])
    assert stores(run.outdir, digest) == calm


@pytest.fixture
def small_disk(tmp_path):
    """A folder with hardly any room; a function makes room."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(*options):
        return subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", folder], capture_output=True)

    if os.geteuid() != 0 or mount("size=400k").returncode:
        pytest.skip("a file system cannot be mounted here")
    yield folder, lambda: mount("remount", "size=200m")
    subprocess.run(["umount", "--lazy", folder], check=True)


def failure(result):
    """The one line of a run that failed."""
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.stderr
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("failed:"))
    return line


def test_a_full_disk_is_told_in_one_line_and_the_rerun_completes(settings, tmp_path, small_disk, calm, digest):
    folder, enlarge = small_disk
    settings["general"]["outdir"] = str(folder / "out")
    arguments = command(settings, tmp_path)
    line = failure(CliRunner().invoke(cli.app, arguments))
    assert line.startswith(f"failed: no space left to write {folder}")
    assert line.endswith("make room and run again: finished work is kept")
    enlarge()
    before = records(settings)
    assert completed(settings, before) == UNITS - len(before)
    assert stores(folder / "out", digest) == calm


@pytest.mark.parametrize(
    ("where", "number"),
    [
        ("survey.reduction.stages.write_block", 2),
        ("survey.estimators.stages.write_block", 2),
        ("survey.outputs.create_cube", 0),
        ("survey.publish.write_tables", 0),
        ("survey.publish.finalise", 1),
    ],
)
def test_no_room_at_any_write_is_one_line(where, number, settings, tmp_path, monkeypatch, calm, digest):
    module, _, name = where.rpartition(".")
    write = getattr(sys.modules.get(module) or __import__(module, fromlist=[name]), name)
    calls = []

    def full(*given, **named):
        calls.append(given)
        if len(calls) > number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(where, full)
        assert failure(CliRunner().invoke(cli.app, command(settings, tmp_path))).startswith("failed: no space left")
    before = records(settings)
    assert completed(settings, before) == UNITS - len(before)
    assert stores(settings["general"]["outdir"], digest) == calm


def test_a_second_driver_is_refused(run, settings, tmp_path):
    with Workspace(run.layout.work).lock:
        result = CliRunner().invoke(cli.app, command(settings, tmp_path))
    assert result.exit_code == 2
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("refused:"))
    assert f"another run works here (process {os.getpid()} on " in line
    assert CliRunner().invoke(cli.app, command(settings, tmp_path)).exit_code == 0


def test_a_second_driver_is_told_of_the_first_and_not_stopped_by_a_dead_one(run, settings, tmp_path):
    script = f"""
import time
from cluster.workspace import Workspace
with Workspace({run.layout.work!r}).lock:
    print("held", flush=True)
    time.sleep(600)
"""
    first = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout.readline() == "held\n"
        result = CliRunner().invoke(cli.app, command(settings, tmp_path))
        assert result.exit_code == 2
        (line,) = (line for line in result.stderr.splitlines() if line.startswith("refused:"))
        assert f"another run works here (process {first.pid} on " in line
        assert line.endswith("wait for it, or stop it and run again")
        shown = CliRunner().invoke(cli.app, ["status", run.outdir])
        assert f"running: process {first.pid} on " in shown.stdout
    finally:
        first.kill()
        first.communicate()
    assert Path(run.layout.work, "lock.json").exists()
    assert CliRunner().invoke(cli.app, ["status", run.outdir, "--watch"]).stdout.splitlines()[-1] == "complete"
    assert CliRunner().invoke(cli.app, command(settings, tmp_path)).exit_code == 0
    assert not Path(run.layout.work, "lock.json").exists()


def test_half_written_files_are_not_foreign_and_are_removed(run, settings, calm, digest):
    left = [
        Path(run.outdir) / ".run.json.0123456789abcdef.partial",
        Path(run.layout.cube) / "stacked" / "counts" / "c" / "0" / "0" / "0.0123456789abcdef.partial",
        Path(run.layout.work) / "markers" / "tiles" / "y000x000.json.0123456789ab.partial",
    ]
    for path in left:
        path.write_bytes(b"half")
    assert survey.run(settings, listeners=[]).exit_status == 0
    assert not any(path.exists() for path in left)
    assert stores(run.outdir, digest) == calm


def test_a_cube_of_a_newer_release_is_refused_and_kept(run, settings, digest):
    path = Path(run.layout.cube) / "stacked" / "zarr.json"
    content = json.loads(path.read_text())
    content["attributes"]["format_version"] = 99
    path.write_text(json.dumps(content))
    before = digest(run.layout.cube)
    with pytest.raises(Refusal, match="format_version 99, this release reads up to"):
        survey.run(settings, listeners=[])
    assert digest(run.layout.cube) == before


def test_what_failed_is_tried_again_when_asked_and_not_before(settings, tmp_path, monkeypatch, calm, digest):
    prepare, write = stages.prepare, estimators.write_block

    def no_memory(observation, *given):
        if observation.obs_id == 3:
            raise MemoryError("no room for it")
        return prepare(observation, *given)

    def no_tile(url, sums, grid, tile):
        if tile.name == "y000x001":
            raise ValueError("something is wrong with it")
        return write(url, sums, grid, tile)

    with monkeypatch.context() as patch:
        patch.setattr(stages, "prepare", no_memory)
        patch.setattr(estimators, "write_block", no_tile)
        first = CliRunner().invoke(cli.app, command(settings, tmp_path))
    assert first.exit_code == 1
    cause, advice = (line for line in first.stderr.splitlines() if line.startswith("failed:"))
    assert cause == "failed: excess/y000x001: ValueError: something is wrong with it"
    assert advice.endswith("run again with --retry-failed when the cause is mended")
    outdir = Path(settings["general"]["outdir"])
    assert json.loads((outdir / "run.json").read_text())["state"] == "failed"
    assert "failed; run again with --retry-failed." in (outdir / "run.html").read_text()
    # The causes are gone, and a plain rerun asks nobody.
    before = records(settings)
    assert cause in CliRunner().invoke(cli.app, command(settings, tmp_path)).stderr.splitlines()
    assert records(settings) == before
    run = survey.open(settings["general"]["outdir"])
    (row,) = run.observations[run.observations["status"] != "used"]
    assert (row["obs_id"], row["status"], row["reason"]) == (3, "failed", "MemoryError: no room for it")
    result = CliRunner().invoke(cli.app, command(settings, tmp_path, "--retry-failed"))
    assert result.exit_code == 0, result.output
    again = survey.open(settings["general"]["outdir"])
    assert again.record["observations"] == {"used": 6, "set_aside": 0}
    assert again.record["timings"]["stages"]["observations"]["done"] == 1
    assert stores(again.outdir, digest) == calm


def spoil(kind, path):
    match kind:
        case "random bytes":
            path.write_bytes(np.random.default_rng(1).bytes(5000))
        case "nan":
            with fits.open(path, memmap=False) as hdus:
                hdus["AEFF"].data["EFFAREA"][0, 2] = np.nan
                hdus.writeto(path, overwrite=True)
        case "missing":
            path.unlink()


@pytest.mark.parametrize("kind", ["random bytes", "nan", "missing"])
def test_a_spoiled_observation_is_as_good_as_not_selected(kind, settings, store, tmp_path, calm, digest):
    spoiled = tmp_path / "spoiled" / store.name  # the name is part of the identity of an observation
    shutil.copytree(store, spoiled)
    (path,) = spoiled.rglob("obs_000003.fits")
    good = path.read_bytes()
    spoil(kind, path)
    settings["observations"]["datastore"] = str(spoiled)
    run = survey.run(settings, listeners=[])
    assert run.exit_status == 3
    aside = run.observations[run.observations["status"] != "used"]
    assert aside["obs_id"].tolist() == [3]
    assert path.name in aside["reason"][0]
    settings["general"]["outdir"] = str(tmp_path / "without")
    settings["observations"]["obs_ids"] = [1, 2, 4, 5, 6]
    without = survey.run(settings, listeners=[])
    xr.testing.assert_equal(run.cube.drop_attrs(), without.cube.drop_attrs())
    # Mended, it is taken in by the next run, and nothing else is read again.
    path.write_bytes(good)
    settings["general"]["outdir"] = run.outdir
    del settings["observations"]["obs_ids"]
    again = survey.run(settings, listeners=[])
    assert again.exit_status == 0
    assert again.record["timings"]["stages"]["observations"]["done"] == 1
    assert stores(run.outdir, digest) == calm
