"""Forecasts: the laws that a schedule obeys, whatever its units cost."""

from itertools import pairwise

import pytest

from cluster import Unit
from cluster.forecast import Cost, Overheads, beats, forecast


def still():
    """A clock of the driver that stands still."""
    return 0.0


def layers(n=40, wide=4):
    """Units of two stages; each of the second needs some of the first."""
    first = [Unit(f"first/{i:03d}", "k", "m:f") for i in range(n)]
    second = [
        Unit(f"second/{i:03d}", "k", "m:f", after=tuple(f"first/{j:03d}" for j in range(i, min(i + wide, n))))
        for i in range(0, n, wide)
    ]
    return [*first, *second]


def length(unit):
    """What a unit takes: not all the same."""
    return Cost(1.0 + int(unit.name) % 7 / 3, peak_memory=int(unit.name), read=300, written=len(unit.after))


@pytest.mark.parametrize("workers", [1, 3, 50])
def test_no_unit_starts_before_what_it_needs_and_no_worker_does_two_at_once(workers):
    units = layers()
    found = forecast(units, length, workers=workers, timer=still)
    ends = {slot: one.started + one.seconds for slot, one in found.outcomes.items()}
    for unit in units:
        assert all(found.outcomes[unit.slot].started >= ends[need] - 1e-9 for need in unit.after)
    by_worker = {}
    for slot, one in found.outcomes.items():
        by_worker.setdefault(one.worker, []).append((one.started, ends[slot]))
    assert len(by_worker) <= workers
    for rows in by_worker.values():
        rows.sort()
        assert all(before[1] <= after[0] + 1e-9 for before, after in pairwise(rows))


def test_one_worker_takes_the_sum_and_many_take_the_longest_chain():
    units = layers()
    total = sum(length(unit).seconds for unit in units)
    alone = forecast(units, length, workers=1, timer=still)
    assert alone.wall == pytest.approx(total)
    assert alone.busy == pytest.approx(1.0)
    chain = max(
        length(unit).seconds + max((length(by[need]).seconds for need in unit.after), default=0.0)
        for by in [{unit.slot: unit for unit in units}]
        for unit in units
    )
    crowd = forecast(units, length, workers=len(units), timer=still)
    assert chain <= crowd.wall + 1e-9
    assert crowd.wall < 0.5 * total
    assert crowd.work == pytest.approx(alone.work)


def test_start_records_and_hand_over_add_to_the_wall_time():
    units = layers()
    plain = forecast(units, length, workers=1, timer=still)
    beside = Overheads(start=10.0, worker_task=0.5, worker_unit=0.25)
    found = forecast(units, length, workers=1, overheads=beside, timer=still)
    between = found.wall - plain.wall
    assert between == pytest.approx(10.0 + 0.5 * (found.tasks - 1) + 0.25 * (len(units) - found.tasks))


def test_a_scheduler_that_is_too_slow_sets_the_pace():
    units = [Unit(f"a/{i:04d}", "k", "m:f") for i in range(500)]
    slow = Overheads(scheduler_task=0.1, client_task=0.1)
    found = forecast(units, lambda unit: Cost(5.0), workers=400, overheads=slow, timer=still)
    assert found.tasks == 500
    assert found.wall == pytest.approx(0.2 * 500, rel=0.1)
    assert found.load == pytest.approx(1.0, abs=0.1)


def test_units_that_are_short_share_tasks_as_in_a_run():
    units = [Unit(f"a/{i:04d}", "k", "m:f") for i in range(4000)]
    found = forecast(units, lambda unit: Cost(0.02), workers=4, timer=still)
    assert found.tasks < len(units) / 10
    assert found.message_bytes > found.largest_message > 0
    assert len(found.outcomes) == len(units)


def test_bytes_are_those_of_the_units_wherever_they_fall():
    units = layers()
    found = forecast(units, length, workers=3, timer=still)
    step = found.wall / len(found.traffic)
    read, written = (step * sum(row[k] for row in found.traffic) for k in (1, 2))
    assert read == pytest.approx(300 * len(units))
    assert written == pytest.approx(sum(len(unit.after) for unit in units))
    assert found.peak_memory == 39
    # the first second: three workers, each in a unit that reads 300 bytes evenly over its time
    at_once = [one for one in found.outcomes.values() if one.started == 0.0]
    assert found.traffic[0][1] == pytest.approx(sum(one.read / one.seconds for one in at_once))


def test_what_a_worker_does_after_a_task_keeps_none_of_the_others():
    units = [Unit("a/0", "k", "m:f"), Unit("b/0", "k", "m:f", after=("a/0",))]
    found = forecast(units, lambda unit: Cost(1.0), workers=10, overheads=Overheads(worker_task=3.0), timer=still)
    assert found.outcomes["b/0"].started == pytest.approx(1.0)
    assert found.wall == pytest.approx(2.0)


@pytest.mark.parametrize("apart", [True, False])
def test_load_is_that_of_the_process_that_the_scheduler_is_in(apart):
    units = [Unit(f"a/{i:04d}", "k", "m:f") for i in range(500)]
    beside = Overheads(scheduler_task=0.1, client_task=0.05, one_process=not apart)
    found = forecast(units, lambda unit: Cost(5.0), workers=400, overheads=beside, timer=still)
    assert found.scheduler == pytest.approx(50.0)
    assert found.client == pytest.approx(25.0)
    assert found.load == pytest.approx(1.0, abs=0.1)


def test_heartbeats_take_no_more_of_the_scheduler_the_more_workers_there_are():
    from distributed.scheduler import heartbeat_interval

    for workers in (1, 9, 10, 49, 50, 199, 200, 1000, 50_000):
        assert beats(workers) == pytest.approx(workers / heartbeat_interval(workers))
    assert beats(10**6) < 200
    units = [Unit(f"a/{i:04d}", "k", "m:f") for i in range(500)]
    with pytest.raises(ValueError, match=r"take 1\.67 of a processor"):
        forecast(units, lambda unit: Cost(1.0), workers=1000, overheads=Overheads(scheduler_beat=0.01), timer=still)
