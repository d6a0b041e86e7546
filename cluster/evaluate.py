"""Joint likelihoods: a function of one vector, summed over shards of the data that stay where they are.

Each worker keeps what it read of its shards between calls (the function's own cache does that), only the vector goes
out and only a value and a gradient a shard come back. Sums are exact (`math.fsum`), so neither the number of workers
nor the order in which they answer changes a bit of the result.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cluster.config import ClusterConfig
from cluster.engines.base import Engine, open_engine
from cluster.errors import ClusterError, WorkersLost
from cluster.worker import describe, resolve

TRIES = 4
"""How often shards are sent out whose worker dies."""


class Evaluator:
    """A sum over shards, to be called with one vector after another, as a minimiser does.

    Parameters
    ----------
    function : str
        What to call on each shard, as ``package.module:name``: ``function(shard, vector)`` returns the value and its
        gradient, a sequence of the vector's length.
    shards : sequence
        What identifies the data of each term: small values, such as paths.
    config : ClusterConfig, optional
        The cluster to open; in this process by default.
    engine : Engine, optional
        One that is open already; it is left open.

    Attributes
    ----------
    count : int
        Calls so far.
    """

    def __init__(
        self,
        function: str,
        shards: Sequence[Any],
        *,
        config: ClusterConfig | None = None,
        engine: Engine | None = None,
    ) -> None:
        self.function = function
        self.shards = list(shards)
        self.count = 0
        self._owned = engine is None
        self._engine = engine if engine is not None else open_engine(config or ClusterConfig(kind="none"))
        tasks = max(1, min(len(self.shards), self._engine.n_workers * self._engine.threads))
        # Shards go to the same worker at every call: it has them in memory.
        self._groups = [range(first, len(self.shards), tasks) for first in range(tasks)] if self.shards else []
        self._names = (f"evaluate-{id(self):x}-{n}" for n in itertools.count())

    def __call__(self, vector: Sequence[float] | NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Value and gradient of the sum at `vector`.

        Raises
        ------
        ClusterError
            When the function raises, or the workers of a shard keep dying.
        """
        point = np.asarray(vector, dtype=np.float64)
        self.count += 1
        values: list[float] = [0.0] * len(self.shards)
        gradients = np.zeros((len(self.shards), point.size))
        waiting: dict[str, tuple[int, int]] = {}
        for group in range(len(self._groups)):
            self._send(waiting, group, point, 1)
        while waiting:
            for ended in self._engine.wait(0.5):
                if ended.tag not in waiting:  # left from a call that was interrupted
                    continue
                group, tries = waiting.pop(ended.tag)
                if ended.lost:
                    if tries == TRIES:
                        raise WorkersLost(
                            f"workers keep dying on shard {self.shards[self._groups[group][0]]!r} or near"
                        )
                    self._send(waiting, group, point, tries + 1)
                    continue
                if ended.error is not None:
                    raise ClusterError(f"{self.function} failed: {describe(ended.error)}") from ended.error
                for index, (value, gradient) in zip(self._groups[group], ended.value, strict=True):
                    values[index] = value
                    gradients[index] = gradient
        total = np.array([math.fsum(column) for column in gradients.T], dtype=np.float64)
        return math.fsum(values), total

    def _send(self, waiting: dict[str, tuple[int, int]], group: int, point: NDArray[np.float64], tries: int) -> None:
        tag = next(self._names)
        waiting[tag] = (group, tries)
        shards = [self.shards[index] for index in self._groups[group]]
        self._engine.submit(tag, evaluate_shards, self.function, shards, point, worker=group)

    def close(self) -> None:
        """End the cluster, if this object opened it."""
        if self._owned:
            self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def evaluate(
    function: str,
    shards: Sequence[Any],
    vector: Sequence[float] | NDArray[np.float64],
    *,
    config: ClusterConfig | None = None,
    engine: Engine | None = None,
) -> tuple[float, NDArray[np.float64]]:
    """Value and gradient of a sum over shards at one vector; see `Evaluator`."""
    with Evaluator(function, shards, config=config, engine=engine) as evaluator:
        return evaluator(vector)


def evaluate_shards(
    function: str, shards: Sequence[Any], vector: NDArray[np.float64]
) -> list[tuple[float, NDArray[np.float64]]]:
    """The terms of some shards, on a worker; one by one, so that grouping changes nothing."""
    term = resolve(function)
    rows = []
    for shard in shards:
        value, gradient = term(shard, vector.copy())
        rows.append((float(value), np.asarray(gradient, dtype=np.float64)))
    return rows
