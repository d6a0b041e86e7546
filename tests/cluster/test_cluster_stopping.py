"""Signals to a driver: heard, whatever Python is at when they come."""

import gc
import os
import signal

import pytest

from cluster.config import ClusterConfig
from cluster.events import UnitEnded
from cluster.run import execute
from cluster.stopping import Stopped, heed, terminable, uninterrupted
from cluster.workspace import Workspace
from tests.cluster.test_cluster_run import run, unit


@pytest.fixture(autouse=True)
def ctrl_c():
    """As where nobody handles it: tests that run beside each other ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Drops:
    """Python drops what is raised while an object ends."""

    def __init__(self, number):
        self.number = number

    def __del__(self):
        os.kill(os.getpid(), self.number)
        for _ in range(1000):
            pass


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("number", "error"), [(signal.SIGTERM, Stopped), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_that_python_drops_stops_the_run_all_the_same(tmp_path, number, error):
    def listener(event):
        if isinstance(event, UnitEnded) and event.slot == "obs/0":
            Drops(number)

    units = [unit(tmp_path, f"obs/{n}") for n in range(600)]
    with pytest.raises(error):
        run(units, tmp_path, listeners=[listener])
    heed()  # forgotten with the run
    done = len(Workspace(tmp_path / ".work").markers())
    assert 0 < done < 600
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert len(run(units, tmp_path).with_status("skipped")) == done


def test_ctrl_c_waits_for_what_must_not_be_interrupted():
    done = []

    def kill():
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            done.append(1)

    with pytest.raises(KeyboardInterrupt):
        kill()
    assert done


def test_what_others_do_with_ctrl_c_is_left_to_them():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with terminable(), terminable():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_collections_of_a_driver_call_nothing_of_dasks(tmp_path):
    config = ClusterConfig(workers=1, memory="1 GB")
    seen = []
    execute(
        [unit(tmp_path, "obs/0")],
        workspace=tmp_path / ".work",
        config=config,
        listeners=[lambda e: seen.append(list(gc.callbacks))],
    )
    assert not any("GCDiagnosis" in repr(callback) for callbacks in seen[-2:] for callback in callbacks)
