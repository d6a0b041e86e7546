"""What an engine is: it runs functions somewhere and says how each ended.

A new kind of cluster is one module here, named like the kind, with a class `Engine`; its constructor takes a
`ClusterConfig` and the modules that workers import at their start. Most derive from `distributed.DistributedEngine`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol, Self

from cluster.config import ClusterConfig, engine_module
from cluster.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Completion:
    """The end of one task."""

    tag: str
    """Its name, as given to `submit`."""
    value: Any = None
    """What the function returned."""
    error: Exception | None = None
    """What it raised."""
    lost: bool = False
    """True when its worker died; the task may or may not have begun."""
    overgrown: bool = False
    """True when its worker is known to have died because it took more memory than it may."""


class Engine(Protocol):
    """Runs functions on workers. A context manager: leaving it after an error stops workers at once."""

    n_workers: int
    """Workers wanted."""
    threads: int
    """Tasks that a worker runs at the same time."""
    window: int
    """Tasks that are worth having submitted at the same time."""
    memory_limit: int | None
    """Memory of a worker in bytes, None when it is not limited."""
    unit_timeout: float | None
    """Seconds after which a unit ends its worker; None when there is no limit, or no worker that could be ended."""

    def await_start(self) -> None:
        """Wait until the cluster has been started, or asked for its workers.

        Raises
        ------
        ClusterError
            When it cannot be.
        """

    def submit(
        self, tag: str, function: Callable[..., Any], *args: Any, priority: float = 0, worker: int | None = None
    ) -> None:
        """Hand over a task; `tag` is new. Higher priorities go first; `worker` is a wish, for warm caches."""

    def wait(self, timeout: float) -> list[Completion]:
        """Tasks that ended since the last call; waits for one at most `timeout` seconds.

        Raises
        ------
        WorkersLost
            When the cluster is gone, or no worker came in time.
        """

    def cancel(self) -> None:
        """Forget all tasks; none of them still runs when the next one starts."""

    def performance_report(self) -> str | None:
        """The engine's own report on all tasks so far, a page of HTML; None when it has none."""

    def close(self, *, now: bool = False) -> None:
        """End all workers; `now` does not wait for what they are at."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None: ...


#: The extra of this package that a kind needs.
EXTRAS = {
    "slurm": "slurm",
    "pbs": "pbs",
    "htcondor": "htcondor",
    "kubernetes": "kubernetes",
    "gateway": "gateway",
}


def open_engine(config: ClusterConfig, *, preload: Sequence[str] = ()) -> Engine:
    """The engine that a configuration asks for. Workers start in the background, while the caller goes on.

    Raises
    ------
    ConfigError
        When a package that the kind needs is not installed.
    """
    module = _module(config)
    return module.Engine(config, preload=tuple(dict.fromkeys((*config.preload, *preload))))


def job_script(config: ClusterConfig, *, preload: Sequence[str] = ()) -> str:
    """What an engine submits: a job script or a manifest.

    Raises
    ------
    ConfigError
        When the kind submits nothing, or a package that it needs is not installed.
    """
    module = _module(config)
    if not hasattr(module, "job_script"):
        raise ConfigError(
            f"cluster.kind {config.kind!r} submits nothing; job scripts are of batch systems and kubernetes"
        )
    return module.job_script(config, preload=tuple(dict.fromkeys((*config.preload, *preload))))


def check_engine(config: ClusterConfig) -> None:
    """Refuse what an engine would refuse as it starts and what can be told without starting it: packages, options.

    Raises
    ------
    ConfigError
        With a line for each.
    """
    module = _module(config)
    if hasattr(module, "job_script"):
        module.job_script(config)
    elif hasattr(module, "check_options"):
        module.check_options(config)


def _module(config: ClusterConfig) -> ModuleType:
    name = engine_module(config.kind)
    try:
        return importlib.import_module(name)
    except ImportError as missing:
        how = f": pip install 'gammasurvey[{EXTRAS[config.kind]}]'" if config.kind in EXTRAS else ""
        raise ConfigError(
            f"cluster.kind {config.kind!r} needs {missing.name}, which is not installed{how}"
        ) from missing
