"""How schedulers and workers that someone else starts are made to behave as a run needs it.

They are sent there by the client, before there are workers. Their environment must have this package.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dask
from dask.utils import parse_timedelta
from distributed import Nanny, Scheduler
from distributed.diagnostics.plugin import NannyPlugin, SchedulerPlugin


class DriversScheduler(SchedulerPlugin):
    """Gives a scheduler this run's patience, and ends it, with its workers, when the driver is gone.

    Parameters
    ----------
    allowed_failures : int
        How often a task may lose its worker.
    no_workers_timeout, worker_ttl : str
        How long tasks wait for a worker, and how long a worker may be silent.
    """

    name = "survey-scheduler"

    def __init__(self, *, allowed_failures: int, no_workers_timeout: str, worker_ttl: str) -> None:
        self.allowed_failures = int(allowed_failures)
        self.no_workers_timeout = parse_timedelta(no_workers_timeout)
        self.worker_ttl = parse_timedelta(worker_ttl)

    async def start(self, scheduler: Scheduler) -> None:
        """Set what the scheduler has read from its own configuration."""
        scheduler.allowed_failures = self.allowed_failures
        scheduler.no_workers_timeout = self.no_workers_timeout
        scheduler.worker_ttl = self.worker_ttl

    def remove_client(self, scheduler: Scheduler, client: str) -> None:
        """A driver that comes back has lost its tasks, so there is nothing to wait for."""
        if not any(name != "fire-and-forget" for name in scheduler.clients):
            scheduler.loop.add_callback(scheduler.close, reason="the driver is gone")


class WorkersAsAsked(NannyPlugin):
    """Gives worker processes their threads, settings and environment, before they start.

    Parameters
    ----------
    threads : int
        Tasks that a worker runs at the same time.
    settings : mapping
        Dask's settings, by their full names.
    environment : mapping
        Variables, set before anything is imported.
    """

    name = "survey-workers"

    def __init__(self, *, threads: int, settings: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        self.threads = threads
        self.settings = dict(settings)
        self.environment = dict(environment)

    def setup(self, nanny: Nanny) -> None:
        """Called when a nanny starts, before its worker does."""
        nanny.nthreads = self.threads
        nanny.pre_spawn_env.update(self.environment)
        nanny.env.update(self.environment)
        dask.config.set(self.settings, config=nanny.config)
