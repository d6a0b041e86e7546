"""Workers that die: who is blamed, and with what words; on one worker that is played, and on real ones."""

import pytest

from cluster import Unit, unit_key
from cluster.config import ClusterConfig
from cluster.engines.base import Completion
from cluster.engines.inline import Engine
from cluster.errors import WorkersLost
from cluster.run import DEATHS, LOSSES, TOO_LARGE, execute
from cluster.workspace import Workspace


class Mortal(Engine):
    """One worker that has two tasks at a time, the second one waiting, and dies of some units with both."""

    def __init__(self, deadly=(), *, unborn=(), overgrown=0):
        super().__init__(ClusterConfig(kind="none"))
        self.deadly, self.unborn, self.overgrown = set(deadly), set(unborn), overgrown
        self.window = 4
        self.memory_limit = 2 * 10**9
        self.deaths = []
        self.tasks = []

    def submit(self, tag, function, *args, priority=0, worker=None):
        self.tasks.append((-priority, tag, function, args))

    def wait(self, timeout):
        self.tasks.sort(key=lambda task: task[:2])
        (_, tag, function, (url, _, items, _)), *queue = self.tasks
        slots = {item.slot for item in items}
        if not slots & (self.deadly | self.unborn):
            del self.tasks[0]
            return [Completion(tag, function(url, tag, items))]
        if slots & self.deadly:
            # Up to the deadly one the units of a batch are done.
            first = next(place for place, item in enumerate(items) if item.slot in self.deadly)
            function(url, tag, items[:first])
            Workspace(url).begin(tag)
        self.deaths.append(sorted(slots))
        del self.tasks[:2]
        return [
            Completion(one, lost=True, overgrown=len(self.deaths) <= self.overgrown)
            for one in (tag, *(task[1] for task in queue[:1]))
        ]


def units(n):
    return [Unit(f"obs/{i:03d}", unit_key("s", 1, i, {}), "cluster_jobs:nothing") for i in range(n)]


def test_units_that_share_a_batch_with_many_deadly_ones_are_not_blamed(tmp_path):
    deadly = {f"obs/{i:03d}" for i in range(LOSSES, 4 * LOSSES)}
    engine = Mortal(deadly)
    outcomes = execute(units(5 * LOSSES), workspace=tmp_path, engine=engine)
    assert set(outcomes.with_status("failed")) == deadly
    assert max(map(len, engine.deaths)) > 2 * LOSSES
    assert len(engine.deaths) == DEATHS * len(deadly)
    assert len(outcomes.with_status("done")) == 2 * LOSSES


def test_a_unit_that_kills_its_worker_before_it_begins_is_given_up(tmp_path):
    outcomes = execute(units(1), workspace=tmp_path, engine=Mortal(unborn={"obs/000"}))
    assert outcomes["obs/000"].reason == f"worker lost: memory or crash ({LOSSES} workers died with it)"


@pytest.mark.parametrize(
    ("overgrown", "reason"),
    [
        (0, "worker lost: memory or crash (3 workers died with it)"),
        (1, "memory: 3 workers died with it, which took more than their 2.00 GB; raise cluster.memory"),
    ],
)
def test_the_reason_says_whether_it_was_memory(overgrown, reason, tmp_path):
    outcomes = execute(units(5), workspace=tmp_path, engine=Mortal({"obs/002"}, overgrown=overgrown))
    assert {slot: outcome.reason for slot, outcome in outcomes.with_status("failed").items()} == {"obs/002": reason}
    again = execute(units(5), workspace=tmp_path, engine=Mortal({"obs/002"}))
    assert again["obs/002"].reason == reason
    mended = execute(units(5), workspace=tmp_path, engine=Mortal(), retry_failed=True)
    assert mended.tally() == {"obs": {"done": 1, "skipped": 4}}


def test_workers_too_small_for_any_unit_end_the_run(tmp_path):
    every = {unit.slot for unit in units(9)}
    with pytest.raises(WorkersLost, match=r"2 units were tried, none got through: memory: .* more than their 2\.00 GB"):
        execute(units(9), workspace=tmp_path, engine=Mortal(every, overgrown=100))
    assert len(Workspace(tmp_path).failures()) == TOO_LARGE
    # once one got through it is the units that are too large, in a later run too
    outcomes = execute(
        units(9), workspace=tmp_path, engine=Mortal(every - {"obs/000"}, overgrown=100), retry_failed=True
    )
    assert len(outcomes.with_status("failed")) == 8
    again = execute(units(9), workspace=tmp_path, engine=Mortal(every, overgrown=100), retry_failed=True)
    assert len(again.with_status("failed")) == 8


def test_a_unit_that_takes_too_much_memory_is_given_up_alone(tmp_path):
    config = ClusterConfig(workers=2, memory="300 MB", preload=("cluster_jobs",))
    arguments = {"folder": str(tmp_path), "name": "obs/hog", "megabytes": 2000}
    hog = Unit("obs/hog", unit_key("s", 1, "hog", {}), "cluster_jobs:hold", arguments)
    outcomes = execute([*units(20), hog], workspace=tmp_path / ".work", config=config)
    assert list(outcomes.with_status("failed")) == ["obs/hog"]
    assert outcomes["obs/hog"].reason == (
        "memory: 3 workers died with it, which took more than their 0.30 GB; raise cluster.memory"
    )
    assert len(outcomes.with_status("done")) == 20
