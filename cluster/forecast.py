"""`forecast`: how a plan would run on a cluster that is not there, by what units and tasks are known to cost.

It is a simulation of discrete events in which nothing is computed. The driver is the real one of `cluster.run`: its graph,
its bounded window, its batches and its bookkeeping of dependencies; only the engine below it keeps a clock of its own and a
heap of what ends when, instead of workers. The driver's own processor time is taken as it runs and moves that clock too.
"""

from __future__ import annotations

import heapq
import math
import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np

from cluster.engines.base import Completion
from cluster.history import summarise
from cluster.outcome import Outcome, Outcomes
from cluster.plan import Plan
from cluster.run import Driver
from cluster.unit import Unit
from cluster.worker import Item, Report

BATCHES_PER_THREAD = 4
"""Tasks submitted ahead for each thread, as `cluster.engines.distributed` has it."""
CURVE = 200
"""Points of the curve of busy workers."""


@dataclass(frozen=True)
class Cost:
    """What a unit takes."""

    seconds: float
    """Of its worker."""
    peak_memory: int = 0
    """Highest memory of its worker while it runs, bytes."""
    read: int = 0
    """Bytes from the store."""
    written: int = 0
    """Bytes to the store."""


@dataclass(frozen=True)
class Overheads:
    """What a run costs beside its units, seconds."""

    start: float = 0.0
    """Until workers take the first task."""
    client_task: float = 0.0
    """Processor time of the driver's process to submit a task and to hear of its end, beside the driver itself."""
    scheduler_task: float = 0.0
    """Processor time of the scheduler from a task's arrival to its end."""
    scheduler_beat: float = 0.0
    """Processor time of the scheduler for a heartbeat of a worker."""
    worker_task: float = 0.0
    """From the end of a task to the start of the next one on the same worker, when one waits."""
    worker_unit: float = 0.0
    """Between two units of a task: the records of the first."""
    latency: float = 0.0
    """From a worker to the scheduler, and from there to the driver."""
    one_process: bool = True
    """Whether driver and scheduler share a process, and so one core, as all engines but `existing` have it."""


@dataclass(frozen=True)
class Forecast:
    """What would happen."""

    wall: float
    """Seconds from the start of the driver's work to the end of the last unit's report."""
    work: float
    """Seconds of all units."""
    busy: float
    """Fraction of the slots' time that is spent in units."""
    tasks: int
    """Tasks submitted."""
    driver: float
    """Processor time of the driver's own code, as it was measured while it ran here."""
    client: float
    """Processor time of the client of the engine."""
    scheduler: float
    """Processor time of the scheduler."""
    one_process: bool
    """Whether it shares a process with the driver."""
    message_bytes: int
    """Of all tasks on their way to workers, pickled."""
    largest_message: int
    """Bytes of the largest of them."""
    stages: dict[str, tuple[float, float, float]]
    """By stage: seconds of work, first start and last end on the clock of the forecast."""
    curve: list[tuple[float, int]]
    """Workers at work at some times."""
    traffic: list[tuple[float, float, float]]
    """Bytes a second from the store and to it at some times, those of a unit spread evenly over it."""
    peak_memory: int
    """Highest memory of any worker, bytes."""
    outcomes: Outcomes = field(repr=False)
    """Of every unit, with its start on the clock of the forecast and its worker's number."""

    @property
    def load(self) -> float:
        """Part of the wall time that the scheduler's process computes: at 1 it is what everything waits for."""
        seconds = self.scheduler + (self.driver + self.client if self.one_process else 0.0)
        return seconds / self.wall if self.wall else 0.0


