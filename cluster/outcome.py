"""How a unit ended, and the table of how all of them did."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

Status = Literal["done", "skipped", "set_aside", "failed"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one unit ended."""

    status: Status
    """done: ran now; skipped: done by an earlier run; set_aside: its input is bad; failed: error or lost worker."""
    key: str
    """Effective key: the unit's own and how its dependencies ended."""
    returned: str = "null"
    """`result` as JSON: the driver of a large run holds a hundred thousand of them, and they are smallest as text."""
    reason: str = ""
    """Why it was set aside or failed, one line."""
    seconds: float = 0.0
    """Time that it took when it ran."""
    peak_memory: int = 0
    """Highest resident memory of its worker while it ran, bytes."""
    read: int = 0
    """Bytes that its worker read from files while it ran; 0 where the system does not count them."""
    written: int = 0
    """Bytes that its worker wrote to files while it ran, without its record."""
    started: float = 0.0
    """When it started, seconds since the epoch; 0 when unknown."""
    worker: str = ""
    """Where it ran, as host:pid."""
    fresh: bool = True
    """True when it ended in this run, False when an earlier run's record was found."""

    @property
    def result(self) -> dict[str, Any] | None:
        """What the function returned, as JSON gives it back; when set aside, what its exception had to say, or None."""
        result: dict[str, Any] | None = json.loads(self.returned)
        return result

    def as_fresh(self) -> Outcome:
        """The same, as ended in this run: its worker wrote the record and was lost before it could report."""
        return replace(self, status="done" if self.status == "skipped" else self.status, fresh=True)

    @property
    def is_done(self) -> bool:
        """True when its output is there: done now or by an earlier run."""
        return self.status in ("done", "skipped")


class Outcomes(dict[str, Outcome]):
    """Outcomes by slot, in the order of the plan.

    Attributes
    ----------
    history : dict
        Timings by stage, rates and peak memory, JSON-able, for the run's record (see `cluster.history`).
    """

    history: dict[str, Any]

    def __init__(self, *args: Any, history: dict[str, Any] | None = None) -> None:
        super().__init__(*args)
        self.history = history or {}

    def of_stage(self, stage: str) -> Iterator[tuple[str, Outcome]]:
        """Pairs (slot, outcome) of one stage, in the order of the plan."""
        prefix = stage + "/"
        return ((slot, outcome) for slot, outcome in self.items() if slot.startswith(prefix))

    def with_status(self, *statuses: Status) -> dict[str, Outcome]:
        """The outcomes that have one of these statuses."""
        return {slot: outcome for slot, outcome in self.items() if outcome.status in statuses}

    def tally(self) -> dict[str, dict[str, int]]:
        """How many units of each stage ended how, as ``{stage: {status: n}}``."""
        table: dict[str, Counter[str]] = {}
        for slot, outcome in self.items():
            table.setdefault(slot.partition("/")[0], Counter())[outcome.status] += 1
        return {stage: dict(counter) for stage, counter in table.items()}
