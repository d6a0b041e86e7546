"""What a run took: by stage, by worker, unit by unit. Reads outcomes and records, keeps nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from cluster.outcome import Outcome
from cluster.status import last_plan, settled
from cluster.workspace import Workspace


def summarise(outcomes: Mapping[str, Outcome], *, wall: float, slots: int) -> dict[str, Any]:
    """Timings, rates and peak memory of a run, JSON-able.

    Parameters
    ----------
    outcomes : mapping
        Outcomes by slot.
    wall : float
        Seconds that the run took, start-up included.
    slots : int
        Units that could run at the same time.

    Returns
    -------
    dict
        ``stages``: by stage, how many units ended how, seconds of work, seconds from the first start to the last end,
        units a second, peak memory, bytes read and written, and the slowest unit; all but the counts speak of this run's
        units only. ``workers``: peak memory by worker. ``wall_seconds``, ``work_seconds``, and ``busy``, the fraction of
        ``wall x slots`` spent in units.
    """
    stages: dict[str, dict[str, Any]] = {}
    spans: dict[str, tuple[float, float]] = {}
    workers: dict[str, int] = {}
    fresh: Counter[str] = Counter()
    work = 0.0
    for slot, outcome in outcomes.items():
        stage = slot.partition("/")[0]
        row = stages.setdefault(
            stage,
            {
                **dict.fromkeys(("done", "skipped", "set_aside", "failed"), 0),
                "seconds": 0.0,
                **dict.fromkeys(("peak_memory", "bytes_read", "bytes_written"), 0),
                "slowest": None,
            },
        )
        row[outcome.status] += 1
        if not outcome.fresh or outcome.started == 0:
            continue
        work += outcome.seconds
        fresh[stage] += 1
        row["seconds"] += outcome.seconds
        row["peak_memory"] = max(row["peak_memory"], outcome.peak_memory)
        row["bytes_read"] += outcome.read
        row["bytes_written"] += outcome.written
        if row["slowest"] is None or outcome.seconds > row["slowest"][1]:
            row["slowest"] = [slot, outcome.seconds]
        workers[outcome.worker] = max(workers.get(outcome.worker, 0), outcome.peak_memory)
        first, last = spans.get(stage, (outcome.started, 0.0))
        spans[stage] = (min(first, outcome.started), max(last, outcome.started + outcome.seconds))
    for stage, row in stages.items():
        first, last = spans.get(stage, (0.0, 0.0))
        row["wall_seconds"] = last - first
        row["units_per_second"] = fresh[stage] / (last - first) if last > first else None
    return {
        "stages": stages,
        "workers": dict(sorted(workers.items())),
        "peak_memory": max(workers.values(), default=0),
        "wall_seconds": wall,
        "work_seconds": work,
        "busy": work / (wall * slots) if wall > 0 else None,
    }


def timeline(outcomes: Mapping[str, Outcome]) -> Iterator[tuple[str, str, float, float]]:
    """Units that ran in this run, as (worker, slot, started, seconds), by start."""
    ran = [(o.worker, slot, o.started, o.seconds) for slot, o in outcomes.items() if o.fresh and o.started > 0]
    return iter(sorted(ran, key=lambda row: (row[2], row[1])))


def recorded(workspace: Workspace) -> dict[str, Outcome]:
    """Units of the last plan that have ended, by slot: of this run and of all before that still hold."""
    plan = last_plan(workspace)
    if plan is None:
        return {}
    return {slot: o for slot, o in zip(plan.slots, settled(plan, workspace), strict=True) if o is not None}
