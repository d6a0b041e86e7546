"""One run of a piece of the survey, watched: ``python -m benchmarks.growth_case CONFIG`` prints its figures as JSON.

It is a process of its own, so that its memory and its processor time are those of a driver and nothing else. With the
local engine Dask's scheduler runs in a thread of the driver: its processor time is told from that of the driver's own.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

import psutil

from benchmarks.results import processor
from cluster.events import BatchSubmitted, Event, RunEnded, RunStarted, StageEnded, UnitEnded
from cluster.history import timeline
from cluster.memory import peak
from cluster.outcome import Outcome

SAMPLES = 150
"""Units of a stage whose times are kept, at most: evenly chosen."""
LOOP = "IO loop"
"""What `distributed` calls the thread in which scheduler, nannies and client run."""


class Watch:
    """A listener that notes when a run passes from one part to the next, and the processor time so far."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}
        self.memory: dict[str, int] = {}
        self.threads: dict[str, float] = {}
        self.batch: dict[str, int] = {}
        self.tasks = 0
        self._before: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        """Note an event."""
        if isinstance(event, RunStarted):
            self._note("started")
        elif isinstance(event, BatchSubmitted):
            self.tasks += 1
            self.batch.update(dict.fromkeys(event.slots, self.tasks))
        elif isinstance(event, UnitEnded) and not self._before:
            self._before = thread_seconds()  # the engine is up: what its start took is not scheduling
        elif isinstance(event, StageEnded):
            # the last one is the last moment at which the threads of the engine are there
            now = thread_seconds()
            self.threads = {name: now[name] - self._before.get(name, 0.0) for name in now}
        elif isinstance(event, RunEnded):
            self._note("ended")

    def _note(self, name: str) -> None:
        self.at[name] = time.time()
        self.memory[name] = psutil.Process().memory_info().rss


