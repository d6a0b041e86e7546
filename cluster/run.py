"""`execute`: runs a plan to its end on a cluster, whatever happens on the way.

The driver holds the graph and a bounded window of tasks, nothing else: all that must last is in the workspace, written
by workers. Units that are free to run go out in batches (`batching`), deepest chains first; each worker runs the marker
protocol around each unit (`worker`); what is done, here or in an earlier run, sets its dependents free (`plan`).
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import time
import uuid
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from cluster.batching import MOST, Batcher
from cluster.config import ClusterConfig
from cluster.engines.base import Completion, Engine, open_engine
from cluster.errors import ClusterError, PlanError, WorkersLost, WorkspaceLocked
from cluster.events import (
    BatchSubmitted,
    Event,
    Listener,
    RunEnded,
    RunStarted,
    StageEnded,
    UnitEnded,
    UnitRetried,
    WorkerLost,
)
from cluster.history import summarise
from cluster.memorylog import MemoryLog
from cluster.object_store import store_errors
from cluster.outcome import Outcome, Outcomes
from cluster.plan import Plan, Settlement
from cluster.runlog import RunLog
from cluster.stopping import heed, terminable
from cluster.unit import Unit
from cluster.worker import Item, Report, describe, disk_full, run_batch, storage_error
from cluster.workspace import Workspace

DEATHS = 3
"""Workers that may die while they run one unit before it counts as the cause."""
LOSSES = 12
"""Workers that may die with a unit in their queue, while nothing else gets on, before it is given up."""

TOO_LARGE = 2
"""Units given up for their memory, before any unit got through, after which it is the workers that are too small."""


def execute(
    units: Iterable[Unit],
    *,
    workspace: Workspace | str | os.PathLike[str],
    config: ClusterConfig | None = None,
    engine: Engine | None = None,
    listeners: Sequence[Listener] = (),
    retry_failed: bool = False,
    retries: int = 1,
    preload: Sequence[str] = (),
) -> Outcomes:
    """Run units, each once, and say how each ended.

    A unit whose record of an earlier run is valid is not run again: it is skipped when it was done, and stays set aside
    or failed. No worker is started when nothing is left to do. Units that raise `SetAside`, raise anything else
    `retries` + 1 times, or bring down their workers do not stop the run: their dependents run without them.

    Parameters
    ----------
    units : iterable of Unit
        The plan.
    workspace : Workspace, str or path
        Where the bookkeeping is. Its lock is held throughout (it may be held by the caller already).
    config : ClusterConfig, optional
        The cluster to run on; local with two workers by default.
    engine : Engine, optional
        One that is open already, instead of `config`; it is left open.
    listeners : sequence of callables
        Each is called with every `cluster.events.Event`.
    retry_failed : bool
        Run units again that failed or were set aside.
    retries : int
        How often a unit that raised is tried again.
    preload : sequence of str
        Modules that workers import when they start.

    Returns
    -------
    Outcomes
        By slot, in the order of the plan.

    Raises
    ------
    PlanError
        When the units do not form a plan.
    WorkspaceLocked
        When another driver works there.
    DiskFull
        When there is no room to write; a rerun resumes.
    WorkersLost
        When no worker is left.
    KeyboardInterrupt
        When the user or the system stops the run; a rerun resumes.
    """
    begun = time.perf_counter()
    workspace = workspace if isinstance(workspace, Workspace) else Workspace(workspace)
    waiting = dict(enumerate(units))
    del units  # the driver forgets each when it has ended
    plan = Plan.of(list(waiting.values()))
    with terminable(), storage_errors(workspace.url), workspace.lock:
        workspace.save_plan(plan.to_bytes())
        workspace.clear_running()
        heard: tuple[Listener, ...] = (*listeners, RunLog(workspace.folder), MemoryLog(workspace.folder))
        driver = Driver(waiting, plan, workspace, heard, retry_failed, retries)
        driver.tell(RunStarted(dict(driver.open_stages)))
        complete = False
        try:
            driver.begin()
            if driver.settlement.left:
                if engine is not None:
                    driver.drive(engine)
                else:
                    with open_engine(config or ClusterConfig(), preload=preload) as opened:
                        driver.drive(opened)
            complete = True
        finally:
            driver.tell(RunEnded(complete))
        outcomes = Outcomes(zip(plan.slots, driver.settlement.outcomes, strict=True))
        outcomes.history = summarise(outcomes, wall=time.perf_counter() - begun, slots=driver.batcher.slots)
        return outcomes


@dataclass
class _Ready:
    """Units of a stage that are free to run, in order of rank."""

    heap: list[tuple[int, int]] = field(default_factory=list)
    cost: float = 0.0


class Driver:
    """One execution: what is free, what is out, what came back."""

    def __init__(
        self,
        units: dict[int, Unit],
        plan: Plan,
        workspace: Workspace,
        listeners: Sequence[Listener],
        retry_failed: bool,
        retries: int,
    ) -> None:
        self.units = units  # those that have not ended
        self.plan = plan
        self.workspace = workspace
        self.listeners = listeners
        self.retries = retries
        self.retry_failed = retry_failed
        self.markers = workspace.markers()
        self.failures = {} if retry_failed else workspace.failures()
        self.settlement = Settlement(plan, self._find)
        self.batcher = Batcher(1)
        self.open_stages = Counter(plan.stage(index) for index in range(len(plan)))
        self.index = {slot: index for index, slot in enumerate(plan.slots)}
        self.keys: dict[int, str] = {}
        self.ready: dict[str, _Ready] = {}
        self.suspects: deque[int] = deque()
        self.batches: dict[str, list[int]] = {}
        self.suspect_batches: set[str] = set()
        self.tries: Counter[int] = Counter()
        self.deaths: Counter[int] = Counter()
        self.losses: Counter[int] = Counter()
        self.overgrown: Counter[int] = Counter()
        self.late: Counter[int] = Counter()
        self.got_through = False
        self.too_large = 0
        self.memory_limit: int | None = None
        self.unit_timeout: float | None = None
        run = uuid.uuid4().hex[:8]  # an engine may serve several runs, one after another
        self.tags = (f"{run}-{number:06d}" for number in itertools.count())

    def tell(self, event: Event) -> None:
        for listener in self.listeners:
            listener(event)

    def _find(self, slot: str, key: str) -> Outcome | None:
        found = self.markers.pop(slot, None)
        if found is not None and found.key == key and not (self.retry_failed and found.status == "set_aside"):
            return found
        failed = self.failures.pop(slot, None)
        return failed if failed is not None and failed.key == key else None

    def begin(self) -> None:
        """Enter all that earlier runs did."""
        self._advance(*self.settlement.start())
        self.got_through = any(outcome is not None and outcome.is_done for outcome in self.settlement.outcomes)

    def drive(self, engine: Engine) -> None:
        """Run until nothing is left."""
        self.batcher.slots = engine.n_workers * engine.threads
        self.memory_limit, self.unit_timeout = engine.memory_limit, engine.unit_timeout
        self._check_memory(engine)
        # With several threads a worker dies with several units, and only a suspect that runs alone is found out.
        suspects = engine.n_workers if engine.threads == 1 else 1
        try:
            while self.settlement.left:
                self._submit(engine, suspects)
                for completion in engine.wait(0.5):
                    self._collect(completion)
                self.workspace.lock.check()
                heed()
        except WorkspaceLocked:  # another driver writes there now
            engine.cancel()
            raise
        except BaseException:
            engine.cancel()
            with contextlib.suppress(Exception):  # there may be no room for it; what ended the run is what counts
                self.workspace.save_report(engine.performance_report())
            raise
        self.workspace.save_report(engine.performance_report())

    def _check_memory(self, engine: Engine) -> None:
        limit = engine.memory_limit
        for index, unit in self.units.items():
            memory = unit.memory
            if limit is not None and memory is not None and memory > limit:
                raise PlanError(
                    f"unit {self.plan.slots[index]} is expected to need {memory / 1e9:.2f} GB and a worker has "
                    f"{limit / 1e9:.2f} GB; raise cluster.memory or lower cluster.workers"
                )

    def _submit(self, engine: Engine, suspects: int) -> None:
        while self.suspects and len(self.suspect_batches) < suspects and len(self.batches) < engine.window:
            self.suspect_batches.add(self._send(engine, [self.suspects.popleft()]))
        while len(self.batches) < engine.window:
            filled = [(ready.heap[0], stage) for stage, ready in self.ready.items() if ready.heap]
            if not filled:
                return
            _, stage = min(filled)
            self._send(engine, self._take(stage))

    def _take(self, stage: str) -> list[int]:
        """The next batch of a stage."""
        ready = self.ready[stage]
        budget = self.batcher.budget(stage, ready.cost)
        batch: list[int] = []
        cost = 0.0
        while ready.heap and len(batch) < MOST:
            index = ready.heap[0][1]
            if batch and cost + self.plan.costs[index] > budget:
                break
            heapq.heappop(ready.heap)
            cost += self.plan.costs[index]
            batch.append(index)
        ready.cost = ready.cost - cost if ready.heap else 0.0
        return batch

    def _send(self, engine: Engine, batch: list[int]) -> str:
        tag = next(self.tags)
        items = [self._item(index) for index in batch]
        self.batches[tag] = batch
        self.tell(BatchSubmitted(self.plan.stage(batch[0]), tuple(item.slot for item in items)))
        arguments = self.workspace.url, tag, items, self.unit_timeout
        engine.submit(tag, run_batch, *arguments, priority=-self.plan.rank[batch[0]])
        return tag

    def _item(self, index: int) -> Item:
        unit = self.units[index]
        done = self.plan.done_before(index, self.settlement.outcomes) if unit.after else None
        last = self.tries[index] >= self.retries
        return Item(unit.slot, self.keys[index], unit.function, unit.keywords(), done, last)

    def _collect(self, completion: Completion) -> None:
        batch = self.batches.pop(completion.tag, None)
        if batch is None:  # an earlier run's, on a shared engine
            return
        self.suspect_batches.discard(completion.tag)
        if completion.lost:
            self._lost(completion.tag, batch, overgrown=completion.overgrown)
            return
        if completion.error is not None:
            raise ClusterError(f"a worker could not run a batch: {describe(completion.error)}") from completion.error
        for report in completion.value:
            if report.fatal is not None:
                raise report.fatal
            self._enter(report)

    def _enter(self, report: Report) -> None:
        index = self.index[report.slot]
        if report.outcome is None:
            self.tries[index] += 1
            self.tell(UnitRetried(report.slot, report.error))
            self._queue(index, later=True)
            return
        self.batcher.measured(self.plan.stage(index), self.plan.costs[index], report.outcome.seconds)
        self.got_through = True
        # Who waits beside units that bring down their workers is not one of them as long as others get through.
        self.losses.clear()
        self._settle(index, report.outcome)

    def _lost(self, tag: str, batch: list[int], *, overgrown: bool) -> None:
        """Find out how far a lost worker came, and what it died of."""
        note = self.workspace.end(tag)
        begun = note is not None
        left: list[int] = []
        for index in batch:
            found = self.workspace.read(self.plan.slots[index])
            if found is not None and found.key == self.keys[index]:
                self._settle(index, found.as_fresh())
            else:
                left.append(index)
        self.tell(WorkerLost(self.plan.slots[left[0]] if begun and left else "", len(left), overgrown))
        for index in left:
            self.losses[index] += 1
        # Units of a batch run in order, so the first without a record is the one that was running.
        if begun and left:
            suspect = left.pop(0)
            self.deaths[suspect] += 1
            self.overgrown[suspect] += overgrown
            self.late[suspect] += bool(note and note.get("late"))
            if self.deaths[suspect] >= DEATHS:
                self._give_up(suspect)
                self.losses.clear()
            else:
                self.suspects.append(suspect)
        for index in left:
            if self.losses[index] >= LOSSES:
                self._give_up(index)
            else:
                self._queue(index)

    def _give_up(self, index: int) -> None:
        slot = self.plan.slots[index]
        times = self.deaths[index] if self.deaths[index] >= DEATHS else self.losses[index]
        reason = f"worker lost: memory or crash ({times} workers died with it)"
        if self.overgrown[index]:
            limit = "they have" if self.memory_limit is None else f"their {self.memory_limit / 1e9:.2f} GB"
            reason = f"memory: {times} workers died with it, which took more than {limit}; raise cluster.memory"
        elif self.late[index]:
            reason = f"time: {times} times it took more than {self.unit_timeout:g} s, cluster.unit_timeout"
        outcome = Outcome("failed", self.keys[index], reason=reason)
        self.workspace.forget(slot)
        self.workspace.record(slot, outcome)
        self._settle(index, outcome)
        self.too_large += bool(self.overgrown[index])
        if self.too_large >= TOO_LARGE and not self.got_through:
            raise WorkersLost(f"{self.too_large} units were tried, none got through: {reason}")

    def _settle(self, index: int, outcome: Outcome) -> None:
        self._advance(*self.settlement.settle(index, outcome))

    def _advance(self, settled: Sequence[int], free: Sequence[tuple[int, str]]) -> None:
        for index in settled:
            self.keys.pop(index, None)
            del self.units[index]
            outcome = self.settlement.outcomes[index]
            assert outcome is not None
            self.tell(UnitEnded(self.plan.slots[index], outcome))
            stage = self.plan.stage(index)
            self.open_stages[stage] -= 1
            if self.open_stages[stage] == 0:
                self.tell(StageEnded(stage))
        for index, key in free:
            self.keys[index] = key
            self._queue(index)

    def _queue(self, index: int, *, later: bool = False) -> None:
        """A unit that raised goes to the end: what troubled it may pass meanwhile."""
        ready = self.ready.setdefault(self.plan.stage(index), _Ready())
        rank = self.plan.rank[index] + (len(self.plan) if later else 0)
        heapq.heappush(ready.heap, (rank, index))
        ready.cost += self.plan.costs[index]


@contextlib.contextmanager
def storage_errors(url: str) -> Iterator[None]:
    """The driver's own writes below `url`: a full disk is one line here too, `DiskFull`, and what an object store answers."""
    with store_errors(url):
        try:
            yield
        except OSError as error:
            if disk_full(error) is None:
                raise
            raise storage_error(error, url) from error