def forecast(
    units: Sequence[Unit],
    cost: Callable[[Unit], Cost],
    *,
    workers: int,
    overheads: Overheads = Overheads(),
    timer: Callable[[], float] = time.thread_time,
) -> Forecast:
    """Run a plan on a clock.

    Parameters
    ----------
    units : sequence of Unit
        The plan.
    cost : callable
        What a unit takes; called once a unit, in the order of their starts.
    workers : int
        Workers of one thread each.
    overheads : Overheads
        What else takes time.
    timer : callable
        Clock of the driver's processor time; one that stands still makes the forecast the same every time.
    """
    plan = Plan.of(units)
    engine = _Clockwork({unit.slot: unit for unit in units}, cost, workers, overheads, timer)
    driver = Driver(dict(enumerate(units)), plan, _Nowhere(), [], False, 0)  # type: ignore[arg-type]
    engine.resume()
    driver.begin()
    driver.drive(engine)
    engine.pause()
    outcomes = Outcomes(zip(plan.slots, driver.settlement.outcomes, strict=True))
    wall = engine.now
    outcomes.history = summarise(outcomes, wall=wall, slots=workers)
    stages: dict[str, tuple[float, float, float]] = {}
    for slot, outcome in outcomes.items():
        name = slot.partition("/")[0]
        work, first, last = stages.get(name, (0.0, math.inf, 0.0))
        end = outcome.started + outcome.seconds
        stages[name] = (work + outcome.seconds, min(first, outcome.started), max(last, end))
    work = sum(row[0] for row in stages.values())
    return Forecast(
        wall=wall,
        work=work,
        busy=work / (wall * workers) if wall else 0.0,
        tasks=engine.tasks,
        driver=engine.driver_seconds,
        client=engine.client_seconds,
        scheduler=engine.scheduler_seconds + wall * beats(workers) * overheads.scheduler_beat,
        one_process=overheads.one_process,
        message_bytes=engine.message_bytes,
        largest_message=engine.largest_message,
        stages=stages,
        curve=_curve(list(outcomes.values()), wall),
        traffic=_traffic(list(outcomes.values()), wall),
        peak_memory=max((outcome.peak_memory for outcome in outcomes.values()), default=0),
        outcomes=outcomes,
    )


def beats(workers: int) -> float:
    """Heartbeats a second of all workers; as Dask has them, the more workers there are the more seldom each one's."""
    steps = ((10, 0.5), (49, 1.0), (199, 2.0))  # of distributed.scheduler.heartbeat_interval
    interval = next((seconds for most, seconds in steps if workers <= most), workers / 200 + 1)
    return workers / interval


def _curve(outcomes: Sequence[Outcome], wall: float) -> list[tuple[float, int]]:
    """Units at work at evenly spread times."""
    starts = sorted(outcome.started for outcome in outcomes)
    ends = sorted(outcome.started + outcome.seconds for outcome in outcomes)
    points, begun, ended = [], 0, 0
    for number in range(CURVE + 1):
        at = wall * number / CURVE
        while begun < len(starts) and starts[begun] <= at:
            begun += 1
        while ended < len(ends) and ends[ended] <= at:
            ended += 1
        points.append((at, begun - ended))
    return points


def _traffic(outcomes: Sequence[Outcome], wall: float) -> list[tuple[float, float, float]]:
    """Mean bytes a second, read and written, of evenly long intervals, by their beginnings."""
    if not wall or not outcomes:
        return []
    edges = np.linspace(0.0, wall, CURVE + 1)
    starts = np.array([outcome.started for outcome in outcomes])
    seconds = np.maximum([outcome.seconds for outcome in outcomes], 1e-9)
    moved = np.array([(outcome.read, outcome.written) for outcome in outcomes], dtype=float)
    order = np.argsort(starts)
    total = np.zeros((CURVE + 1, 2))
    for at, edge in enumerate(edges):
        begun = order[: np.searchsorted(starts[order], edge)]
        part = np.minimum((edge - starts[begun]) / seconds[begun], 1.0)
        total[at] = part @ moved[begun]
    rates = np.diff(total, axis=0) / np.diff(edges)[:, np.newaxis]
    return [(float(at), float(read), float(written)) for at, (read, written) in zip(edges, rates, strict=False)]


Kind = Literal["arrived", "ended"]


