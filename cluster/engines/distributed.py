"""What all engines on `dask.distributed` share: tasks go through a client, ends come back through a queue.

An engine derives from `DistributedEngine` and says how its cluster is made and ended.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import logging
import os
import queue
import re
import signal
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

import dask
from distributed import Client, Future, KilledWorker
from distributed.gc import disable_gc_diagnosis
from distributed.scheduler import NoValidWorkerError

from cluster.compile_cache import VARIABLE, compile_cache
from cluster.config import ClusterConfig
from cluster.engines.base import Completion
from cluster.engines.remote import variable
from cluster.errors import ClusterError, ConfigError, WorkersLost

log = logging.getLogger(__name__)

_ICON = re.compile(r'<link rel="shortcut icon"[^>]*>')
"""The one thing that Dask's report would load from elsewhere."""
BATCHES_PER_THREAD = 4
"""Tasks submitted ahead for each thread: enough that none waits for the driver, few enough to adapt."""

MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(4 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(32 * 2**20)}
"""Up to what the C library of workers keeps memory to use it again. With Dask's setting every array of 128 kB is asked of the
system and given back, page by page: on a virtual machine that was a third of a worker's time."""

RECENT_MESSAGES = 10
"""Messages to each worker that the scheduler remembers."""


class DistributedEngine(ABC):
    """Tasks as futures of a `distributed` client."""

    patience = 120
    """Seconds without any worker after which a run gives up, unless the configuration says how many."""

    def __init__(self, config: ClusterConfig, *, preload: Sequence[str] = ()) -> None:
        self.config = config
        self.preload = tuple(preload)
        self.n_workers = config.workers
        self.threads = config.threads
        self.window = BATCHES_PER_THREAD * config.workers * config.threads
        self.memory_limit: int | None = config.memory_limit
        self.unit_timeout: float | None = config.unit_timeout
        self._client: Client | None = None
        self._cluster: Any = None
        self._failure: BaseException | None = None
        self._futures: dict[str, Future] = {}
        self._overgrown: set[str] = set()
        self._ended: queue.SimpleQueue[Completion] = queue.SimpleQueue()
        self._closing = False
        self._abandoned = False
        self._held = contextlib.ExitStack()
        self._drawing: threading.Thread | None = None
        self._names = (f"{uuid.uuid4().hex[:8]}-{n}" for n in itertools.count())
        self._environment = dict(os.environ)
        self._begun = time.time()
        self._starter = threading.Thread(target=self._start, name="cluster-start", daemon=True)
        self._starter.start()

    @abstractmethod
    def make_cluster(self) -> Any:
        """Start the cluster; called in a thread of its own, with the settings of `settings` in force."""

    @abstractmethod
    def end_cluster(self, cluster: Any, *, now: bool) -> None:
        """End the cluster; `now` does not wait for what workers are at."""

    def make_client(self, cluster: Any) -> Client:
        """Connect to the cluster; called after `make_cluster`, in the same thread."""
        return Client(cluster, set_as_default=False)

    def renew(self, client: Client) -> None:
        """Make sure that nothing of what was cancelled still runs."""
        client.restart(timeout=180)

    def settings(self) -> dict[str, Any]:
        """Dask's settings that scheduler and workers start with."""
        return {
            # A batch whose worker died comes back here at once, to be split: dask does not know its units.
            "distributed.scheduler.allowed-failures": 0,
            "distributed.scheduler.no-workers-timeout": f"{self.config.worker_timeout or self.patience}s",
            "distributed.scheduler.worker-ttl": "120s",
            "distributed.comm.timeouts.connect": "60s",
            # Workers hold no results worth spilling, and a paused worker never resumes when its memory is not dask's.
            "distributed.worker.memory.target": False,
            "distributed.worker.memory.spill": False,
            "distributed.worker.memory.pause": False,
            "distributed.worker.memory.terminate": 0.95,
            "distributed.worker.multiprocessing-method": "spawn",
            "distributed.worker.profile.enabled": False,
            "distributed.worker.preload": ["cluster.engines.preload"] if self.preload else [],
            "distributed.worker.preload-argv": [",".join(self.preload)] if self.preload else [],
            "distributed.nanny.pre-spawn-environ": self.environment(),
            "distributed.admin.tick.limit": "60s",
            **({"temporary-directory": self.config.scratch} if self.config.scratch else {}),
        }

    def lasting(self) -> dict[str, Any]:
        """Dask's settings that are read in this process for as long as the cluster runs."""
        # What was sent to each worker last, which a scheduler keeps for debugging: whole batches, so with all that is needed
        # to run them, and it grows with the run up to that length.
        return {"distributed.admin.low-level-log-length": RECENT_MESSAGES}

    def environment(self) -> Mapping[str, str]:
        """Environment of workers, set before they start so that libraries see it."""
        one = dict.fromkeys(
            (
                "OMP_NUM_THREADS",
                "OPENBLAS_NUM_THREADS",
                "MKL_NUM_THREADS",
                "VECLIB_MAXIMUM_THREADS",
                "NUMEXPR_NUM_THREADS",
                "NUMBA_NUM_THREADS",
            ),
            "1",
        )
        return {
            **one,
            "ZARR_ASYNC__CONCURRENCY": "4",
            "ZARR_THREADING__MAX_WORKERS": "2",
            **MALLOC,
            VARIABLE: compile_cache(),
        }

    def _start(self) -> None:
        # Ctrl-C is the driver's to handle. A process inherits what its parent thread blocks, so workers, which start
        # from threads below this one, never see it.
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._held.enter_context(dask.config.set(_not_the_users(self.lasting())))
            with self.in_force():
                self._cluster = self.make_cluster()
                self._client = self.make_client(self._cluster)
                # A scheduler here has Python call it at every collection, where a signal to the driver would be lost.
                disable_gc_diagnosis(force=True)
                if self.config.dashboard:
                    log.info("Dask's dashboard is at %s", self._cluster.dashboard_link)
                # What a nanny says when it ends a worker for its memory; otherwise that worker died like any other.
                self._client.subscribe_topic("worker-restart-memory", self._note_overgrown)
                self._client.get_task_stream(start=0, stop=0)  # from now on the scheduler keeps what tasks took
        except BaseException as failure:
            self._held.close()
            self._failure = failure

    @contextlib.contextmanager
    def in_force(self) -> Iterator[None]:
        """The settings, while schedulers and workers are made; without Dask's own log lines."""
        with dask.config.set(_not_the_users(self.settings())), _quiet():
            yield

    def await_start(self) -> None:
        """Wait until the cluster is up."""
        self.client()

    def client(self) -> Client:
        """The client, once the cluster is up.

        Raises
        ------
        ClusterError
            When it did not come up.
        """
        while self._starter.is_alive():  # in short steps, so that signals are seen
            self._starter.join(0.1)
        if self._failure is not None:
            if isinstance(self._failure, ClusterError):
                raise self._failure
            text = _said_by(self._failure)
            raise ConfigError(f"the cluster ({self.config.kind}) did not start: {text}") from self._failure
        assert self._client is not None
        return self._client

    def submit(
        self, tag: str, function: Callable[..., Any], *args: Any, priority: float = 0, worker: int | None = None
    ) -> None:
        """Hand over a task."""
        client = self.client()
        if self._abandoned:
            # What runs on from before would write over what comes now.
            self._abandoned = False
            self.renew(client)
        wish: dict[str, Any] = {}
        if worker is not None:
            addresses = sorted(client.scheduler_info(n_workers=-1)["workers"])
            if addresses:
                wish = {"workers": [addresses[worker % len(addresses)]], "allow_other_workers": True}
        if self._drawing is None and hasattr(self._cluster, "scheduler"):  # which will draw it here
            self._drawing = threading.Thread(target=_import_drawing, name="report-imports", daemon=True)
            self._drawing.start()
        name = f"{function.__name__}-{next(self._names)}"
        future = client.submit(function, *args, key=name, priority=priority, pure=False, retries=0, **wish)
        self._futures[tag] = future
        future.add_done_callback(lambda ended: self._done(tag, ended))

    def _done(self, tag: str, future: Future) -> None:
        """Runs in a thread of the client's."""
        if self._closing or self._futures.get(tag) is not future:
            return
        if future.status == "finished":
            try:
                self._ended.put(Completion(tag, future.result()))
            except Exception as error:
                self._ended.put(self._failed(tag, error))
        elif future.status == "error":
            raised = future.exception()
            self._ended.put(self._failed(tag, raised if isinstance(raised, Exception) else RuntimeError(repr(raised))))
        elif future.status == "lost":
            # Done, but its worker died or fell silent before it was asked for the result; the records have it.
            self._ended.put(Completion(tag, error=WorkersLost("a worker was lost with its results"), lost=True))
        else:
            self._ended.put(Completion(tag, error=WorkersLost("the cluster dropped a task: its scheduler is gone")))

    def _failed(self, tag: str, error: Exception) -> Completion:
        if isinstance(error, KilledWorker):
            return Completion(tag, error=error, lost=True, overgrown=error.last_worker.address in self._overgrown)
        if isinstance(error, NoValidWorkerError) or type(error).__name__ == "NoWorkerError":
            return Completion(tag, error=WorkersLost(f"no worker came in time: {' '.join(str(error).split())}"))
        return Completion(tag, error=error)

    def _note_overgrown(self, event: tuple[float, Mapping[str, Any]]) -> None:
        """Runs in a thread of the client's."""
        self._overgrown.add(event[1]["worker"])

    def wait(self, timeout: float) -> list[Completion]:
        """Tasks that ended since the last call."""
        ended: list[Completion] = []
        try:
            ended.append(self._ended.get(timeout=timeout))
            while True:
                ended.append(self._ended.get_nowait())
        except queue.Empty:
            pass
        for completion in ended:
            self._futures.pop(completion.tag, None)
            if isinstance(completion.error, WorkersLost) and not completion.lost:
                raise completion.error
        return ended

    def cancel(self) -> None:
        """Forget all tasks; workers are renewed before another is taken."""
        futures, self._futures = list(self._futures.values()), {}
        self._abandoned = self._abandoned or bool(futures)
        if futures and self._client is not None:
            with contextlib.suppress(Exception):
                self._client.cancel(futures, force=True)

    def performance_report(self) -> str | None:
        """Dask's performance report; None where the scheduler cannot draw it."""
        client = self._client
        if client is None or client.scheduler is None or client.status != "running":
            return None
        with contextlib.suppress(Exception), _quiet():  # the work is done: no report is no reason to fail
            page: str = client.sync(
                client.scheduler.performance_report,
                start=self._begun,
                last_count=0,
                code="",
                mode="inline",
                callback_timeout=60,
            )
            return _ICON.sub("", page)
        return None

    def close(self, *, now: bool = False) -> None:
        """End all workers."""
        self._closing = True
        self._starter.join()
        if self._drawing is not None and not now:
            self._drawing.join()
        self._futures.clear()
        client, self._client = self._client, None
        cluster, self._cluster = self._cluster, None
        with _quiet():
            if client is not None:
                with contextlib.suppress(Exception):
                    client.close(timeout=2)
            if cluster is not None:
                # Dask may stumble over a worker that is just being started. That must not hide why the run ends, nor
                # turn one that is complete into one that failed.
                with contextlib.suppress(Exception):
                    self.end_cluster(cluster, now=now)
        self._held.close()
        self.restore_environment()

    def restore_environment(self) -> None:
        """Take back what distributed has set in this process to hand it on to workers."""
        for name in self.environment():
            if name in self._environment:
                os.environ[name] = self._environment[name]
            else:
                os.environ.pop(name, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        self.close(now=error is not None)


def _import_drawing() -> None:
    """What the report will need, while the driver waits for workers anyway."""
    with contextlib.suppress(Exception):  # then there will be no report
        importlib.import_module("distributed.dashboard.components.scheduler")


def _said_by(failure: BaseException) -> str:
    """A line of an error and of the one at its root, which is often the one that says it."""
    root = failure
    while root.__cause__ is not None:
        root = root.__cause__
    return ": ".join(dict.fromkeys(" ".join(str(error).split()).rstrip(".") for error in (failure, root)))


def _not_the_users(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Dask's own variables go before our settings: DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL=10s and the like."""
    return {name: value for name, value in settings.items() if variable(name) not in os.environ}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Dask's own log lines speak of its insides; what matters comes back as events."""
    logger = logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
