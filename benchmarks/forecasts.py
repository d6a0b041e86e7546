"""Forecasts beside runs, and of 10^5 observations: ``python -m benchmarks.forecasts --folder FOLDER``.

Units are those of the run planner; what they cost was measured by `benchmarks.growth`, what tasks cost by `benchmarks.crowd`,
whose figures have to be there. `cluster.forecast` does the rest.
"""

from __future__ import annotations

import argparse
import json
import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.growth import simulated
from benchmarks.large_store import large_config, large_store
from benchmarks.piece import piece
from benchmarks.planned_case import figures as planned_figures
from benchmarks.scaling import Figures, write_page
from benchmarks.unit_costs import drawn
from cluster.forecast import Overheads, forecast
from cluster.outcome import Outcome

SEED = 1


def overheads(figures: Figures, case: Mapping[str, Any], *, one_process: bool = True) -> Overheads:
    """What tasks cost: processor time from the largest crowd, times between units from a run.

    The middle one of the times between tasks is taken: long ones are waits for dependencies, which the forecast has itself.
    """
    crowd = figures.crowd[max(figures.crowd, key=int)]["one a task"]["overheads"]
    return Overheads(
        start=case["start"],
        client_task=crowd["client_task"],
        scheduler_task=crowd["scheduler_task"],
        scheduler_beat=crowd["scheduler_beat"],
        worker_task=case["gaps"]["median_hand_over"],
        worker_unit=case["gaps"]["median_records"],
        one_process=one_process,
    )


def check(figures: Figures, n: int, folder: Path) -> None:
    """Forecast the runs of `n` observations on one worker and on two, each from what units took in the other one."""
    from survey.config import load_config
    from survey.pipeline import units_of
    from survey.survey_plan import make_plan

    plan = make_plan(load_config(piece(n, folder / f"data-{n}", folder / "unused", workers=1)))
    units = units_of(plan)
    for workers, other in ((1, 2), (2, 1)):
        ran, known = figures.growth[f"{n} on {workers}"], figures.growth[f"{n} on {other}"]
        found = {}
        for name, case in (("from_other", known), ("from_itself", ran)):
            cost = drawn([case], plan.grid, seed=SEED, known=case is ran)
            foreseen = forecast(units, cost, workers=workers, overheads=overheads(figures, case))
            found[name] = {
                "wall": foreseen.wall,
                "peak_memory": foreseen.peak_memory,
                "bytes_read": sum(one.read for one in foreseen.outcomes.values()),
                "bytes_written": sum(one.written for one in foreseen.outcomes.values()),
            }
        found["measured"] = {"wall": ran["start"] + ran["span"], "peak_memory": ran["worker_memory"]} | {
            name: sum(row[name] for row in ran["stages"].values()) for name in ("bytes_read", "bytes_written")
        }
        found |= {"work": ran["work"], "work_other": known["work"]}
        figures.checks[f"{n} on {workers}"] = found


def moved(outcomes: Mapping[str, Outcome]) -> dict[str, list[int]]:
    """Bytes read and written by stage."""
    table: dict[str, list[int]] = {}
    for slot, one in outcomes.items():
        row = table.setdefault(slot.partition("/")[0], [0, 0])
        row[0] += one.read
        row[1] += one.written
    return table


def largest(figures: Figures) -> list[dict[str, Any]]:
    """Runs that units of a large survey are like: of the most observations, on the most workers, and smaller ones."""
    cases = sorted(figures.growth.values(), key=lambda case: (case["observations"], case["workers"]))
    return [case for case in cases if case["workers"] == cases[-1]["workers"]]


def large(figures: Figures, n: int, counts: list[int], folder: Path) -> None:
    """Plan and forecast a survey of `n` observations on several numbers of workers."""
    config = large_config(n, folder / f"large-{n}", folder / "unused")
    planned, units, plan = planned_figures(json.loads(json.dumps(config, default=str)))
    cases = largest(figures)
    case = cases[-1]
    planned["runs"] = {}
    for workers in counts:
        for name, one_process in (("one process", True), ("scheduler apart", False)):
            # drawn anew for every number of workers: the same units cost the same only on the average
            cost = drawn(cases[-2:], plan.grid, seed=SEED)
            beside = overheads(figures, case, one_process=one_process)
            found = forecast(units, cost, workers=workers, overheads=beside)
            planned["runs"][f"{workers}, {name}"] = {
                "workers": workers,
                "one_process": one_process,
                "wall": found.wall,
                "work": found.work,
                "busy": found.busy,
                "tasks": found.tasks,
                "driver": found.driver,
                "client": found.client,
                "scheduler": found.scheduler,
                "load": found.load,
                "message_bytes": found.message_bytes,
                "largest_message": found.largest_message,
                "stages": {name: list(row) for name, row in found.stages.items()},
                "curve": found.curve,
                "traffic": found.traffic,
                "peak_memory": found.peak_memory,
                "bytes": moved(found.outcomes),
                "longest": sorted(((one.seconds, slot) for slot, one in found.outcomes.items()), reverse=True)[:5],
            }
            print(
                f"{n} observations on {workers} workers, {name}: {found.wall:.0f} s, {found.busy:.0%} busy", flush=True
            )
    planned["driver_memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    planned["costs_from"] = [f"{one['observations']} on {one['workers']}" for one in cases[-2:]]
    figures.planned[str(n)] = planned


def main() -> None:
    """Check forecasts where data and runs are there, forecast the large survey, write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forecasts", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="that of benchmarks.growth, with its simulated data")
    parser.add_argument("--observations", type=int, default=100_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[10, 30, 100, 300, 1000])
    parser.add_argument("--figures", type=Path, help="the figures; benchmarks/scaling.json, with its page, by default")
    options = parser.parse_args()
    folder = options.folder.absolute()
    figures = Figures.read(options.figures)
    measured = sorted({case["observations"] for case in figures.growth.values()})
    both = [n for n in measured if {f"{n} on 1", f"{n} on 2"} <= set(figures.growth)]
    for n in both:
        simulated(n, folder, workers=2)
        check(figures, n, folder)
        figures.save()
    small = simulated(measured[0], folder, workers=2)
    large_store(folder / f"large-{options.observations}", small, options.observations)
    large(figures, options.observations, options.workers, folder)
    figures.save()
    if options.figures is None:
        write_page(figures)


if __name__ == "__main__":
    main()