def thread_seconds() -> dict[str, float]:
    """Processor time of this process by kind of thread: ``driver``, the main one; ``scheduler``; ``others``."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    table: dict[str, float] = defaultdict(float)
    for row in psutil.Process().threads():
        name = names.get(row.id, "")
        kind = "driver" if name == "MainThread" else "scheduler" if name.startswith(LOOP) else "others"
        table[kind] += row.user_time + row.system_time
    return dict(table)


def gaps(outcomes: Mapping[str, Outcome], batch: Mapping[str, int]) -> dict[str, float]:
    """Seconds that workers were not in a unit, between the first start of any unit and the last end.

    Parameters
    ----------
    outcomes : mapping
        Of this run, by slot.
    batch : mapping
        Number of the batch that each slot went out with.

    Returns
    -------
    dict
        ``records``: between two units of a batch; ``hand_over``: between two batches, waiting for units whose
        dependencies had not ended among it; ``tail``: after a worker's last unit; ``head``: before its first;
        ``median_records`` and ``median_hand_over``: of one such gap; ``first`` and ``last``: the ends, s since the epoch.
    """
    rows: dict[str, list[tuple[str, float, float]]] = defaultdict(list)
    for worker, slot, started, seconds in timeline(outcomes):
        rows[worker].append((slot, started, started + seconds))
    first = min(row[1] for units in rows.values() for row in units)
    last = max(row[2] for units in rows.values() for row in units)
    found = {"records": 0.0, "hand_over": 0.0, "tail": 0.0, "head": 0.0, "first": first, "last": last}
    single: dict[str, list[float]] = {"records": [0.0], "hand_over": [0.0]}
    for units in rows.values():
        found["head"] += units[0][1] - first
        found["tail"] += last - units[-1][2]
        for (before, _, end), (after, begin, _) in pairwise(units):
            kind = "records" if batch.get(before) == batch.get(after) else "hand_over"
            found[kind] += begin - end
            single[kind].append(begin - end)
    return found | {f"median_{kind}": median(values) for kind, values in single.items()}


def figures(config: Mapping[str, Any]) -> dict[str, Any]:
    """Run a configuration and say what it took."""
    import survey
    from cluster.history import recorded
    from cluster.workspace import Workspace

    load = os.getloadavg()[0]
    watch = Watch()
    begun = time.time()
    run = survey.run(config, listeners=[watch])
    ended = time.time()
    # Before the records are read for what follows, which no run does.
    memory = peak()  # a process's `ru_maxrss` begins at what its parent had
    own, workers = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    outcomes = {slot: one.as_fresh() for slot, one in recorded(Workspace(run.layout.work)).items()}
    timings = run.record["timings"]
    between = gaps(outcomes, watch.batch)
    first, last = between.pop("first"), between.pop("last")
    work = sizes(config)
    lost = [slot for slot, outcome in outcomes.items() if not outcome.is_done]
    assert not lost, f"units of an undisturbed run on good data failed: {lost[:5]}"
    return {
        "observations": run.record["observations"]["used"],
        "workers": config["cluster"]["workers"],
        "cores": os.cpu_count(),
        "processor": processor(),
        "load_before": load,
        "units": len(outcomes),
        "tasks": watch.tasks,
        "wall": ended - begun,
        "plan": watch.at["started"] - begun,
        "start": first - watch.at["started"],
        "span": last - first,
        "publish": ended - last,
        "gaps": between,
        "work": timings["work_seconds"],
        "stages": {
            name: {"units": row["done"]}
            | {key: row[key] for key in ("seconds", "peak_memory", "bytes_read", "bytes_written")}
            for name, row in timings["stages"].items()
        },
        "worker_memory": timings["peak_memory"],
        "driver_memory": memory,
        "driver_memory_planned": watch.memory["started"],
        "driver_cpu": own.ru_utime + own.ru_stime,
        "threads_cpu": watch.threads,
        "workers_cpu": workers.ru_utime + workers.ru_stime,
        "samples": {
            stage: [
                [slot.partition("/")[2], work[slot], round(one.seconds, 5), one.peak_memory, one.read, one.written]
                for slot, one in thinned(ran)
            ]
            for stage, ran in by_stage(outcomes).items()
        },
        "pixels": int(run.cube.sizes["y"] * run.cube.sizes["x"]),
        "output_bytes": tree_bytes(run.outdir),
    }


def by_stage(outcomes: Mapping[str, Outcome]) -> dict[str, dict[str, Outcome]]:
    """Outcomes by stage and slot."""
    table: dict[str, dict[str, Outcome]] = defaultdict(dict)
    for slot, outcome in outcomes.items():
        table[slot.partition("/")[0]][slot] = outcome
    return table


def thinned(ran: Mapping[str, Outcome]) -> list[tuple[str, Outcome]]:
    """At most `SAMPLES` of some units, evenly chosen."""
    return list(ran.items())[:: -(-len(ran) // SAMPLES)]


def sizes(config: Mapping[str, Any]) -> dict[str, float]:
    """What the time of each unit goes with, by slot; see `benchmarks.unit_costs.size_of`."""
    from benchmarks.unit_costs import size_of
    from survey.config import load_config
    from survey.pipeline import units_of
    from survey.survey_plan import make_plan

    plan = make_plan(load_config(config))
    return {unit.slot: size_of(unit, plan.grid) for unit in units_of(plan)}


def tree_bytes(folder: str) -> dict[str, int]:
    """Bytes of the files of an output, by the folder in it that they are in."""
    table: dict[str, int] = defaultdict(int)
    for path, _, names in os.walk(folder):
        parts = os.path.relpath(path, folder).split(os.sep)
        name = "/".join(parts[:2]) if parts[0] == ".survey" else parts[0]
        table[name] += sum(os.path.getsize(os.path.join(path, one)) for one in names)
    return dict(sorted(table.items()))


def main(arguments: Sequence[str]) -> None:
    """Run the configuration whose JSON is in the file named."""
    with open(arguments[0]) as file:
        config = json.load(file)
    print(json.dumps(figures(config)))


if __name__ == "__main__":
    main(sys.argv[1:])
