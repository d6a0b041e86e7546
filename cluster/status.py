"""How far a run is, read from its workspace: works while it runs, after it, and from another machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from cluster.errors import PlanError
from cluster.lock import Holder
from cluster.outcome import Outcome
from cluster.plan import Plan, Settlement
from cluster.workspace import Workspace


@dataclass(frozen=True)
class StageStatus:
    """Units of a stage."""

    planned: int
    """In the plan of the last run."""
    done: int
    """With a valid marker."""
    left: int
    """Neither done, set aside nor failed."""
    set_aside: int
    """Set aside, their input being bad."""
    failed: int
    """Failed."""
    seconds: float
    """Work recorded so far."""
    rate: float | None = None
    """Units a second of the driver at work; None when there is none, or none has ended."""
    work_left: float | None = None
    """Seconds of work of the units that are left, by those that were done; None when none was."""


@dataclass(frozen=True)
class RunStatus:
    """How far a run is."""

    stages: dict[str, StageStatus]
    """By stage, in the order of the plan; empty when there is no plan."""
    running: Holder | None
    """The driver at work, None when there is none."""
    reasons: dict[str, str]
    """Why units were set aside or failed, by slot."""
    parallel: float | None = None
    """Units at work at the same time, on the average since the driver started; None when there is no driver."""

    @property
    def is_complete(self) -> bool:
        """True when there is a plan and nothing of it is left."""
        return bool(self.stages) and all(stage.left == 0 for stage in self.stages.values())

    @property
    def seconds_left(self) -> float | None:
        """Time left of the driver at work, as far as its stages have been begun; None when it cannot be told."""
        known = [stage.work_left for stage in self.stages.values() if stage.left and stage.work_left is not None]
        if not self.parallel or not known:
            return None
        return sum(known) / self.parallel

    @property
    def unknown(self) -> list[str]:
        """Stages with units left of which none has ended: `seconds_left` does not hold their time."""
        return [name for name, stage in self.stages.items() if stage.left and stage.work_left is None]


def last_plan(workspace: Workspace) -> Plan | None:
    """The plan of the last run in a workspace, None when there was none.

    Raises
    ------
    PlanError
        When it is damaged, or of another format.
    """
    data = workspace.load_plan()
    try:
        return None if data is None else Plan.from_bytes(data)
    except PlanError:
        raise
    except (ValueError, TypeError, OverflowError) as error:
        raise PlanError(f"{workspace.url}/plan.json is damaged ({error}); `survey run` writes it anew") from error


def status(workspace: Workspace | str, *, now: float | None = None) -> RunStatus:
    """How far the last run of a workspace is.

    Units count by their effective keys, as the next run would see them: work of another configuration does not count.

    Parameters
    ----------
    workspace : Workspace or str
        Where the bookkeeping is.
    now : float, optional
        Seconds since the epoch, for rates; the clock's by default.
    """
    workspace = workspace if isinstance(workspace, Workspace) else Workspace(workspace)
    plan, running = last_plan(workspace), workspace.lock.holder()
    if plan is None:
        return RunStatus({}, running, {})
    outcomes = settled(plan, workspace)
    table: dict[str, list[int]] = {}
    for index in range(len(plan)):
        table.setdefault(plan.stage(index), []).append(index)
    reasons = {slot: o.reason for slot, o in zip(plan.slots, outcomes, strict=True) if o is not None and o.reason}
    since = None if running is None else running.since
    recent = [o for o in outcomes if o is not None and since is not None and o.started >= since]
    parallel = None
    if recent:
        # From the first start, not from the driver's: it plans and workers start before anything runs.
        elapsed = (time.time() if now is None else now) - min(o.started for o in recent)
        parallel = sum(o.seconds for o in recent) / max(elapsed, 1e-3)
    stages = {stage: _count(plan, rows, outcomes, since) for stage, rows in table.items()}
    return RunStatus(stages, running, reasons, parallel)


def settled(plan: Plan, workspace: Workspace) -> list[Outcome | None]:
    """How the units of a plan ended, in its order; None for those that are left."""
    found, failures = workspace.markers(), workspace.failures()

    def valid(slot: str, key: str) -> Outcome | None:
        for records in (found, failures):
            if slot in records and records[slot].key == key:
                return records[slot]
        return None

    settlement = Settlement(plan, valid)
    settlement.start()
    return settlement.outcomes


def _count(plan: Plan, rows: Sequence[int], outcomes: Sequence[Outcome | None], since: float | None) -> StageStatus:
    ended = {index: outcome for index in rows if (outcome := outcomes[index]) is not None}
    ran = {index: outcome for index, outcome in ended.items() if outcome.started > 0}
    recent = [outcome for outcome in ran.values() if since is not None and outcome.started >= since]
    seconds = sum(outcome.seconds for outcome in ran.values())
    cost = sum(plan.costs[index] for index in ran)
    span = max((o.started + o.seconds for o in recent), default=0.0) - min((o.started for o in recent), default=0.0)
    return StageStatus(
        planned=len(rows),
        done=sum(outcome.is_done for outcome in ended.values()),
        left=len(rows) - len(ended),
        set_aside=sum(outcome.status == "set_aside" for outcome in ended.values()),
        failed=sum(outcome.status == "failed" for outcome in ended.values()),
        seconds=sum(outcome.seconds for outcome in ended.values()),
        rate=len(recent) / span if span > 0 else None,
        work_left=seconds / cost * sum(plan.costs[i] for i in rows if i not in ended) if cost else None,
    )
