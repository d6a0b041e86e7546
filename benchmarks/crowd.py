"""What a task and a unit cost a real scheduler with many workers that only sleep: ``python -m benchmarks.crowd``.

The scheduler is a process of its own, so its processor time is known; workers are objects in the event loops of a few others.
The driver is here; it runs `cluster.run.execute` through the engine `existing`, with its records in memory (a
folder of /dev/shm where there is one), because a disk that 200 workers of one machine share is not what is asked about.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import psutil

from benchmarks.piece import ROOT
from cluster import Outcome, Outcomes, Unit

SHAPES = {"one a task": (2000, 2.5), "shared tasks": (6000, 0.4)}
"""Units and the seconds that each sleeps: too long to share a task, and short enough to."""
FULL = 100
"""Workers above which units sleep longer in proportion: one machine writes the records of all workers."""
PER_PROCESS = 50
"""Workers that share a process, at most."""
KEPT = 500
"""Times of units that are kept, more or less."""
IDLE = 10.0
"""Seconds for which the scheduler is watched while nothing is asked of it."""


def nap(seconds: float) -> dict[str, str]:
    """A unit that computes nothing; returns the name of its worker."""
    from distributed import get_worker

    time.sleep(seconds)
    return {"worker": str(get_worker().name)}


async def host(kind: str, address: str, n: int, first: int) -> None:
    """Be a scheduler, or `n` workers of one, whose names are numbers from `first` on."""
    from distributed import Scheduler, Worker

    if kind == "scheduler":
        scheduler = await Scheduler(host="127.0.0.1", port=0, dashboard_address="127.0.0.1:0")
        print(scheduler.address, flush=True)
        await scheduler.finished()
        return
    with contextlib.ExitStack():
        made = [Worker(address, nthreads=1, name=f"w{first + i}", dashboard=False, memory_limit=0) for i in range(n)]
        workers = [await worker for worker in made]
        print(len(workers), flush=True)
        await asyncio.gather(*(worker.finished() for worker in workers))


@contextlib.contextmanager
def processes(n: int) -> Iterator[tuple[str, psutil.Process]]:
    """A scheduler with `n` workers: its address and its process."""
    settings = {
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
        "DASK_DISTRIBUTED__ADMIN__TICK__LIMIT": "60s",
        "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
        "DASK_LOGGING__DISTRIBUTED": "critical",
        # each of many workers would measure the one process that they share
        "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "60s",
    }
    command = [sys.executable, "-m", "benchmarks.crowd", "--host"]
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "text": True, "cwd": ROOT, "env": {**os.environ, **settings}}
    started = [subprocess.Popen([*command, "scheduler"], **options)]
    try:
        address = _said(started[0])
        for first in range(0, n, PER_PROCESS):
            share = str(min(PER_PROCESS, n - first))
            more = ["workers", "--address", address, "--workers", share, "--first", str(first)]
            started.append(subprocess.Popen([*command, *more], **options))
        for process in started[1:]:
            assert _said(process), "the workers did not start"
        yield address, psutil.Process(started[0].pid)
    finally:
        for process in reversed(started):
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def _said(process: subprocess.Popen[str]) -> str:
    """The next line that a process prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def seconds_of(process: psutil.Process) -> float:
    """Processor time of a process."""
    times = process.cpu_times()
    return float(times.user + times.system)


