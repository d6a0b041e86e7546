"""Status of a run: rates and time left from the records, shown once or until the run ends."""

import io

import pytest

from cluster import Outcome, PlanError, Unit
from cluster.lock import Holder
from cluster.plan import Plan, Settlement
from cluster.status import RunStatus, StageStatus, status
from cluster.watch import table, watch
from cluster.workspace import Workspace

DRIVER = Holder("node7", "pid:[1]", 42, 900.0, 1000.0, "token")


@pytest.fixture
def half_done(tmp_path):
    """A workspace of eight observations, four of them done within ten seconds by two workers, and two tiles."""
    units = [Unit(f"obs/{n}", "k", "m:f", cost=1.0 + (n > 5)) for n in range(8)]
    units += [Unit(f"tile/{n}", "k", "m:f", after=tuple(f"obs/{m}" for m in range(8))) for n in range(2)]
    plan = Plan.of(units)
    workspace = Workspace(tmp_path)
    workspace.save_plan(plan.to_bytes())
    settlement = Settlement(plan, lambda slot, key: None)
    for index, key in settlement.start()[1]:
        if index < 4:
            bad = {"status": "set_aside", "reason": "no GTI"} if index == 3 else {"status": "done"}
            worker = f"node7:{50 + index % 2}"
            found = Outcome(key=key, seconds=5.0, started=1010.0 + 5 * (index // 2), worker=worker, **bad)
            workspace.record(plan.slots[index], found)
    return workspace


def test_rates_and_the_end_follow_from_the_records(half_done, monkeypatch):
    monkeypatch.setattr(type(half_done.lock), "holder", lambda lock: DRIVER)
    found = status(half_done, now=1020.0)
    row = found.stages["obs"]
    assert (row.planned, row.done, row.left, row.set_aside, row.failed) == (8, 3, 4, 1, 0)
    assert row.rate == pytest.approx(0.4)
    assert row.work_left == pytest.approx(5.0 * 6)
    assert found.parallel == pytest.approx(2.0)
    assert found.seconds_left == pytest.approx(15.0)
    assert found.unknown == ["tile"]
    lines = table(found, now=1020.0)
    assert lines[1].split() == ["obs", "8", "3", "4", "1", "0", "20.0", "0.4"]
    assert lines[3:] == [
        "obs/3: no GTI",
        "running: process 42 on node7 since 1970-01-01 00:16:40 UTC",
        "about 15 s left, and the time of tile; ends not before 1970-01-01 00:17 UTC",
    ]


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"[1,[", b"{}", b"[1, 2]", b"[1,3,4,5,6]", b"[" * 10**5, b"[]"),
        *(b'[1,[2],["k"],[[]],[1]]', b'[1,["a/b"],[2],[[]],[1]]', b'[1,["a/b"],["k"],[[1]],[1]]'),
        *(b'[1,["a/b"],["k"],[[-1]],[1]]', b'[1,["a/b"],["k"],[[]],[]]', b"[1,{},{},{},{}]"),
    ],
)
def test_a_damaged_plan_is_told_with_its_place(half_done, text):
    half_done.save_plan(text)
    with pytest.raises(PlanError, match=r"/plan.json is damaged .*; `survey run` writes it anew"):
        status(half_done)


def test_without_a_driver_there_is_no_end(half_done):
    found = status(half_done, now=1020.0)
    assert found.parallel is None
    assert found.seconds_left is None
    assert table(found)[-1] == "not running; `survey run` goes on from here"


def looks(*lefts, running=DRIVER):
    """What one sees, look after look; at the last one the driver is gone."""
    for place, left in enumerate(lefts):
        stage = StageStatus(planned=9, done=9 - left, left=left, set_aside=0, failed=0, seconds=1.0)
        yield RunStatus({"obs": stage}, running if place < len(lefts) - 1 else None, {})


@pytest.mark.parametrize(("last", "word"), [(0, "complete"), (3, "not running")])
def test_watching_elsewhere_is_a_line_for_what_moves_and_ends_with_the_run(last, word):
    seen, stream, slept = looks(9, 5, 5, last), io.StringIO(), []
    watch(lambda: next(seen), stream, every=7.0, sleep=slept.append)
    lines = stream.getvalue().splitlines()
    assert [line for line in lines if line.startswith("obs:")] == ["obs: 4/9"]
    assert lines[-1].startswith(word)
    assert slept == [7.0, 7.0, 7.0]
    assert next(seen, None) is None


def test_watching_on_a_terminal_renews_the_table():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    seen, stream = looks(9, 5, 0), Terminal()
    watch(lambda: next(seen), stream, sleep=lambda seconds: None)
    assert "complete" in stream.getvalue()
    assert stream.getvalue().count("units/s") >= 2


def test_what_is_not_running_is_shown_once():
    stream = io.StringIO()
    watch(lambda: next(looks(4)), stream, sleep=lambda seconds: pytest.fail("waits for nothing"))
    assert stream.getvalue().count("units/s") == 1


def test_a_run_that_ended_with_units_that_failed_is_not_called_complete():
    stages = {"obs": StageStatus(planned=3, done=1, left=0, set_aside=0, failed=2, seconds=1.0)}
    assert table(RunStatus(stages, None, {}))[-1] == "ended; 2 units failed, `survey run --retry-failed` tries again"
