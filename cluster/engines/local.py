"""Worker processes on this machine: `cluster.kind: local`."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from multiprocessing import resource_tracker
from typing import Any

import psutil
from distributed import LocalCluster, Status
from distributed.system import MEMORY_LIMIT

from cluster.config import ClusterConfig
from cluster.engines.base import Completion
from cluster.engines.distributed import DistributedEngine, has_bokeh
from cluster.engines.security import dashboard_address, security
from cluster.errors import ConfigError

STARTS = 3
"""How often a cluster is started before it is given up."""
STARTED_IN = 90.0
"""Seconds that a worker has to start, the first time and whenever its nanny starts it again; one that hangs is ended."""
LOOKED_AFTER_EVERY = 2.0
"""Seconds between two looks at whether all nannies are there."""
LOST = "30 days"
"""After which a worker that has not come back is struck off."""


class Engine(DistributedEngine):
    """A scheduler in this process, and workers that are its children: spawned, watched, and replaced when they die.

    Workers end by themselves when this process dies, however it does.
    """

    def __init__(self, config: ClusterConfig, *, preload: Sequence[str] = ()) -> None:
        # Python starts it with the first process that is spawned, and then lets SIGINT through in the thread that did so,
        # from which workers would have that.
        resource_tracker.ensure_running()
        super().__init__(config, preload=preload)
        if self.memory_limit is None:
            self.memory_limit = int(MEMORY_LIMIT / config.workers)
        self._looked_at = time.monotonic()
        self._starting: dict[int, float] = {}
        self._replacing: concurrent.futures.Future[None] | None = None

    def make_cluster(self) -> LocalCluster:
        """Start scheduler and workers on the loopback."""
        dashboard = self.config.dashboard
        if dashboard and not has_bokeh():
            raise ConfigError("cluster.dashboard needs bokeh, which is not installed; install bokeh or turn it off")
        address = dashboard_address(dashboard)
        credentials = security(self.config)
        limit = self.config.memory_limit or int(MEMORY_LIMIT / self.config.workers)
        self._held.enter_context(_nameless_main())
        options = {
            "n_workers": self.config.workers,
            "threads_per_worker": self.config.threads,
            "memory_limit": limit,
            "dashboard_address": address,
            "silence_logs": logging.CRITICAL,
            # Without a dashboard the scheduler still serves its state: at a free port, not at one that others fight for.
            "scheduler_kwargs": {} if address else {"dashboard_address": "127.0.0.1:0"},
            # Workers serve their state too; nobody but this machine need see it.
            "worker_dashboard_address": "127.0.0.1:0",
            **({"security": credentials, "protocol": "tls://"} if credentials is not None else {}),
            **({"interface": self.config.interface} if self.config.interface else {}),
        }
        return self._started({**options, **self.config.options})

    def lasting(self) -> dict[str, Any]:
        """How long Dask waits for a lost worker to come back.

        A nanny whose worker is away when this is over, because it starts slowly or has died once more, would be closed and
        never replaced: nannies bring their workers back however long it takes.
        """
        return {**super().lasting(), "distributed.deploy.lost-worker-timeout": LOST}

    def _started(self, options: Mapping[str, Any]) -> LocalCluster:
        """A worker that dies or hangs while it starts takes the whole cluster with it: that one is started again."""
        for left in reversed(range(STARTS)):
            known = {child.pid for child in psutil.Process().children()}
            hangs = threading.Timer(STARTED_IN, _end_workers_but, (known,))
            hangs.start()
            try:
                return LocalCluster(**options)
            except RuntimeError:
                if not left:
                    raise
            finally:
                hangs.cancel()
        raise AssertionError

    def wait(self, timeout: float) -> list[Completion]:
        """Tasks that ended since the last call."""
        self._look_after_nannies()
        return super().wait(timeout)

    def _look_after_nannies(self) -> None:
        """A nanny starts its worker again; but one whose worker dies while it starts gives up, and Dask makes no other."""
        now, cluster = time.monotonic(), self._cluster
        if cluster is None or now - self._looked_at < LOOKED_AFTER_EVERY:
            return
        self._looked_at = now
        if self._replacing is not None and not self._replacing.done():
            return
        self._end_hanging(cluster, now)
        gone = [name for name in cluster.worker_spec if _has_ended(cluster.workers.get(name))]
        if gone:
            self._replacing = asyncio.run_coroutine_threadsafe(self._replace(gone), cluster.loop.asyncio_loop)

    def _end_hanging(self, cluster: LocalCluster, now: float) -> None:
        """End workers that their nannies started again and that do not come; a nanny waits for ever."""
        starting = {
            nanny.pid
            for nanny in list(cluster.workers.values())
            if nanny.pid is not None and nanny.process.status == Status.starting
        }
        self._starting = {pid: self._starting.get(pid, now) for pid in starting}
        for pid, since in self._starting.items():
            if now - since > STARTED_IN:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    async def _replace(self, names: Sequence[Any]) -> None:
        with self.in_force(), contextlib.suppress(RuntimeError, OSError):  # the next look sees whether it went well
            for name in names:
                self._cluster.workers.pop(name, None)
            await self._cluster._correct_state()

    def end_cluster(self, cluster: LocalCluster, *, now: bool) -> None:
        """End the workers: politely, or at once."""
        if self._replacing is not None:
            self._replacing.cancel()
        if now:
            for nanny in list(cluster.workers.values()):
                pid = nanny.pid
                nanny.status = Status.closing_gracefully  # so that it does not start the worker again
                if pid is not None:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
        cluster.close(timeout=10)


def _end_workers_but(known: Collection[int]) -> None:
    """End the workers that this process has started, but for some of its children."""
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.pid not in known and any("spawn_main" in word for word in child.cmdline()):
                child.kill()


def _has_ended(nanny: Any) -> bool:
    return nanny is None or nanny.status in (Status.closed, Status.failed)


@contextlib.contextmanager
def _nameless_main() -> Iterator[None]:
    """Workers need nothing of the script that called us.

    A spawned process imports its parent's main module again: slow for a big one, and an endless loop for a script
    without the ``if __name__ == "__main__"`` guard. Without these two names there is nothing to import.
    """
    main = sys.modules["__main__"]
    kept = {name: getattr(main, name) for name in ("__file__", "__spec__") if hasattr(main, name)}
    if "__file__" in kept:
        del main.__file__
    main.__spec__ = None
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(main, name, value)