def busy_seconds() -> float:
    """Processor time of all of this machine so far."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))


class Clock:
    """A listener that counts tasks and notes when the first was submitted and when all had ended."""

    def __init__(self, scheduler: psutil.Process) -> None:
        self.scheduler = scheduler
        self.tasks = 0
        self.batch: dict[str, int] = {}
        self.first: tuple[float, ...] = ()
        self.last: tuple[float, ...] = ()

    def _now(self) -> tuple[float, ...]:
        own = resource.getrusage(resource.RUSAGE_SELF)
        return time.time(), seconds_of(self.scheduler), own.ru_utime + own.ru_stime

    def __call__(self, event: Any) -> None:
        """Note an event."""
        from cluster.events import BatchSubmitted, StageEnded

        if isinstance(event, BatchSubmitted):
            self.first = self.first or self._now()
            self.tasks += 1
            self.batch.update(dict.fromkeys(event.slots, self.tasks))
        elif isinstance(event, StageEnded):
            self.last = self._now()


def gaps(outcomes: Mapping[str, Outcome], batch: Mapping[str, int]) -> tuple[float, float]:
    """Mean seconds between two tasks on a worker, and between two units of a task: there is always a next one waiting."""
    rows: dict[str, list[tuple[float, float, int]]] = defaultdict(list)
    for slot, one in outcomes.items():
        assert one.result is not None
        rows[one.result["worker"]].append((one.started, one.started + one.seconds, batch[slot]))
    found: dict[bool, list[float]] = {True: [], False: []}
    for units in rows.values():
        for before, after in pairwise(sorted(units)):
            found[before[2] == after[2]].append(after[0] - before[1])
    return fmean(found[False]), fmean(found[True] or [0.0])


def run(address: str, scheduler: psutil.Process, workers: int, n: int, seconds: float) -> dict[str, Any]:
    """Figures of one run of units that sleep, and its forecast."""
    from cluster.config import ClusterConfig
    from cluster.forecast import Cost, Overheads, beats, forecast
    from cluster.run import execute

    units = [Unit(f"nap/{i:06d}", "0" * 64, "benchmarks.crowd:nap", {"seconds": seconds}) for i in range(n)]
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    folder = tempfile.mkdtemp(prefix="gammasurvey-crowd-", dir=memory)
    load = os.getloadavg()[0]
    before, at = seconds_of(scheduler), time.time()
    time.sleep(IDLE)
    idle = (seconds_of(scheduler) - before) / (time.time() - at)
    clock = Clock(scheduler)
    busy, at = busy_seconds(), time.time()
    try:
        config = ClusterConfig(kind="existing", address=address)
        outcomes: Outcomes = execute(units, workspace=f"{folder}/work", config=config, listeners=[clock])
        cores = (busy_seconds() - busy) / (time.time() - at)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert all(one.status == "done" for one in outcomes.values())
    wall, cpu, own = (last - first for last, first in zip(clock.last, clock.first, strict=True))
    between, inside = gaps(outcomes, clock.batch)
    plain = forecast(units, lambda unit: Cost(seconds), workers=workers)
    overheads = Overheads(
        start=min(one.started for one in outcomes.values()) - clock.first[0],
        client_task=max(own - plain.driver, 0.0) / clock.tasks,
        scheduler_task=max(cpu - idle * wall, 0.0) / clock.tasks,
        scheduler_beat=idle / beats(workers),
        worker_task=between,
        worker_unit=inside,
        one_process=False,
    )
    return {
        "workers": workers,
        "units": n,
        "seconds": seconds,
        "load_before": load,
        "tasks": clock.tasks,
        "wall": wall,
        "scheduler_cpu": cpu,
        "scheduler_idle": idle,
        "driver_cpu": own,
        "driver_own": plain.driver,
        "cores_busy": cores,
        "overheads": {name: getattr(overheads, name) for name in Overheads.__dataclass_fields__},
        "took": [round(one.seconds, 4) for one in list(outcomes.values())[:: max(1, n // KEPT)]],
    }


def predict(row: Mapping[str, Any], known: Mapping[str, Any]) -> float:
    """Wall time of a row of the table, whose units are known, forecast by what tasks cost in another one, or in itself."""
    from cluster.forecast import Cost, Overheads, forecast

    rng = np.random.default_rng(1)
    units = [Unit(f"nap/{i:06d}", "0" * 64, "benchmarks.crowd:nap") for i in range(row["units"])]
    foreseen = forecast(
        units,
        lambda unit: Cost(float(rng.choice(row["took"]))),
        workers=row["workers"],
        overheads=Overheads(**known["overheads"]),
    )
    return foreseen.wall


def measure(workers: int) -> dict[str, Any]:
    """Figures of all shapes with some number of workers."""
    with processes(workers) as (address, scheduler):
        longer = max(1.0, workers / FULL)
        return {name: run(address, scheduler, workers, n, seconds * longer) for name, (n, seconds) in SHAPES.items()}


def main() -> None:
    """Measure, and write the page; or be one of the processes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crowd", description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[50, 100, 300])
    parser.add_argument("--figures", type=Path, help="the figures; benchmarks/scaling.json, with its page, by default")
    parser.add_argument("--host", choices=["scheduler", "workers"], help=argparse.SUPPRESS)
    parser.add_argument("--address", default="", help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.host:
        asyncio.run(host(options.host, options.address, options.workers[0], options.first))
        return
    from benchmarks.scaling import Figures, write_page

    figures = Figures.read(options.figures)
    for workers in options.workers:
        figures.crowd[str(workers)] = found = measure(workers)
        figures.save()
        for name, row in found.items():
            print(f"{workers} workers, {name}: {row['wall']:.1f} s", flush=True)
    for workers, found in figures.crowd.items():
        for name, row in found.items():
            row["from_itself"] = predict(row, row)
            others = sorted((one for one in figures.crowd if one != workers), key=int)
            row["from_other"] = predict(row, figures.crowd[others[0]][name]) if others else None
    figures.save()
    if options.figures is None:
        write_page(figures)


if __name__ == "__main__":
    main()
