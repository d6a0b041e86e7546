"""Running plans on worker processes: kills of workers and of the driver, interruption, poison."""

import asyncio
import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path

import cluster_jobs
import dask
import psutil
import pytest
from dask.utils import parse_timedelta
from distributed import LocalCluster

from cluster import ConfigError, DiskFull, Unit, unit_key
from cluster.config import ClusterConfig
from cluster.engines import local
from cluster.engines.base import open_engine
from cluster.engines.distributed import RECENT_MESSAGES
from cluster.evaluate import Evaluator, evaluate
from cluster.events import UnitEnded, WorkerLost
from cluster.run import execute
from cluster.status import status

LOCAL = ClusterConfig(workers=2, memory="1 GB", preload=("cluster_jobs", "no_such_module"))


@pytest.fixture(scope="module")
def engine():
    with open_engine(LOCAL) as opened:
        yield opened


def unit(folder, slot, text="", after=(), function="write", **more):
    arguments = {"folder": str(folder), "name": slot, **({"text": text} if function == "write" else {}), **more}
    return Unit(slot, unit_key("s", 1, text, arguments), f"cluster_jobs:{function}", arguments, tuple(after))


def plan(folder, n, seconds=0.0):
    units = [unit(folder, f"obs/{i:03d}", str(i), seconds=seconds) for i in range(n)]
    for i in range(n // 5):
        units.append(unit(folder, f"tile/{i}", after=[f"obs/{j:03d}" for j in range(5 * i, 5 * i + 5)]))
    return units


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.name[:4] in ("obs_", "tile")}


def test_workers_and_batches_change_no_byte(tmp_path, engine):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    execute(plan(tmp_path / "a", 30), workspace=tmp_path / "wa", config=ClusterConfig(kind="none"))
    outcomes = execute(reversed(plan(tmp_path / "b", 30)), workspace=tmp_path / "wb", engine=engine)
    assert outcomes.tally() == {"obs": {"done": 30}, "tile": {"done": 6}}
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert len({outcome.worker for outcome in outcomes.values()}) == 2
    assert all(outcome.peak_memory > 10**7 for outcome in outcomes.values())
    if sys.platform == "linux":
        written = contents(tmp_path / "b")
        for slot, outcome in outcomes.items():
            assert len(written[slot.replace("/", "_")]) <= outcome.written < 10_000
        # a tile reads the files of its five observations
        assert all(outcome.read > 5 * 3 for _, outcome in outcomes.of_stage("tile"))


def test_what_was_sent_to_workers_is_not_kept(engine):
    """Scheduler and client are in this process: they must not hold the arguments of all units so far."""
    sent, size = 60, 50_000
    engine.client()
    tracemalloc.start()
    try:
        for number in range(sent):
            engine.submit(f"memory-{number}", len, os.urandom(size))
        ended = []
        while len(ended) < sent:
            ended += engine.wait(1.0)
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [completion.value for completion in ended] == [size] * sent
    # the last messages to the scheduler and to each of two workers, and what is imported with the first task
    assert kept < 3 * RECENT_MESSAGES * size + 1_000_000


def test_a_poisonous_unit_is_set_aside_and_its_batch_survives(tmp_path, engine):
    units = plan(tmp_path, 40)
    units += [unit(tmp_path, "obs/bad", function="fail", how="kill")]
    units += [unit(tmp_path, "obs/once", function="fail", how="kill once")]
    units += [unit(tmp_path, "tile/bad", after=["obs/bad", "obs/000"])]
    events = []
    outcomes = execute(units, workspace=tmp_path / ".work", engine=engine, listeners=[events.append])
    failed = outcomes.with_status("failed")
    assert list(failed) == ["obs/bad"]
    assert failed["obs/bad"].reason == "worker lost: memory or crash (3 workers died with it)"
    assert outcomes["tile/bad"].result["parts"] == 2
    assert {event.slot for event in events if isinstance(event, WorkerLost)} - {""} == {"obs/bad", "obs/once"}
    ran = cluster_jobs.calls(tmp_path)
    assert ran.count("obs/bad") == 3
    assert ran.count("obs/once") == 2
    assert len(ran) == len(units) + 3
    assert list((tmp_path / ".work" / "running").iterdir()) == []
    again = execute(units, workspace=tmp_path / ".work", engine=engine)
    assert cluster_jobs.calls(tmp_path) == []
    assert again["obs/bad"].status == "failed"


