"""Surveys on a real Dask gateway: the same bytes, lost workers replaced, and nothing left running."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cloudpickle
import gateway_server
import psutil
import pytest
import yaml

import survey
from cluster import ConfigError
from cluster.config import ClusterConfig
from cluster.engines.base import open_engine
from cluster.events import UnitEnded

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform != "linux", reason="the gateway's server has wheels for Linux only"),
]
AUTH = {"type": "basic", "kwargs": {"username": "somebody", "password": "{GATEWAY_PASSWORD}"}}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    server = gateway_server.GatewayServer(tmp_path_factory.mktemp("gateway"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GATEWAY_PASSWORD", gateway_server.PASSWORD)
        yield server
    server.close()


@pytest.fixture
def cluster(gateway):
    return {
        "kind": "gateway",
        "address": gateway.address,
        "workers": 2,
        "memory": "1 GB",
        "options": {"auth": AUTH},
    }


def until(true, seconds=120):
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.2)


def kill(process):
    """Kill a worker with its nanny, which would start it again."""
    family = [process, *process.children(recursive=True)]
    for one in family:
        os.kill(one.pid, signal.SIGKILL)


def test_a_survey_gives_the_same_bytes_though_a_worker_is_lost(settings, cluster, gateway, finished, digest):
    killed = []

    def lose_one(event):
        if not killed and isinstance(event, UnitEnded):
            worker = psutil.Process(int(event.outcome.worker.rpartition(":")[2]))
            killed.append(worker.parent())
            kill(worker.parent())

    settings["cluster"] = cluster
    run = survey.run(settings, listeners=[lose_one])
    assert len(killed) == 1
    for name in ("cube.zarr", "maps.zarr"):
        assert digest(Path(run.outdir) / name) == digest(finished / name)
    until(lambda: gateway.processes() == [])


def test_lost_workers_are_replaced_and_workers_are_as_asked(cluster, gateway):
    with open_engine(ClusterConfig(**{**cluster, "memory": "800 MB"}), preload=["survey.config"]) as engine:
        client = engine.client()
        client.wait_for_workers(2, timeout=120)
        assert engine.wait(0) == []
        first = {process.pid for process in gateway.workers()}
        assert len(first) == 2
        kill(gateway.workers()[0])
        until(lambda: len({process.pid for process in gateway.workers()} - first) == 1)
        client.wait_for_workers(2, timeout=120)
        for worker in client.scheduler_info(n_workers=-1)["workers"].values():
            assert worker["nthreads"] == 1
            assert worker["memory_limit"] == pytest.approx(800e6, rel=1e-6)
        cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the others do not know the tests
        try:
            for found in client.run(worker_says).values():
                assert found == ("1", False, True)
            assert client.run_on_scheduler(scheduler_says) == (0, 86400)
        finally:
            cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    until(lambda: gateway.processes() == [])


def worker_says():
    import dask

    told = dask.config.get("distributed.worker.memory.spill")
    return os.environ["OMP_NUM_THREADS"], told, "survey.config" in sys.modules


def scheduler_says(dask_scheduler):
    return dask_scheduler.allowed_failures, dask_scheduler.no_workers_timeout


def test_a_run_that_is_stopped_leaves_no_worker_and_is_resumed(settings, cluster, gateway, finished, digest):
    def stop(event):
        if isinstance(event, UnitEnded):
            raise KeyboardInterrupt

    settings["cluster"] = cluster
    with pytest.raises(KeyboardInterrupt):
        survey.run(settings, listeners=[stop])
    assert gateway.processes() == []
    settings["cluster"] = {"kind": "none"}
    run = survey.run(settings, listeners=[])
    assert digest(Path(run.outdir) / "cube.zarr") == digest(finished / "cube.zarr")


def test_a_run_that_is_stopped_while_its_cluster_starts_leaves_none(cluster, gateway):
    engine = open_engine(ClusterConfig(**cluster))
    until(lambda: gateway.processes() != [] or engine._failure is not None)
    engine.close(now=True)
    until(lambda: gateway.processes() == [])
    with pytest.raises(ConfigError, match=r"is already stopped|stopped before the cluster came up|failed to start"):
        engine.client()


def test_a_cluster_ends_when_its_driver_is_killed(settings, cluster, gateway, tmp_path):
    settings["cluster"] = cluster
    (tmp_path / "survey.yaml").write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "survey.cli", "run", str(tmp_path / "survey.yaml")]
    with open(tmp_path / "log", "w") as log:
        driver = subprocess.Popen(command, stdout=log, stderr=log)
    markers = Path(settings["general"]["outdir"]) / ".survey" / "markers"
    until(lambda: driver.poll() is not None or list(markers.rglob("*.json")))
    assert driver.poll() is None, (tmp_path / "log").read_text()
    driver.kill()
    driver.wait()
    assert gateway.processes() != []
    until(lambda: gateway.processes() == [])


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"address": "http://127.0.0.1:9"},
            r"cluster\.address: the gateway at http://127\.0\.0\.1:9 does not answer: ",
        ),
        ({"workers": 4}, r"cluster\.workers: found 4; the gateway says: .*limit of 3 workers"),
        ({"options": {}}, r"the gateway at http://\S* refuses: 401 Unauthorized; see cluster\.options\.auth"),
        ({"options": {"auth": AUTH, "image": "a"}}, r"cluster\.options\.image: .* it has worker_cores, worker_memory$"),
        (
            {"options": {"auth": AUTH, "worker_memory": 0}},
            r"cluster\.options\.worker_memory: the gateway does not take",
        ),
    ],
)
def test_what_a_gateway_refuses_is_told_in_one_line(cluster, gateway, change, line):
    with pytest.raises(ConfigError, match=line), open_engine(ClusterConfig(**{**cluster, **change})) as engine:
        engine.client()
    until(lambda: gateway.processes() == [])


def test_workers_that_are_smaller_than_asked_for_are_told(cluster, gateway):
    options = {"auth": AUTH, "worker_memory": 0.5}
    line = r"cluster\.memory: found 1 GB, but the gateway gave workers of 512\.00 MiB; its options are worker_cores, "
    with open_engine(ClusterConfig(**{**cluster, "workers": 1, "options": options})) as engine:
        engine.client().wait_for_workers(1, timeout=120)
        with pytest.raises(ConfigError, match=line):
            engine.wait(0)
    until(lambda: gateway.processes() == [])