class _Clockwork:
    """An engine whose workers are rows of a heap."""

    memory_limit: int | None = None
    unit_timeout: float | None = None
    threads = 1

    def __init__(
        self,
        units: dict[str, Unit],
        cost: Callable[[Unit], Cost],
        workers: int,
        overheads: Overheads,
        timer: Callable[[], float],
    ) -> None:
        self.n_workers = workers
        self.window = BATCHES_PER_THREAD * workers
        self.now = 0.0
        """The driver's time."""
        self.tasks = 0
        self.driver_seconds = self.client_seconds = self.scheduler_seconds = 0.0
        self.message_bytes = self.largest_message = 0
        self._units, self._cost, self._overheads, self._timer = units, cost, overheads, timer
        self._scheduler = 0.0
        """When the scheduler has done what it was asked so far."""
        beating = beats(workers) * overheads.scheduler_beat
        if beating >= 1.0:
            raise ValueError(
                f"heartbeats of {workers} workers take {beating:.2f} of a processor: no task would get through"
            )
        self._slower = 1.0 / (1.0 - beating)
        """Heartbeats take their part of the time of the scheduler's process."""
        self._resumed: float | None = None
        self._numbers = 0
        self._events: list[tuple[float, int, Kind, Any]] = []
        self._idle = [(overheads.start, number) for number in range(workers)]
        self._waiting: list[tuple[float, int, str, list[Item]]] = []
        self._reports: list[tuple[float, int, str, list[Report]]] = []

    def resume(self) -> None:
        """The driver's code runs."""
        self._resumed = self._timer()

    def pause(self) -> None:
        """The driver's code waits, or the engine's runs in its place."""
        if self._resumed is not None:
            spent = self._timer() - self._resumed
            self.driver_seconds += spent
            self._spend(spent)
            self._resumed = None

    def _spend(self, seconds: float) -> None:
        if not self._overheads.one_process:
            self.now += seconds
        elif seconds:
            self.now = self._scheduler = max(self.now, self._scheduler) + seconds * self._slower

    def _spend_as_client(self) -> None:
        """A task goes out, or its end comes in."""
        self.client_seconds += self._overheads.client_task / 2
        self._spend(self._overheads.client_task / 2)

    def await_start(self) -> None:
        """Nothing starts."""

    def submit(
        self, tag: str, function: Callable[..., Any], *args: Any, priority: float = 0, worker: int | None = None
    ) -> None:
        """Hand over a task: it arrives at the scheduler when that has time for it."""
        self.pause()
        items: list[Item] = args[2]
        size = len(pickle.dumps(items))
        self.message_bytes += size
        self.largest_message = max(self.largest_message, size)
        self.tasks += 1
        self._spend_as_client()
        self._push(self.now + self._overheads.latency, "arrived", (-priority, tag, items))
        self.resume()

    def wait(self, timeout: float) -> list[Completion]:
        """Move the clock on to the next report, and give all that have come in by then."""
        self.pause()
        while self._events and (not self._reports or self._events[0][0] <= max(self.now, self._reports[0][0])):
            self._step()
        completions = []
        if self._reports:
            self.now = max(self.now, self._reports[0][0])
        while self._reports and self._reports[0][0] <= self.now:
            _, _, tag, reports = heapq.heappop(self._reports)
            completions.append(Completion(tag, reports))
            self._spend_as_client()
        self.resume()
        return completions

    def _push(self, at: float, kind: Kind, what: Any) -> None:
        self._numbers += 1
        heapq.heappush(self._events, (at, self._numbers, kind, what))

    def _step(self) -> None:
        at, _, kind, what = heapq.heappop(self._events)
        self.scheduler_seconds += self._overheads.scheduler_task / 2
        done = self._scheduler = max(self._scheduler, at) + self._overheads.scheduler_task / 2 * self._slower
        self._numbers += 1
        if kind == "arrived":
            priority, tag, items = what
            heapq.heappush(self._waiting, (priority, self._numbers, tag, items))
        else:
            worker, free, tag, reports = what
            # a worker has its next task before it ends the one before, if there is any; so it is not kept by the scheduler
            heapq.heappush(self._idle, (free, worker))
            heapq.heappush(self._reports, (done + self._overheads.latency, self._numbers, tag, reports))
        while self._waiting and self._idle:
            _, _, tag, items = heapq.heappop(self._waiting)
            free, worker = heapq.heappop(self._idle)
            self._run(worker, max(free, at if kind == "ended" else done), tag, items)

    def _run(self, worker: int, begin: float, tag: str, items: Sequence[Item]) -> None:
        overheads, reports = self._overheads, []
        for item in items:
            cost = self._cost(self._units[item.slot])
            outcome = Outcome(
                "done",
                item.key,
                seconds=cost.seconds,
                peak_memory=cost.peak_memory,
                read=cost.read,
                written=cost.written,
                started=begin,
                worker=str(worker),
            )
            reports.append(Report(item.slot, outcome))
            begin += cost.seconds + overheads.worker_unit
        end = begin - overheads.worker_unit
        self._push(end + overheads.latency, "ended", (worker, end + overheads.worker_task, tag, reports))

    def cancel(self) -> None:
        """Nothing runs."""

    def performance_report(self) -> str | None:
        """There is nothing to report on."""
        return None

    def close(self, *, now: bool = False) -> None:
        """Nothing to end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing to end."""


class _Held:
    def check(self) -> None:
        """It is."""


class _Nowhere:
    """A workspace in which nothing is found and nothing kept."""

    url = ""
    lock = _Held()

    def markers(self) -> dict[str, Outcome]:
        """None."""
        return {}

    failures = markers

    def save_report(self, page: str | None) -> None:
        """There is none."""
