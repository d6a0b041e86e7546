"""Local workers that start while the first run of a folder is planned: when they do, and that none is left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

import cluster.head_start
import cluster.run
import survey
import survey.pipeline
from cluster.config import ClusterConfig
from cluster.engines.base import open_engine
from cluster.errors import ConfigError
from cluster.head_start import head_start
from survey.refusal import Refusal


def workers():
    """Processes of workers below this one."""
    return [
        child.pid
        for child in psutil.Process().children(recursive=True)
        if any("spawn_main" in word for word in child.cmdline())
    ]


@pytest.fixture
def opened(monkeypatch):
    """The engines that runs open, ahead or not."""

    def note(config, **options):
        engines.append(open_engine(config, **options))
        return engines[-1]

    engines = []
    monkeypatch.setattr(cluster.head_start, "open_engine", note)
    monkeypatch.setattr(cluster.run, "open_engine", note)
    monkeypatch.setattr(survey.pipeline, "open_engine", note)
    return engines


def test_a_refused_plan_ends_the_workers_and_says_the_same(settings, opened):
    settings["datasets"]["geom"]["wcs"]["skydir"]["lon"] = "263.63 deg"
    with pytest.raises(Refusal) as calm:
        survey.run(settings, listeners=[])
    settings["cluster"] = {"kind": "local", "workers": 2}
    environment = dict(os.environ)
    with pytest.raises(Refusal) as refused:
        survey.run(settings, listeners=[])
    assert str(refused.value) == str(calm.value)
    assert len(opened) == 1
    assert not opened[0]._starter.is_alive()
    assert workers() == []
    assert all(os.environ.get(name) == environment.get(name) for name in opened[0].environment())
    assert not Path(settings["general"]["outdir"]).exists()


@pytest.mark.parametrize(
    "section",
    [
        {"kind": "pbs", "memory": "1 GB"},
        {"kind": "existing", "address": "tcp://127.0.0.1:9"},
        {"kind": "local", "workers": 1, "options": {"colour": "blue"}},
    ],
    ids=lambda section: section["kind"],
)
def test_a_cluster_that_cannot_be_started_leaves_nothing_behind(settings, monkeypatch, tmp_path, section):
    monkeypatch.setattr("cluster.engines.existing.CONNECT", 1)
    monkeypatch.setenv("PATH", str(tmp_path))  # no batch system
    settings["cluster"] = section
    with pytest.raises(ConfigError):
        survey.run(settings, listeners=[])
    outdir = Path(settings["general"]["outdir"])
    assert not outdir.exists() or not list(outdir.iterdir())
    assert workers() == []


def test_a_run_has_one_engine_and_a_rerun_with_nothing_left_has_none(settings, opened):
    settings["cluster"] = {"kind": "local", "workers": 1}
    assert survey.run(settings, listeners=[]).exit_status == 0
    assert len(opened) == 1
    assert workers() == []
    assert survey.run(settings, listeners=[]).exit_status == 0
    assert len(opened) == 1


@pytest.mark.parametrize(
    ("config", "workspace"),
    [
        (ClusterConfig(kind="none"), "new"),
        (ClusterConfig(kind="slurm", workers=1, memory="1 GB", walltime="1:00:00"), "new"),
        (ClusterConfig(kind="local", workers=1), "there"),
        (ClusterConfig(kind="local", workers=1), "s3://bucket/new"),
    ],
    ids=["one process", "batch system", "rerun", "object store"],
)
def test_nothing_is_started_ahead(tmp_path, opened, config, workspace):
    (tmp_path / "there").mkdir()
    with head_start(workspace if "://" in workspace else tmp_path / workspace, config) as engine:
        assert engine is None
    assert opened == []


def test_what_workers_are_given_is_not_in_the_environment_while_they_start(tmp_path):
    given = os.environ.get("ZARR_ASYNC__CONCURRENCY")
    with head_start(tmp_path / "new", ClusterConfig(workers=1, memory="1 GB")) as engine:
        assert os.environ.get("ZARR_ASYNC__CONCURRENCY") == given
        engine.submit("one", os.getenv, "ZARR_ASYNC__CONCURRENCY")
        limit = time.monotonic() + 60
        while not (ended := engine.wait(1.0)):
            assert time.monotonic() < limit
    assert [completion.value for completion in ended] == ["4"]


SCRIPT = """
import sys, time
from survey import survey_plan
from survey.cli import main

def plan(*given, **named):
    print("planning", flush=True)
    while True:  # a signal that another thread of the process takes ends no sleep of this one
        time.sleep(0.1)

survey_plan.make_plan = plan
sys.argv = ["survey", "run", {path!r}]
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_driver_that_is_stopped_while_it_plans_leaves_no_process(settings, tmp_path, number):
    settings["cluster"] = {"kind": "local", "workers": 2}
    path = tmp_path / "survey.yaml"
    path.write_text(yaml.safe_dump(settings))
    script = [sys.executable, "-c", SCRIPT.format(path=str(path))]
    pipe = subprocess.PIPE
    driver = subprocess.Popen(script, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
    try:
        assert driver.stdout.readline() == "planning\n"
        started = psutil.Process(driver.pid).children(recursive=True)
        assert len(started) >= 2
        if number == signal.SIGINT:
            os.killpg(driver.pid, number)  # a terminal sends it to the workers too
        else:
            driver.send_signal(number)
        driver.wait(60)
        assert psutil.wait_procs(started, timeout=60)[1] == []
    finally:
        driver.kill()
        text = driver.communicate()[1]
    assert "Traceback" not in text
    if number != signal.SIGKILL:
        assert driver.returncode == 130
        assert text.startswith("interrupted:")
    assert not Path(settings["general"]["outdir"]).exists()
