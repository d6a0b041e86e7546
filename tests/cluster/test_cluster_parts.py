"""The parts by themselves: lock, batches, progress, compile cache, likelihood sums."""

import contextlib
import errno
import io
import json
import math
import os
import socket
import sys
import threading
import time
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster import ClusterError, ConfigError, Outcome, PlanError, Unit, WorkspaceLocked
from cluster.batching import TARGET, Batcher
from cluster.compile_cache import compile_cache
from cluster.config import ClusterConfig
from cluster.engines.base import open_engine
from cluster.evaluate import Evaluator, evaluate
from cluster.events import RunEnded, RunStarted, StageEnded, UnitEnded, WorkerLost
from cluster.lock import STALE_AFTER, Holder, Lock
from cluster.markers import record_path
from cluster.progress import Bars, Lines, duration, open_progress
from cluster.run import execute
from cluster.storage import open_folder


@pytest.fixture
def lock(tmp_path):
    return Lock(open_folder(tmp_path))


def someone(lock, **changes):
    """Leave the lock of another driver."""
    with lock:
        holder = lock.holder()
    holder = replace(holder, token="another", **changes)
    lock.folder.write("lock.json", json.dumps(asdict(holder)).encode())
    return holder


def test_lock_is_released_and_taken_again(lock):
    for _ in range(2):
        with lock, lock:
            assert lock.holder().pid == os.getpid()
            assert lock.holder().host == socket.gethostname()
        assert lock.holder() is None


def test_lock_of_a_dead_process_is_stale(lock):
    someone(lock, pid=2**22 + 1)
    with lock:
        lock.check()


def test_lock_of_a_process_number_used_again_is_stale(lock):
    someone(lock, pid_started=1e9)
    assert lock.holder() is None


def test_lock_of_another_machine_is_stale_when_its_heart_stops(lock, tmp_path):
    holder = someone(lock, host="elsewhere", pid=1)
    with pytest.raises(WorkspaceLocked, match="process 1 on elsewhere since"), lock:
        pass
    assert lock.holder() == holder
    past = time.time() - STALE_AFTER - 5
    os.utime(tmp_path / "lock.json", (past, past))
    assert lock.holder() is None
    with lock:
        assert lock.holder().pid == os.getpid()


def test_a_lock_of_another_machine_is_told_with_its_file_and_rule(lock):
    someone(lock, host="elsewhere", pid=1)
    with (
        pytest.raises(WorkspaceLocked, match=r"remove .*/lock.json, which counts as left behind when .* for 180 s"),
        lock,
    ):
        pass


@pytest.mark.parametrize("renewed", [False, True])
def test_a_lock_in_the_future_is_left_behind_when_nobody_renews_it(lock, tmp_path, monkeypatch, renewed):
    monkeypatch.setattr("cluster.lock.STALE_AFTER", 3.0)
    monkeypatch.setattr("cluster.lock.HEARTBEAT", 1.5)
    someone(lock, host="elsewhere", pid=1)

    def renew():
        future = time.time() + 86400
        os.utime(tmp_path / "lock.json", (future, future))

    renew()
    timer = threading.Timer(1.2, renew)
    if renewed:
        timer.start()
    try:
        with pytest.raises(WorkspaceLocked, match="remove") if renewed else contextlib.nullcontext(), lock:
            assert lock.holder().pid == os.getpid()
    finally:
        timer.cancel()


@pytest.mark.parametrize(
    "wrong",
    [
        *({"since": "zz"}, {"since": 1e300}, {"pid": "a"}, {"pid": -5}, {"pid_started": None}),
        *({"pid_started": float("nan")}, {"host": 5}, {"space": None}, {"token": []}),
    ],
)
def test_a_lock_with_impossible_values_is_nobodys(lock, wrong):
    with lock:
        holder = lock.holder()
    lock.folder.write("lock.json", json.dumps(asdict(holder) | wrong).encode())
    with lock:
        assert lock.holder().pid == os.getpid()


def test_lock_in_another_container_is_not_judged_by_process_numbers(lock):
    someone(lock, space="pid:[1]", pid=2**22 + 1)
    assert isinstance(lock.holder(), Holder)


def test_a_driver_that_lost_its_lock_stops(lock, monkeypatch):
    monkeypatch.setattr("cluster.lock.HEARTBEAT", 0.02)
    with lock:
        lock.check()
        lock.folder.write("lock.json", json.dumps(asdict(replace(lock.holder(), token="another"))).encode())
        time.sleep(0.2)
        with pytest.raises(WorkspaceLocked, match="lost its lock"):
            lock.check()
    assert lock.folder.read("lock.json") is not None  # it is the other's


def test_heartbeat_touches_the_lock(lock, tmp_path, monkeypatch):
    monkeypatch.setattr("cluster.lock.HEARTBEAT", 0.02)
    with lock:
        os.utime(tmp_path / "lock.json", (1e9, 1e9))
        time.sleep(0.2)
        assert os.stat(tmp_path / "lock.json").st_mtime > 2e9 - 1e9 + 1
        lock.check()


def test_record_paths_are_plain_file_names():
    assert record_path("tiles/y003x012") == "tiles/y003x012.json"
    assert record_path("obs/hess:1/2?*") == "obs/hess%3A1%2F2%3F%2A.json"
    assert "/" not in record_path("obs/../../x").removeprefix("obs/")
    assert len({record_path(f"obs/{'a' * 400}{i}") for i in range(3)}) == 3