def test_a_unit_that_hangs_is_given_up_and_others_go_on(tmp_path):
    units = plan(tmp_path, 10)
    units += [unit(tmp_path, "obs/stuck", seconds=3600.0)]
    units += [unit(tmp_path, "tile/stuck", after=["obs/stuck", "obs/000"])]
    with open_engine(ClusterConfig(workers=2, memory="1 GB", unit_timeout=4)) as engine:
        outcomes = execute(units, workspace=tmp_path / ".work", engine=engine)
    assert list(outcomes.with_status("failed")) == ["obs/stuck"]
    assert outcomes["obs/stuck"].reason == "time: 3 times it took more than 4 s, cluster.unit_timeout"
    assert outcomes["tile/stuck"].result["parts"] == 2
    assert cluster_jobs.calls(tmp_path).count("obs/stuck") == 3
    assert list((tmp_path / ".work" / "running").iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="the mask of signals is read from /proc")
def test_an_interrupt_of_the_terminal_does_not_reach_workers():
    program = """if True:
        from cluster.config import ClusterConfig
        from cluster.engines.base import open_engine
        with open_engine(ClusterConfig(workers=2, memory="1 GB")) as engine:
            engine.client().wait_for_workers(2, timeout=60)
            for nanny in engine._cluster.workers.values():
                print(open(f"/proc/{nanny.pid}/status").read())
    """
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    masks = [int(line.split()[1], 16) for line in told.splitlines() if line.startswith("SigBlk:")]
    assert len(masks) == 2
    assert all(mask >> (signal.SIGINT - 1) & 1 for mask in masks)


def test_a_worker_that_is_away_for_long_is_not_struck_off(tmp_path):
    """Dask closes the nanny of a worker that is away fifteen seconds after it was lost, also if it was back between."""
    before = dask.config.get("distributed.deploy.lost-worker-timeout")
    with open_engine(ClusterConfig(workers=1, memory="1 GB")) as engine:
        engine.client().wait_for_workers(1, timeout=60)
        assert parse_timedelta(dask.config.get("distributed.deploy.lost-worker-timeout")) > 86400
        (nanny,) = engine._cluster.workers.values()
        os.kill(nanny.pid, signal.SIGKILL)
        outcomes = execute(plan(tmp_path, 5), workspace=tmp_path / ".work", engine=engine)
        assert all(outcome.is_done for outcome in outcomes.values())
        assert list(engine._cluster.workers.values()) == [nanny]
    assert dask.config.get("distributed.deploy.lost-worker-timeout") == before


def test_a_worker_killed_from_outside_costs_nothing_but_time(tmp_path, engine):
    def kill(event):
        late = len(killed) < 2 and isinstance(event, UnitEnded) and event.slot > f"obs/{10 * len(killed):03d}"
        if late and psutil.pid_exists(pid := int(event.outcome.worker.rpartition(":")[2])):
            killed.append(pid)
            os.kill(pid, signal.SIGKILL)

    killed = []
    outcomes = execute(plan(tmp_path, 40, 0.02), workspace=tmp_path / ".work", engine=engine, listeners=[kill])
    assert len(killed) == 2
    assert outcomes.tally() == {"obs": {"done": 40}, "tile": {"done": 8}}


def test_a_batch_whose_results_went_with_its_worker_is_looked_up_in_the_records(tmp_path, engine):
    class Lost:
        status = "lost"

    engine._futures["batch"] = future = Lost()
    engine._done("batch", future)
    (completion,) = engine.wait(5)
    assert completion.lost
    assert engine._futures == {}


def test_a_full_disk_stops_workers_and_a_rerun_completes(tmp_path, engine):
    units = [*plan(tmp_path, 20), unit(tmp_path, "obs/full", function="fail", how="full")]
    with pytest.raises(DiskFull, match=r"no space left to write .*/shard; make room and run again"):
        execute(units, workspace=tmp_path / ".work", engine=engine)
    (tmp_path / "ok").touch()
    outcomes = execute(units, workspace=tmp_path / ".work", engine=engine)
    assert all(outcome.is_done for outcome in outcomes.values())


def test_work_of_a_run_that_was_stopped_does_not_go_on_under_the_next(tmp_path, engine):
    def stop(event):
        if isinstance(event, UnitEnded):
            raise KeyboardInterrupt

    (tmp_path / "pace").write_text("0.2")
    with pytest.raises(KeyboardInterrupt):
        execute(plan(tmp_path, 40), workspace=tmp_path / ".work", engine=engine, listeners=[stop])
    (tmp_path / "pace").unlink()
    others = [unit(tmp_path, f"obs/{i:03d}", f"other {i}") for i in range(40)]
    outcomes = execute(others, workspace=tmp_path / ".work", engine=engine)
    assert outcomes.tally() == {"obs": {"done": 40}}
    time.sleep(0.5)
    assert all((tmp_path / f"obs_{i:03d}").read_text() == f"(other {i})" for i in range(40))
    logs = sorted((tmp_path / ".work" / "logs").iterdir())
    assert [log.read_text().split()[-1] for log in logs] == ["end", "ended"]


