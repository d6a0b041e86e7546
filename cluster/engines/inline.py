"""Tasks run in this process, one after another: `cluster.kind: none`, for debugging and small work."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, Self

from cluster.config import ClusterConfig
from cluster.engines.base import Completion


class Engine:
    """No cluster: `submit` runs the task. A crash takes the driver with it."""

    def __init__(self, config: ClusterConfig, *, preload: Sequence[str] = ()) -> None:
        self.n_workers = 1
        self.threads = 1
        self.window = 1
        self.memory_limit: int | None = None
        self.unit_timeout: float | None = None
        self._ended: list[Completion] = []
        for module in preload:
            importlib.import_module(module)

    def await_start(self) -> None:
        """Nothing starts."""

    def submit(
        self, tag: str, function: Callable[..., Any], *args: Any, priority: float = 0, worker: int | None = None
    ) -> None:
        """Run a task."""
        try:
            self._ended.append(Completion(tag, function(*args)))
        except Exception as error:
            self._ended.append(Completion(tag, error=error))

    def wait(self, timeout: float) -> list[Completion]:
        """What has been run since the last call."""
        ended, self._ended = self._ended, []
        return ended

    def cancel(self) -> None:
        """Forget what has been run."""
        self._ended.clear()

    def performance_report(self) -> str | None:
        """Nothing: there is no scheduler."""
        return None

    def close(self, *, now: bool = False) -> None:
        """Nothing to end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        self.close()
