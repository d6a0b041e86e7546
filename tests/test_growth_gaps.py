"""Where the benchmark of growth says that workers' time went."""

import pytest

from benchmarks.growth_case import busy_with, gaps
from cluster.outcome import Outcome
from cluster.plan import Edges, Plan

UNITS = {  # worker, start, end, what it needs
    "obs/a": ("one", 0.0, 2.0, []),
    "obs/b": ("two", 0.5, 3.0, []),
    "obs/c": ("one", 2.25, 2.5, []),
    "tile/x": ("one", 4.0, 6.0, ["obs/a", "obs/b"]),
    "map/x": ("two", 6.5, 7.0, ["tile/x"]),
}


@pytest.fixture
def ran():
    slots = list(UNITS)
    after = Edges([[slots.index(need) for need in needs] for *_, needs in UNITS.values()])
    plan = Plan(slots, [""] * len(slots), after, [1.0] * len(slots))
    outcomes = {
        slot: Outcome("done", "", worker=worker, started=100.0 + start, seconds=end - start)
        for slot, (worker, start, end, _) in UNITS.items()
    }
    return outcomes, plan


def test_a_unit_could_start_from_the_end_of_all_that_it_needs(ran):
    assert busy_with(*ran) == [(100.0, 102.25), (103.0, 104.0), (106.0, 106.5)]


def test_time_between_units_is_told_from_time_in_which_none_could_start(ran):
    outcomes, plan = ran
    found = gaps(outcomes, {"obs/a": 1, "obs/c": 1, "obs/b": 2, "tile/x": 3, "map/x": 4}, plan)
    assert found["records"] == pytest.approx(0.25)
    # "one" could have gone on at 3, and did at 4; "two" from 3 to 4, and from 6
    assert found["hand_over"] == pytest.approx(1.0 + 1.0 + 0.5)
    assert found["waiting"] == pytest.approx(0.5 + 2.0)
    assert found["head"] == pytest.approx(0.5)
    assert found["tail"] == pytest.approx(1.0)
    assert found["records"] + found["hand_over"] + found["waiting"] + found["head"] + found["tail"] == pytest.approx(
        2 * 7.0 - sum(end - start for _, start, end, _ in UNITS.values())
    )
