"""How far a run is, read from its workspace: works while it runs, after it, and from another machine."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True)
class RunStatus:
    """How far a run is."""

    stages: dict[str, StageStatus]
    """By stage, in the order of the plan; empty when there is no plan."""
    running: Holder | None
    """The driver at work, None when there is none."""
    reasons: dict[str, str]
    """Why units were set aside or failed, by slot."""

    @property
    def is_complete(self) -> bool:
        """True when there is a plan and nothing of it is left."""
        return bool(self.stages) and all(stage.left == 0 for stage in self.stages.values())


def status(workspace: Workspace | str) -> RunStatus:
    """How far the last run of a workspace is.

    Units count by their effective keys, as the next run would see them: work of another configuration does not count.
    """
    workspace = workspace if isinstance(workspace, Workspace) else Workspace(workspace)
    data = workspace.load_plan()
    if data is None:
        return RunStatus({}, workspace.lock.holder(), {})
    plan = Plan.from_bytes(data)
    found, failures = workspace.markers(), workspace.failures()

    def valid(slot: str, key: str) -> Outcome | None:
        for records in (found, failures):
            if slot in records and records[slot].key == key:
                return records[slot]
        return None

    settlement = Settlement(plan, valid)
    settlement.start()
    table: dict[str, list[Outcome | None]] = {}
    for index, outcome in enumerate(settlement.outcomes):
        table.setdefault(plan.stage(index), []).append(outcome)
    reasons = {
        slot: o.reason for slot, o in zip(plan.slots, settlement.outcomes, strict=True) if o is not None and o.reason
    }
    return RunStatus({stage: _count(rows) for stage, rows in table.items()}, workspace.lock.holder(), reasons)


def _count(rows: list[Outcome | None]) -> StageStatus:
    ended = [row for row in rows if row is not None]
    return StageStatus(
        planned=len(rows),
        done=sum(row.is_done for row in ended),
        left=len(rows) - len(ended),
        set_aside=sum(row.status == "set_aside" for row in ended),
        failed=sum(row.status == "failed" for row in ended),
        seconds=sum(row.seconds for row in ended),
    )
