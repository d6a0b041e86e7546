"""What happens in a run, for those who listen: progress bars, log files, tests.

A listener is any callable that takes one event. It is called in the driver, between other things: it must be quick.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cluster.outcome import Outcome


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The plan is known; nothing has run."""

    stages: Mapping[str, int]
    """Units by stage, in the order of the plan."""


@dataclass(frozen=True, slots=True)
class BatchSubmitted:
    """Units were handed to the cluster."""

    stage: str
    """Their stage."""
    slots: tuple[str, ...]
    """Their slots."""


@dataclass(frozen=True, slots=True)
class UnitEnded:
    """A unit ended, now or in an earlier run."""

    slot: str
    """Its slot."""
    outcome: Outcome
    """How it ended."""


@dataclass(frozen=True, slots=True)
class UnitRetried:
    """A unit raised and will be tried again."""

    slot: str
    """Its slot."""
    reason: str
    """The exception, one line."""


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """A worker died with a batch."""

    slot: str
    """The unit that it was running; empty when it had not begun."""
    unfinished: int
    """Units of the batch that go back."""
    overgrown: bool = False
    """Whether it is known to have taken more memory than it may."""


@dataclass(frozen=True, slots=True)
class StageEnded:
    """All units of a stage have ended."""

    stage: str
    """Its name."""


@dataclass(frozen=True, slots=True)
class RunEnded:
    """Nothing is left to do, or the run was stopped."""

    complete: bool
    """False when it was stopped by an error or the user."""


Event = RunStarted | BatchSubmitted | UnitEnded | UnitRetried | WorkerLost | StageEnded | RunEnded
Listener = Callable[[Event], None]