def test_likelihood_is_summed_exactly_on_workers(engine):
    shards = [0.1 * i for i in range(7)]
    with Evaluator("cluster_jobs:half_square", shards, engine=engine) as likelihood:
        value, gradient = likelihood([0.3, 1e-9])
    assert (value, list(gradient)) == _sum(shards, [0.3, 1e-9])
    assert likelihood.count == 1


def _sum(shards, vector):
    value, gradient = evaluate("cluster_jobs:half_square", shards, vector)
    return value, list(gradient)


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from test_cluster_local import plan
from cluster.config import ClusterConfig
from cluster.run import execute

execute(plan({folder!r}, 40), workspace={work!r}, config=ClusterConfig(workers=2, memory="1 GB"))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_driver_that_is_killed_leaves_no_process_and_a_state_to_resume(tmp_path, number):
    work = str(tmp_path / ".work")
    # No main guard in the script: workers do not import it.
    script = tmp_path / "script.py"
    pace = tmp_path / "pace"
    pace.write_text("0.2")
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent), folder=str(tmp_path), work=work))
    driver = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.PIPE, text=True, start_new_session=True)
    markers = Path(work) / "markers" / "obs"
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (markers.exists() and len(list(markers.glob("*.json"))) > 5):
            assert driver.poll() is None
            time.sleep(0.05)
        workers = psutil.Process(driver.pid).children(recursive=True)
        assert len(workers) >= 2
        assert status(work).running.pid == driver.pid
        if number == signal.SIGINT:
            os.killpg(driver.pid, number)  # a terminal sends it to the workers too
        else:
            driver.send_signal(number)
        driver.wait(60)
        _, alive = psutil.wait_procs(workers, timeout=60)
        assert alive == []
    finally:
        driver.kill()
        text = driver.communicate()[1]
    if number == signal.SIGTERM:
        assert "Stopped" in text.splitlines()[-1]
    assert text.count("Traceback") <= (number != signal.SIGKILL)
    found = status(work)
    assert found.running is None
    assert found.stages["obs"].left > 0
    done = found.stages["obs"].done + found.stages["tile"].done
    cluster_jobs.calls(tmp_path)
    pace.unlink()
    outcomes = execute(plan(tmp_path, 40), workspace=work, config=ClusterConfig(kind="none"))
    assert len(outcomes.with_status("skipped")) == done
    assert len(cluster_jobs.calls(tmp_path)) == 48 - done
    (tmp_path / "calm").mkdir()
    execute(plan(tmp_path / "calm", 40), workspace=tmp_path / "w", config=ClusterConfig(kind="none"))
    assert contents(tmp_path) == contents(tmp_path / "calm")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_dies_or_hangs_while_it_starts_is_started_again(tmp_path, monkeypatch, number):
    if number == signal.SIGSTOP:
        monkeypatch.setattr(local, "STARTED_IN", 15.0)
    this = psutil.Process()
    before = {child.pid for child in this.children(recursive=True)}
    killed = []

    def kill():
        limit = time.monotonic() + 60
        while not killed and time.monotonic() < limit:
            for child in this.children(recursive=True):
                if child.pid not in before and any("spawn_main" in word for word in child.cmdline()):
                    child.send_signal(number)
                    killed.append(child.pid)
                    return
            time.sleep(0.002)

    killer = threading.Thread(target=kill)
    killer.start()
    config = ClusterConfig(workers=1, memory="1 GB")
    outcomes = execute(plan(tmp_path, 5), workspace=tmp_path / ".work", config=config)
    killer.join()
    assert len(killed) == 1
    assert outcomes.tally() == {"obs": {"done": 5}, "tile": {"done": 1}}


