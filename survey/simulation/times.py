"""Good times: the intervals in which events are taken, and times drawn from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class GoodTimes:
    """Good time intervals.

    Parameters
    ----------
    start, stop : numpy.ndarray (g,)
        s since the reference of the observation, sorted, not overlapping.
    """

    start: Array
    stop: Array

    def __post_init__(self) -> None:
        if self.start.size == 0 or self.start.shape != self.stop.shape or np.any(self.stop <= self.start):
            raise ValueError(
                f"good times from {self.start.tolist()} to {self.stop.tolist()} s, expected intervals of some length"
            )

    @property
    def ontime(self) -> float:
        """Sum of the intervals, s."""
        return float((self.stop - self.start).sum())

    def draw(self, rng: np.random.Generator, count: int) -> Array:
        """`count` times spread evenly."""
        ends = np.cumsum(self.stop - self.start)
        elapsed = rng.random(count) * ends[-1]
        interval = np.minimum(np.searchsorted(ends, elapsed, side="right"), ends.size - 1)
        times = self.stop[interval] - (ends[interval] - elapsed)
        # intervals are half-open
        return np.clip(times, self.start[interval], np.nextafter(self.stop[interval], -np.inf))
