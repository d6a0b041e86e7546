"""Planning of a very large survey, watched: ``python -m benchmarks.planned_case CONFIG`` prints its figures as JSON."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import psutil

from cluster import Unit
from cluster.plan import Plan


def figures(config: Mapping[str, Any]) -> tuple[dict[str, Any], list[Unit], Any]:
    """Plan a survey: what each step takes, its units, and the resolved plan."""
    from survey.capacity import output_need, worker_need
    from survey.config import load_config
    from survey.pipeline import units_of
    from survey.survey_plan import make_plan

    steps: dict[str, dict[str, float]] = {}
    process, at = psutil.Process(), time.process_time()

    def step(name: str) -> None:
        nonlocal at
        now = time.process_time()
        steps[name] = {"cpu": now - at, "memory": process.memory_info().rss}
        print(f"{name}: {now - at:.1f} s", file=sys.stderr, flush=True)
        at = now

    step("imports")
    plan = make_plan(load_config(config))
    tiles = plan.tiles
    step("index read, tiles of each observation")
    need = output_need(plan), worker_need(plan)
    step("room and memory asked for")
    units = units_of(plan)
    step("units and their keys")
    graph = Plan.of(units)
    step("graph")
    size = len(graph.to_bytes())
    step("plan as it is kept")
    found = {
        "observations": len(plan.sources),
        "tiles": len(tiles),
        "pairs": sum(len(numbers) for numbers in tiles.values()),
        "most_on_a_tile": max(len(numbers) for numbers in tiles.values()),
        "pixels": plan.grid.nx * plan.grid.ny,
        "units": dict(Counter(unit.stage for unit in units)),
        "dependencies": sum(len(unit.after) for unit in units),
        "plan_bytes": size,
        "output_likely": need[0].likely,
        "worker_likely": need[1].likely,
        "steps": steps,
        "peak_memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    return found, units, plan


def main(arguments: Sequence[str]) -> None:
    """Plan the configuration whose JSON is in the file named."""
    with open(arguments[0]) as file:
        config = json.load(file)
    print(json.dumps(figures(config)[0]))


if __name__ == "__main__":
    main(sys.argv[1:])