def test_batches_start_small_and_grow_to_the_target():
    batcher = Batcher(slots=2)
    assert batcher.budget("obs", 1000) == 0
    for _ in range(50):
        batcher.measured("obs", 1.0, 0.1)
    assert batcher.budget("obs", 1000) == pytest.approx(TARGET / 0.1)
    assert batcher.budget("obs", 40) == pytest.approx(10)
    assert batcher.budget("obs", 4) == pytest.approx(2.5)
    assert batcher.budget("tile", 4) == 0
    for _ in range(50):
        batcher.measured("obs", 1.0, 20.0)
    assert batcher.budget("obs", 1000) < 1


def test_units_that_take_no_time_do_not_divide_by_it():
    batcher = Batcher(slots=1)
    batcher.measured("obs", 1.0, 0.0)
    assert batcher.budget("obs", 10.0) > 1


def test_memory_that_no_worker_has_is_refused(tmp_path):
    class Small:
        n_workers = threads = window = 1
        memory_limit = 10**9
        unit_timeout = None

    with pytest.raises(PlanError, match=r"unit a/b is expected to need 2\.00 GB and a worker has 1\.00 GB"):
        execute([Unit("a/b", "k", "m:f", memory=2 * 10**9)], workspace=tmp_path, engine=Small())


def feed(progress, clock):
    progress(RunStarted({"obs": 30, "tile": 1}))
    progress(UnitEnded("obs/0", Outcome("skipped", "k", fresh=False)))
    for i in range(1, 30):
        clock[0] += 2.0
        bad = i == 7
        progress(UnitEnded(f"obs/{i}", Outcome("set_aside" if bad else "done", "k", reason="no GTI" if bad else "")))
    progress(StageEnded("obs"))
    progress(WorkerLost("tile/0", 1))
    progress(RunEnded(False))


def test_progress_elsewhere_is_a_line_now_and_then():
    stream, clock = io.StringIO(), [0.0]
    with Lines(stream, clock=lambda: clock[0]) as progress:
        feed(progress, clock)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "obs: 1/30"
    assert lines[1] == "obs: 4/30, 35 s left"
    assert "obs/7 set aside: no GTI" in lines
    assert lines[-2:] == [
        "obs: all 30 units ended in 56 s, 1 of them before, 1 set aside",
        "a worker died while it ran tile/0; 1 unit goes to another",
    ]
    assert len(lines) < 16


class Broken(io.StringIO):
    """What nobody can write to, as a pipe without a reader or a file on a full disk."""

    def __init__(self, error, *, terminal):
        super().__init__()
        self.error = error
        self.terminal = terminal
        self.tries = 0

    def isatty(self):
        return self.terminal

    def write(self, text):
        self.tries += 1
        raise self.error


@pytest.mark.parametrize("terminal", [False, True], ids=["lines", "bars"])
@pytest.mark.parametrize(
    "error", [BrokenPipeError(errno.EPIPE, "broken"), OSError(errno.ENOSPC, "full"), ValueError("closed")], ids=str
)
def test_a_display_that_cannot_be_written_to_ends_no_run(error, terminal):
    stream = Broken(error, terminal=terminal)
    with open_progress(stream) as progress:
        progress(RunStarted({"a": 2}))
        for index in range(2):
            progress(UnitEnded(f"a/{index}", Outcome("failed", "k", reason="broken")))
        progress(StageEnded("a"))
        progress(RunEnded(True))
    assert stream.tries >= 1


def test_a_process_without_standard_error_shows_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    with open_progress() as progress:
        progress(RunStarted({"a": 1}))
        progress(UnitEnded("a/0", Outcome("failed", "k", reason="broken")))


def test_progress_on_a_terminal_is_bars():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream, clock = Terminal(), [0.0]
    progress = open_progress(stream)
    assert isinstance(progress, Bars)
    progress.clock = lambda: clock[0]
    with progress:
        feed(progress, clock)
    assert "30/30" in stream.getvalue()
    assert "obs/7 set aside: no GTI" in stream.getvalue()
    assert isinstance(open_progress(io.StringIO()), Lines)


@pytest.mark.parametrize(("seconds", "text"), [(7.6, "8 s"), (185, "3 min 05 s"), (7800, "2 h 10 min"), (-1, "0 s")])
def test_durations_in_words(seconds, text):
    assert duration(seconds) == text


def test_compile_cache_is_apart_for_each_machine(tmp_path, monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = compile_cache("program")
    assert folder.startswith(f"{tmp_path}/program/numba/{socket.gethostname()}-")
    assert folder == compile_cache("program")
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/elsewhere")
    assert compile_cache("program") == "/elsewhere"


def test_compile_cache_falls_back_when_home_is_not_writable(tmp_path, monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert compile_cache("program").startswith(f"{tmp_path}/program-")


@given(st.lists(st.floats(-1e6, 1e6), max_size=9), st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=3), st.randoms())
@settings(max_examples=30, deadline=None)
def test_likelihood_sums_do_not_depend_on_the_order_of_shards(shards, vector, random):
    value, gradient = evaluate("cluster_jobs:half_square", shards, vector)
    shuffled = random.sample(shards, len(shards))
    assert evaluate("cluster_jobs:half_square", shuffled, vector)[0] == value
    terms = [[x - shard for shard in shards] for x in np.asarray(vector)]
    assert list(gradient) == [math.fsum(term) for term in terms]


def test_a_likelihood_that_raises_says_so():
    with Evaluator("cluster_jobs:half_square", ["x"]) as likelihood, pytest.raises(ClusterError, match="TypeError"):
        likelihood([1.0])


def test_an_engine_that_needs_a_missing_package_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    for name in ("cluster.engines.local", "cluster.engines.distributed"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(ConfigError, match="'local' needs distributed, which is not installed"):
        open_engine(ClusterConfig())
