"""How local workers start and end: without what they do not need, and without leaving anything."""

import os
import time

import psutil
import pytest

from cluster.config import ClusterConfig
from cluster.engines.base import open_engine
from cluster.engines.local import Engine
from cluster.errors import ConfigError


def answer(engine, function, *arguments):
    """What a function returns on a worker."""
    engine.submit(f"{time.monotonic()}", function, *arguments)
    limit = time.monotonic() + 60
    while not (ended := engine.wait(1.0)):
        assert time.monotonic() < limit
    return ended[0].value


HAS_BOKEH = "'bokeh' in __import__('sys').modules"


@pytest.mark.parametrize("now", [False, True])
def test_no_folder_and_no_process_is_left(tmp_path, now):
    scratch = tmp_path / "scratch"
    engine = open_engine(ClusterConfig(workers=2, memory="1 GB", scratch=str(scratch)))
    worker = psutil.Process(answer(engine, os.getpid))
    assert any(path.is_dir() for path in scratch.rglob("worker-*"))
    engine.close(now=now)
    assert not worker.is_running()
    assert {path.name for path in scratch.rglob("*") if path.is_file()} <= {"global.lock", "purge.lock"}
    assert list(scratch.rglob("worker-*")) == []


def spawned():
    """Children of this process that Python has spawned and that run."""
    children = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return {child.pid for child in children if any("spawn_main" in word for word in child.cmdline())}


@pytest.mark.parametrize("waited", [False, True])
def test_workers_that_are_just_being_started_are_not_waited_for(tmp_path, waited):
    config = ClusterConfig(workers=2, memory="1 GB", scratch=str(tmp_path), preload=("cluster_jobs",))
    before = spawned()
    engine = Engine(config)
    if waited:
        engine.await_processes()
        assert len(spawned() - before) == 2
    engine.close(now=True)
    assert spawned() <= before
    with pytest.raises(ConfigError, match="did not start"):
        engine.client()


def test_workers_import_what_draws_only_for_a_dashboard():
    with open_engine(ClusterConfig(workers=1, memory="1 GB")) as engine:
        assert answer(engine, eval, HAS_BOKEH) is False
        report = engine.performance_report()
    assert "Dask Performance Report" in report
    with open_engine(ClusterConfig(workers=1, memory="1 GB", dashboard=True)) as engine:
        assert answer(engine, eval, HAS_BOKEH) is True
