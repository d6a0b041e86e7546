"""How many units share a task: few at first, then as many as fill the target time by what was measured.

A task costs the scheduler milliseconds whatever it holds. Batches never change a result: units of a batch run one
after another, each with its own marker.
"""

from __future__ import annotations

from dataclasses import dataclass, field

TARGET = 4.0
"""Seconds of work in a task; dependents wait for the whole task, so not more than needed."""
SHORTEST = 0.25
"""Seconds of work below which a task is not cut to share out the last units."""
MOST = 512
"""Units in a task, at most."""
MEMORY = 0.9
"""Weight that past measurements keep when a unit is added."""


@dataclass
class _Rate:
    seconds: float = 0.0
    cost: float = 0.0


@dataclass
class Batcher:
    """Decides batch sizes from the seconds that units of a stage took so far."""

    slots: int
    """Units that can run at the same time."""
    _rates: dict[str, _Rate] = field(default_factory=dict)

    def measured(self, stage: str, cost: float, seconds: float) -> None:
        """Enter how long a unit took."""
        rate = self._rates.setdefault(stage, _Rate())
        rate.seconds = MEMORY * rate.seconds + seconds
        rate.cost = MEMORY * rate.cost + cost

    def seconds(self, stage: str, cost: float) -> float | None:
        """How long units of this total cost are expected to take; None before any was measured."""
        rate = self._rates.get(stage)
        return None if rate is None else cost * rate.seconds / rate.cost

    def budget(self, stage: str, ready: float) -> float:
        """Total cost that the next batch of a stage may have; its first unit may exceed it.

        Parameters
        ----------
        stage : str
            Name of the stage.
        ready : float
            Total cost of its units that are free to run.
        """
        rate = self._rates.get(stage)
        if rate is None:
            return 0.0  # one unit, to find out
        per_cost = max(rate.seconds / rate.cost, 1e-12)
        # The last units are shared out, so that no worker sits idle while another has a full batch of them.
        return min(TARGET / per_cost, max(SHORTEST / per_cost, ready / (2 * self.slots)))