def test_a_worker_that_hangs_while_its_nanny_starts_it_again_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "STARTED_IN", 10.0)
    this, stopped = psutil.Process(), []

    def stop_the_next():
        limit = time.monotonic() + 60
        while not stopped and time.monotonic() < limit:
            for child in this.children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if child.pid not in known and any("spawn_main" in word for word in child.cmdline()):
                        child.suspend()
                        stopped.append(child.pid)
            time.sleep(0.002)

    def kill(event):
        if isinstance(event, UnitEnded) and not killers:
            (nanny,) = engine._cluster.workers.values()
            known.update(child.pid for child in this.children())
            killers.append(threading.Thread(target=stop_the_next))
            killers[0].start()
            os.kill(nanny.pid, signal.SIGKILL)

    known, killers = set(), []
    with open_engine(ClusterConfig(workers=1, memory="1 GB", worker_timeout=150)) as engine:
        outcomes = execute(plan(tmp_path, 10, 0.1), workspace=tmp_path / ".w", engine=engine, listeners=[kill])
    killers[0].join()
    assert len(stopped) == 1
    assert all(outcome.is_done for outcome in outcomes.values())


def test_a_nanny_that_gives_up_is_replaced(tmp_path):
    def give_up(event):
        if isinstance(event, UnitEnded) and not gone:
            (nanny,) = opened._cluster.workers.values()
            gone.append(nanny)
            asyncio.run_coroutine_threadsafe(nanny.close(), opened._cluster.loop.asyncio_loop)

    gone = []
    with open_engine(ClusterConfig(workers=1, memory="1 GB", worker_timeout=150)) as opened:
        outcomes = execute(plan(tmp_path, 40, 0.05), workspace=tmp_path / ".w", engine=opened, listeners=[give_up])
        assert set(opened._cluster.workers.values()).isdisjoint(gone)
    assert outcomes.tally() == {"obs": {"done": 40}, "tile": {"done": 8}}


def test_a_cluster_that_stumbles_at_its_end_does_not_hide_how_the_run_ended(tmp_path, monkeypatch):
    def stumble(self, *given, **named):
        close(self, *given, **named)
        raise AssertionError("Status.init")

    def stop(event):
        if isinstance(event, UnitEnded):
            raise KeyboardInterrupt

    close = LocalCluster.close
    monkeypatch.setattr(LocalCluster, "close", stumble)
    config = ClusterConfig(workers=1, memory="1 GB")
    with pytest.raises(KeyboardInterrupt):
        execute(plan(tmp_path, 10), workspace=tmp_path / ".work", config=config, listeners=[stop])
    outcomes = execute(plan(tmp_path, 10), workspace=tmp_path / ".work", config=config)
    assert all(outcome.is_done for outcome in outcomes.values())


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ({"interface": "ib7"}, r"cluster\.interface: found 'ib7', expected one of this machine's, .*\blo\b"),
        (
            {"scratch": "/proc/none"},
            r"cluster\.scratch: cannot make /proc/none \(No such file or directory\); name another",
        ),
        (
            {"dashboard": "none.invalid:80"},
            r"cluster\.dashboard: found 'none\.invalid:80', where nothing can listen \(",
        ),
        (
            {"dashboard": "127.0.0.1:99999"},
            r"cluster\.dashboard: found '127\.0\.0\.1:99999', where nothing can listen \(",
        ),
        (
            {"options": {"memory_limit": "1 GB", "colour": 1, "n_workers": 3}},
            r"cluster\.options\.memory_limit: write cluster\.memory, from which other things follow\n"
            r"cluster\.options\.colour: LocalCluster does not take it; take it out\n"
            r"cluster\.options\.n_workers: write cluster\.workers",
        ),
        (
            {"options": {"host": "0.0.0.0", "workers": 3, "preload": "json", "asynchronous": True, "scheduler": {}}},
            r"cluster\.options\.host: write cluster\.interface, .*\ncluster\.options\.workers: write cluster\.workers, .*\n"
            r"cluster\.options\.preload: write cluster\.preload, .*\ncluster\.options\.asynchronous: LocalCluster does not "
            r"take it.*\ncluster\.options\.scheduler: LocalCluster does not take it",
        ),
    ],
)
def test_a_cluster_that_cannot_start_says_so(tmp_path, section, line):
    config = ClusterConfig(workers=1, **section)
    with pytest.raises(ConfigError, match=f"^{line}"):
        execute(plan(tmp_path, 5), workspace=tmp_path / ".work", config=config)
    assert status(str(tmp_path / ".work")).running is None


def test_what_dask_says_of_a_cluster_that_cannot_start_is_told(tmp_path, monkeypatch):
    def refuse(**options):
        raise ValueError("no ports\nare left")

    monkeypatch.setattr("cluster.engines.local.LocalCluster", refuse)
    with pytest.raises(ConfigError, match=r"the cluster \(local\) did not start: no ports are left"):
        execute(plan(tmp_path, 5), workspace=tmp_path / ".work", config=ClusterConfig(workers=1))
