"""Worker processes on this machine: `cluster.kind: local`."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import inspect
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing import resource_tracker
from typing import Any

from distributed import LocalCluster, Nanny, SpecCluster, Status, Worker
from distributed.core import Server
from distributed.diskutils import DIR_LOCK_EXT
from distributed.node import ServerNode
from distributed.system import MEMORY_LIMIT

from cluster.config import ClusterConfig
from cluster.engines.base import Completion
from cluster.engines.distributed import DistributedEngine
from cluster.engines.merged import merged
from cluster.engines.security import check_interface, dashboard_address, security
from cluster.errors import ConfigError

STARTS = 3
"""How often a cluster is started before it is given up."""
STARTED_IN = 90.0
"""Seconds that a worker has to start, the first time and whenever its nanny starts it again; one that hangs is ended."""
LOOKED_AFTER_EVERY = 2.0
"""Seconds between two looks at whether all nannies are there."""
LOST = "30 days"
"""After which a worker that has not come back is struck off."""


#: Options that common fields speak of, which checks and other options go by, and those fields.
TAKEN = {
    "n_workers": "workers",
    "workers": "workers",
    "threads_per_worker": "threads",
    "nthreads": "threads",
    "memory_limit": "memory",
    "interface": "interface",
    "host": "interface",
    "preload": "preload",
    "preload_argv": "preload",
    "local_directory": "scratch",
    "security": "tls",
    "protocol": "tls",
    "dashboard": "dashboard",
    "dashboard_address": "dashboard",
    "processes": "kind",
    "worker_class": "kind",
}
TAKES_OPTIONS = (LocalCluster, SpecCluster, Nanny, Worker, ServerNode, Server)
"""Classes whose arguments `options` may name."""
NOT_GIVEN = frozenset(("self", "kwargs", "loop", "asynchronous", "start", "scheduler", "worker"))
"""Arguments that Dask or the engine itself sets."""


class Engine(DistributedEngine):
    """A scheduler in this process, and workers that are its children: spawned, watched, and replaced when they die.

    Workers end by themselves when this process dies, however it does.
    """

    def __init__(self, config: ClusterConfig, *, preload: Sequence[str] = ()) -> None:
        # Python starts it with the first process that is spawned, and then lets SIGINT through in the thread that did so,
        # from which workers would have that.
        resource_tracker.ensure_running()
        self._nannies: list[Nanny] = []
        super().__init__(config, preload=preload)
        if self.memory_limit is None:
            self.memory_limit = int(MEMORY_LIMIT / config.workers)
        self._looked_at = time.monotonic()
        self._starting: dict[int, float] = {}
        self._replacing: concurrent.futures.Future[None] | None = None

    def make_cluster(self) -> LocalCluster:
        """Start scheduler and workers on the loopback."""
        address = dashboard_address(self.config.dashboard)
        credentials = security(self.config)
        check_options(self.config)
        scratch = self.config.scratch
        try:
            os.makedirs(scratch or ".", exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"cluster.scratch: cannot make {scratch} ({error.strerror}); name another folder"
            ) from error
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
            "worker_class": self._nanny_class(),
            **({"security": credentials, "protocol": "tls://"} if credentials is not None else {}),
            **({"interface": self.config.interface} if self.config.interface else {}),
        }
        return self._started(merged(options, self.config.options))

    def lasting(self) -> dict[str, Any]:
        """How long Dask waits for a lost worker to come back.

        A nanny whose worker is away when this is over, because it starts slowly or has died once more, would be closed and
        never replaced: nannies bring their workers back however long it takes.
        """
        return {**super().lasting(), "distributed.deploy.lost-worker-timeout": LOST}

    def _started(self, options: Mapping[str, Any]) -> LocalCluster:
        """A worker that dies or hangs while it starts takes the whole cluster with it: that one is started again."""
        for left in reversed(range(STARTS)):
            self._nannies.clear()
            hangs = threading.Timer(STARTED_IN, self._kill_workers)
            hangs.start()
            try:
                return LocalCluster(**options)
            except RuntimeError:
                if not left or self._closing:
                    raise
            finally:
                hangs.cancel()
        raise AssertionError

    def _nanny_class(self) -> type[Nanny]:
        """Nannies that this engine knows of before their workers are up, which is when Dask tells."""
        known, dashboard = self._nannies, bool(self.config.dashboard)

        class KnownNanny(Nanny):
            def __init__(self, *given: Any, **named: Any) -> None:
                # Dask gives a dashboard to each worker that serves its state; they need not import bokeh for none.
                super().__init__(*given, **{**named, "dashboard": dashboard})
                known[:] = [*(nanny for nanny in known if nanny.status != Status.closed), self]

        return KnownNanny

    def _kill_workers(self) -> None:
        for pid in [nanny.pid for nanny in self._nannies]:
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def await_start(self) -> None:
        """Tell of a start that has failed; workers go on coming up while the driver goes on."""
        if not self._starter.is_alive():
            self.client()

    def await_processes(self) -> None:
        """Wait until the processes of all workers are there, though not yet up.

        Dask leaves what it gives them in the environment of this process. It is taken back here, so that nothing that is
        imported while they start sees it.
        """
        while self._starter.is_alive():
            if sum(nanny.pid is not None for nanny in list(self._nannies)) >= self.config.workers:
                break
            self._starter.join(0.01)
        self.restore_environment()

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

    def close(self, *, now: bool = False) -> None:
        """End all workers; those that are just being started are not waited for when it is `now`."""
        self._closing = True
        while now and self._starter.is_alive():
            self._kill_workers()
            self._starter.join(0.05)
        super().close(now=now)

    def end_cluster(self, cluster: LocalCluster, *, now: bool) -> None:
        """End the workers at once: what lasts has been written when a unit ends, and to go politely takes them a second."""
        if self._replacing is not None:
            self._replacing.cancel()
        folders = []
        for nanny in list(cluster.workers.values()):
            pid = nanny.pid
            folders.append(nanny.worker_dir)
            nanny.status = Status.closing_gracefully  # so that it does not start the worker again
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        cluster.close(timeout=10)
        for folder in filter(None, folders):
            with contextlib.suppress(FileNotFoundError):  # beside the folder, which its nanny removes
                os.unlink(f"{folder}{DIR_LOCK_EXT}")


def check_options(config: ClusterConfig) -> None:
    """Refuse options that Dask does not take or that fields speak of, and what this machine does not have.

    Raises
    ------
    ConfigError
        With a line for each option.
    """
    # Dask hands what one class does not know on to the next, and a worker would only say so when it has come up.
    known = {name for kind in TAKES_OPTIONS for name in inspect.signature(kind.__init__).parameters} - NOT_GIVEN
    lines = [
        f"cluster.options.{name}: write cluster.{TAKEN[name]}, from which other things follow"
        if name in TAKEN
        else f"cluster.options.{name}: LocalCluster does not take it; take it out"
        for name in config.options
        if name in TAKEN or name not in known
    ]
    if lines:
        raise ConfigError("\n".join(lines))
    check_interface(config.interface)


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
