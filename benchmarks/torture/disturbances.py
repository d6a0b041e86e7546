"""What can happen to a run, and what happens in which round."""

from __future__ import annotations

import random
import signal
from dataclasses import dataclass

FAILED, INTERRUPTED = 1, 130
FULL_DISK = "full disk"
LOCAL, JOBS = "local", "jobs"
"""Where the workers are: below the driver, or in jobs of their own, each below a nanny that is a process."""
MOST_HARMED = 2
"""Workers that come to harm during one start: a unit that brings down three counts as their murderer."""


@dataclass(frozen=True)
class Kind:
    """A way to disturb a run.

    Parameters
    ----------
    places : tuple of str
        Where workers have to be for it: `LOCAL` or `JOBS` or both.
    exits : tuple of int
        Exit statuses that the driver may have after it, if it ends by it.
    harms : int
        Workers that may be lost with the unit that they run.
    ends : bool
        Whether no driver is left after it.
    """

    places: tuple[str, ...] = (LOCAL,)
    exits: tuple[int, ...] = ()
    harms: int = 0
    ends: bool = False


KINDS = {
    "worker killed": Kind((LOCAL, JOBS), harms=1),
    "driver killed": Kind((LOCAL, JOBS), exits=(-signal.SIGKILL,), ends=True),
    FULL_DISK: Kind(exits=(FAILED,)),
    "nanny killed": Kind((JOBS,), harms=1),
    "worker stopped": Kind(harms=1),
    "all workers killed": Kind(harms=1),
    "worker stopped and continued": Kind((LOCAL, JOBS), harms=1),
    "everything killed": Kind(exits=(-signal.SIGKILL,), ends=True),
    "job suspended and continued": Kind((JOBS,), harms=1),
    "terminated": Kind(exits=(INTERRUPTED, -signal.SIGTERM), ends=True),
    "interrupted": Kind(exits=(INTERRUPTED, -signal.SIGINT), ends=True),
}
"""All of them, in the order in which they take turns."""


@dataclass(frozen=True)
class Disturbance:
    """Something that happens to a run.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    at : float
        Part of the units that are done when it happens; for a full disk, part of the room that the products need.
    delay : float
        Seconds to wait then.
    """

    kind: str
    at: float
    delay: float = 0.0

    def __str__(self) -> str:
        return f"{self.kind} at {self.at:.0%}"


@dataclass(frozen=True)
class RoundPlan:
    """What happens in a round, in this order, and where its workers are."""

    place: str
    disturbances: tuple[Disturbance, ...]

    def __str__(self) -> str:
        return f"{self.place}: {', '.join(map(str, self.disturbances))}"

    @property
    def disk(self) -> float | None:
        """Part of the room that the disk has at first; None when there is room."""
        return next((one.at for one in self.disturbances if one.kind == FULL_DISK), None)


FIRST_ROUNDS = (
    (
        LOCAL,
        (
            *(("worker stopped", 0.1), ("driver killed", 0.3), ("worker stopped and continued", 0.4)),
            *(("everything killed", 0.5), ("all workers killed", 0.6), ("worker killed", 0.75)),
        ),
    ),
    (LOCAL, ((FULL_DISK, 0.4), ("terminated", 0.5), ("interrupted", 0.7))),
    (
        JOBS,
        (
            *(("nanny killed", 0.1), ("driver killed", 0.3), ("worker stopped and continued", 0.4)),
            *(("job suspended and continued", 0.5), ("worker killed", 0.8)),
        ),
    ),
)
"""Between them they have all kinds; only the delays are random."""


def plan_of_round(number: int, seed: int) -> RoundPlan:
    """What happens in a round: all kinds in the first rounds, then they take turns with up to two others after them."""
    rng = random.Random(seed)
    if number < len(FIRST_ROUNDS):
        place, steps = FIRST_ROUNDS[number]
        return RoundPlan(place, tuple(Disturbance(kind, at, rng.uniform(0.0, 0.4)) for kind, at in steps))
    first = list(KINDS)[(number - len(FIRST_ROUNDS)) % len(KINDS)]
    place = rng.choice(KINDS[first].places)
    others = [name for name, kind in KINDS.items() if place in kind.places and name != FULL_DISK]
    kinds = [first, *rng.choices(others, k=rng.choice((0, 1, 2)))]
    while sum(KINDS[kind].harms for kind in kinds) > MOST_HARMED:
        kinds.pop()
    # Beyond all units are the driver's own last steps, in which it has no workers; nothing comes after them.
    last = {kind: 0.9 if KINDS[kind].harms or kind == FULL_DISK else 1.1 for kind in kinds}
    # With still less room on the disk the run is refused before it starts.
    least = {kind: 0.15 if kind == FULL_DISK else 0.05 for kind in kinds}
    steps = [Disturbance(kind, min(rng.uniform(least[kind], last[kind]), 1.0), rng.uniform(0.0, 0.4)) for kind in kinds]
    return RoundPlan(place, tuple(sorted(steps, key=lambda one: one.at == 1.0 and one.kind != FULL_DISK)))
