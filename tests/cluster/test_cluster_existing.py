"""A scheduler that runs already; encryption; who listens where."""

import gc
import json
import logging
import threading
import time

import cluster_jobs
import psutil
import pytest
from distributed import LocalCluster
from distributed.security import Security
from test_cluster_local import contents, plan

from cluster import ConfigError
from cluster.config import ClusterConfig
from cluster.engines.base import check_engine, open_engine
from cluster.engines.security import security
from cluster.events import UnitEnded
from cluster.run import execute


def cluster(**more):
    given = {"n_workers": 2, "threads_per_worker": 1, "memory_limit": "1 GB", "dashboard_address": None}
    quiet = {"silence_logs": logging.CRITICAL, "scheduler_kwargs": {"dashboard_address": "127.0.0.1:0"}}
    return LocalCluster(**given, **quiet, **more)


def test_a_scheduler_that_runs_already_is_used_and_left_running(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
    execute(plan(tmp_path / "a", 20), workspace=tmp_path / "wa", config=ClusterConfig(kind="none"))
    with cluster() as running:
        config = ClusterConfig(kind="existing", address=running.scheduler_address, preload=("cluster_jobs",))
        with open_engine(config) as engine:
            assert (engine.n_workers, engine.threads, engine.memory_limit) == (2, 1, 10**9)
            outcomes = execute(plan(tmp_path / "b", 20), workspace=tmp_path / "wb", engine=engine)
        assert outcomes.tally() == {"obs": {"done": 20}, "tile": {"done": 4}}
        assert len(running.scheduler.workers) == 2
        path = tmp_path / "scheduler.json"
        path.write_text(json.dumps({"address": running.scheduler_address}))
        config = ClusterConfig(kind="existing", scheduler_file=str(path))
        again = execute(plan(tmp_path / "b", 25), workspace=tmp_path / "wb", config=config)
        assert len(again.with_status("skipped")) == 24
    assert {name: contents(tmp_path / "b")[name] for name in contents(tmp_path / "a")} == contents(tmp_path / "a")


def test_what_was_begun_elsewhere_has_ended_before_a_stopped_run_returns(tmp_path):
    def stop(event):
        if isinstance(event, UnitEnded):
            raise KeyboardInterrupt

    (tmp_path / "pace").write_text("0.1")
    with cluster() as running:
        config = ClusterConfig(kind="existing", address=running.scheduler_address)
        pids = {worker.pid for worker in running.workers.values()}
        with pytest.raises(KeyboardInterrupt):
            execute(plan(tmp_path, 40), workspace=tmp_path / ".work", config=config, listeners=[stop])
        cluster_jobs.calls(tmp_path)
        assert not any(worker.processing for worker in running.scheduler.workers.values())
        threading.Event().wait(0.5)
        assert cluster_jobs.calls(tmp_path) == []
        assert {worker.pid for worker in running.workers.values()} == pids
        (tmp_path / "pace").unlink()
        outcomes = execute(plan(tmp_path, 40), workspace=tmp_path / ".work", config=config)
    assert all(outcome.is_done for outcome in outcomes.values())


def test_without_a_scheduler_the_run_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("cluster.engines.existing.CONNECT", 1)
    with pytest.raises(ConfigError, match=r"no scheduler answers at tcp://127\.0\.0\.1:9: "):
        execute(
            plan(tmp_path, 5),
            workspace=tmp_path / ".work",
            config=ClusterConfig(kind="existing", address="tcp://127.0.0.1:9"),
        )


@pytest.mark.parametrize("kind", ["local", "existing"])
def test_options_that_dask_does_not_know_are_named(kind):
    more = {"address": "tcp://127.0.0.1:9"} if kind == "existing" else {"workers": 1}
    config = ClusterConfig(kind=kind, options={"colour": "blue"}, **more)
    with pytest.raises(ConfigError, match="colour"), open_engine(config) as engine:
        engine.await_start()


def test_files_of_certificates_have_to_be_there(tmp_path):
    files = {name: str(tmp_path / name) for name in ("tls_ca", "tls_cert", "tls_key")}
    (tmp_path / "tls_ca").touch()
    with pytest.raises(ConfigError, match=r"cluster\.tls_cert: there is no file .*tls_cert"):
        security(ClusterConfig(kind="local", tls=True, **files))


def test_a_scheduler_file_that_nobody_writes_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("cluster.engines.existing.CONNECT", 0.5)
    path = tmp_path / "scheduler.json"
    with pytest.raises(ConfigError, match=r"cluster\.scheduler_file: found no .*scheduler\.json in 0\.5 s"):
        execute(
            plan(tmp_path, 5),
            workspace=tmp_path / ".w",
            config=ClusterConfig(kind="existing", scheduler_file=str(path)),
        )


def test_an_encrypted_scheduler_takes_its_own_certificates_only(tmp_path, monkeypatch):
    pytest.importorskip("cryptography")
    monkeypatch.setattr("cluster.engines.existing.CONNECT", 3)

    def files(credentials, name):
        paths = {}
        for field, key in (("ca", "ca_file"), ("cert", "cert"), ("key", "key")):
            path = tmp_path / f"{name}-{field}.pem"
            path.write_text(credentials.get_tls_config_for_role("client")[key])
            paths[f"tls_{field}"] = str(path)
        return {"tls": True, **paths}

    ours = Security.temporary()
    with cluster(security=ours, protocol="tls://") as running:
        address = running.scheduler_address
        assert address.startswith("tls://")
        config = ClusterConfig(kind="existing", address=address, **files(ours, "ours"))
        outcomes = execute(plan(tmp_path, 10), workspace=tmp_path / ".work", config=config)
        assert outcomes.tally() == {"obs": {"done": 10}, "tile": {"done": 2}}
        foreign = ClusterConfig(kind="existing", address=address, **files(Security.temporary(), "foreign"))
        begun = time.monotonic()
        with pytest.raises(ConfigError, match="no scheduler answers at tls://"):
            execute(plan(tmp_path, 15), workspace=tmp_path / ".work", config=foreign)
        gc.collect()  # a client that is not closed would wait for a minute
        assert time.monotonic() - begun < 30
        (tmp_path / "scheduler.json").write_text(json.dumps({"address": address}))
        for field, value in (("address", address), ("scheduler_file", str(tmp_path / "scheduler.json"))):
            with pytest.raises(
                ConfigError, match=rf"cluster\.{field}: the scheduler at tls://.* is encrypted; say cluster.tls"
            ):
                execute(
                    plan(tmp_path, 15),
                    workspace=tmp_path / ".work",
                    config=ClusterConfig(kind="existing", **{field: value}),
                )


@pytest.mark.parametrize(
    ("section", "line"),
    [
        (
            {"options": {"timeout": 5, "security": 1, "colour": 1}},
            "cluster.options.colour: Client does not take it; .*\ncluster.options.security: .*\n"
            "cluster.options.timeout: is set by the run",
        ),
        (
            {"tls": True, "tls_ca": "a", "tls_cert": "a", "tls_key": "a"},
            "cluster.tls: found true, but the scheduler at tcp:",
        ),
    ],
)
def test_what_cannot_go_together_is_refused_before_anything_is_tried(section, line):
    with pytest.raises(ConfigError, match=line):
        check_engine(ClusterConfig(kind="existing", address="tcp://127.0.0.1:9", **section))


def test_files_that_are_no_certificates_are_named(tmp_path):
    (tmp_path / "a").write_text("none")
    files = {name: str(tmp_path / "a") for name in ("tls_ca", "tls_cert", "tls_key")}
    with pytest.raises(ConfigError, match=r"cluster\.tls_ca: .*/a is no PEM file, expected one with a line"):
        security(ClusterConfig(kind="local", tls=True, **files))


def test_the_dashboard_is_on_the_loopback_and_its_address_is_told(caplog):
    with caplog.at_level("INFO"), open_engine(ClusterConfig(workers=1, memory="1 GB", dashboard=True)) as engine:
        engine.client()
    assert "Dask's dashboard is at http://127.0.0.1:" in caplog.text


@pytest.mark.parametrize("tls", [False, True])
def test_local_workers_listen_on_the_loopback_only(tmp_path, tls):
    if tls:
        pytest.importorskip("cryptography")
    this = psutil.Process()
    before = {one.laddr for one in this.net_connections("inet")}
    with open_engine(ClusterConfig(workers=1, memory="1 GB", tls=tls)) as engine:
        outcomes = execute(plan(tmp_path, 5), workspace=tmp_path / ".work", engine=engine)
        processes = [this, *this.children(recursive=True)]
        found = [one for process in processes for one in process.net_connections("inet") if one.status == "LISTEN"]
        assert engine._cluster.scheduler_address.startswith("tls://" if tls else "tcp://")
    listening = {one.laddr.ip for one in found if one.laddr not in before}
    assert outcomes.tally() == {"obs": {"done": 5}, "tile": {"done": 1}}
    assert listening == {"127.0.0.1"}


def test_certificates_that_cannot_be_read_or_do_not_belong_together_are_named(tmp_path):
    pytest.importorskip("cryptography")
    ours, foreign = (Security.temporary().get_tls_config_for_role("client") for _ in range(2))
    texts = {"tls_ca": ours["ca_file"], "tls_cert": ours["cert"], "tls_key": ours["key"]}
    files = {name: tmp_path / name for name in texts}
    config = ClusterConfig(kind="local", tls=True, **{name: str(path) for name, path in files.items()})
    pair = r"^cluster\.tls_cert, cluster\.tls_key: .*/tls_cert and .*/tls_key are no certificate and its key [^\n]*$"
    broken = "-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----\n"
    for changed, line in (
        ({"tls_ca": broken}, r"^cluster\.tls_ca: .*/tls_ca holds no certificate that can be read [^\n]*$"),
        ({"tls_cert": broken}, pair),
        ({"tls_key": foreign["key"]}, pair),
    ):
        for name, text in {**texts, **changed}.items():
            files[name].write_text(text)
        with pytest.raises(ConfigError, match=line):
            security(config)
    for name, text in texts.items():
        files[name].write_text(text)
    assert security(config) is not None
