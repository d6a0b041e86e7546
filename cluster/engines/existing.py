"""Workers of a scheduler that runs already: `cluster.kind: existing`.

The scheduler and its workers belong to someone else: their number, size and settings are theirs, they are never
restarted, and they are left running. They need this package, and must see the same files.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import os
import time
from collections.abc import Sequence
from typing import Any

from distributed import Client, Worker, WorkerPlugin

from cluster.config import ClusterConfig
from cluster.engines.distributed import BATCHES_PER_THREAD, DistributedEngine
from cluster.engines.security import security
from cluster.errors import ClusterError, ConfigError

CONNECT = 30
"""Seconds that the scheduler has to answer."""
TAKEN = frozenset(("address", "scheduler_file", "security", "timeout", "set_as_default", "asynchronous"))
"""Arguments of the client that follow from the fields."""
WAIT = 600
"""Seconds that batches of a run that was stopped have to end."""


class Engine(DistributedEngine):
    """A client of a scheduler that is given by its address or its file."""

    def __init__(self, config: ClusterConfig, *, preload: Sequence[str] = ()) -> None:
        super().__init__(config, preload=preload)
        workers = self.client().scheduler_info(n_workers=-1)["workers"].values()
        if workers:
            self.n_workers = len(workers)
            self.threads = max(worker["nthreads"] for worker in workers)
            self.window = BATCHES_PER_THREAD * sum(worker["nthreads"] for worker in workers)
            limits = [worker["memory_limit"] for worker in workers if worker.get("memory_limit")]
            self.memory_limit = min(limits, default=None)

    def make_cluster(self) -> None:
        """There is one."""

    def make_client(self, cluster: Any) -> Client:
        """Connect to the scheduler and have its workers import what is needed."""
        config = self.config
        check_options(config)
        if config.scheduler_file is not None:
            _await_file(config.scheduler_file)
            _check_encryption(config, "scheduler_file", _address_in(config.scheduler_file))
        credentials = security(config)
        given: dict[str, Any] = (
            {"address": config.address} if config.address else {"scheduler_file": config.scheduler_file}
        )
        try:
            client = _Client(**given, security=credentials, timeout=CONNECT, set_as_default=False, **config.options)
        except (OSError, TypeError, ValueError, RuntimeError) as error:
            if "keyword argument" in str(error):
                raise ConfigError(
                    f"cluster.options: Client does not take them: {' '.join(str(error).split())}"
                ) from error
            where = config.address or config.scheduler_file
            raise ConfigError(f"no scheduler answers at {where}: {' '.join(str(error).split())}") from error
        if self.preload:
            client.register_plugin(_Preload(self.preload), name="survey-preload")
        return client

    def end_cluster(self, cluster: Any, *, now: bool) -> None:
        """It goes on."""

    def cancel(self) -> None:
        """Forget all tasks, and wait for those that have begun: nothing else may write what they write."""
        keys = {str(future.key) for future in self._futures.values()}
        super().cancel()
        self._abandoned = False
        if keys and self._client is not None:
            self._await_end(self._client, keys)

    def _await_end(self, client: Client, keys: set[str]) -> None:
        limit = time.monotonic() + WAIT
        while any(client.run(_at_work, sorted(keys), on_error="ignore").values()):
            if time.monotonic() > limit:
                raise ClusterError(f"workers have not ended what they were at after {WAIT} s; see to them")
            time.sleep(0.2)


class _Client(Client):
    """A client that is closed when it cannot connect: otherwise Dask waits a minute for it at the end of the process."""

    def start(self, **options: Any) -> None:
        """Connect."""
        try:
            super().start(**options)
        except BaseException:
            with contextlib.suppress(Exception):
                self.close(timeout=1)
            self.status = "closed"
            raise


class _Preload(WorkerPlugin):
    """Imports modules on workers, on those that come later too."""

    name = "survey-preload"

    def __init__(self, modules: Sequence[str]) -> None:
        self.modules = tuple(modules)

    def setup(self, worker: Worker) -> None:
        """Import; a module that is missing is left to the unit that needs it."""
        for module in self.modules:
            try:
                importlib.import_module(module)
            except ImportError:
                continue


def check_options(config: ClusterConfig) -> None:
    """Refuse an address that does not go with `tls`, and options that are not for the user to give.

    Raises
    ------
    ConfigError
    """
    # With a scheduler's file, Dask would pass over what it does not know.
    known = inspect.signature(Client.__init__).parameters.keys() - {"self", "kwargs", "loop"}
    lines = [
        f"cluster.options.{name}: {'is set by the run itself' if name in TAKEN else 'Client does not take it'}; take it out"
        for name in sorted(config.options)
        if name in TAKEN or name not in known
    ]
    if lines:
        raise ConfigError("\n".join(lines))
    if config.address is not None:
        _check_encryption(config, "address", config.address)


def _check_encryption(config: ClusterConfig, field: str, address: str) -> None:
    if address.startswith("tls://") and not config.tls:
        raise ConfigError(
            f"cluster.{field}: the scheduler at {address} is encrypted; say cluster.tls: true, and name its files"
        )
    if address.startswith("tcp://") and config.tls:
        raise ConfigError(f"cluster.tls: found true, but the scheduler at {address} is not encrypted; take it out")


def _address_in(path: str) -> str:
    """The address in a scheduler's file; empty while it is only half written."""
    try:
        with open(path, encoding="utf-8") as file:
            return str(json.load(file)["address"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _await_file(path: str) -> None:
    """A scheduler that has just been started writes its file when it is up; Dask itself would wait for ever."""
    limit = time.monotonic() + CONNECT
    while not os.path.exists(path):
        if time.monotonic() > limit:
            raise ConfigError(
                f"cluster.scheduler_file: found no {path} in {CONNECT} s, expected the file that the scheduler writes "
                "(dask scheduler --scheduler-file); start the scheduler, or mend the path"
            )
        time.sleep(0.2)


def _at_work(keys: list[str], dask_worker: Worker) -> bool:
    return not set(keys).isdisjoint(dask_worker.active_keys)
