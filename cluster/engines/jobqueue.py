"""What the engines of batch systems share: a scheduler in this process, workers in jobs that dask-jobqueue submits.

`slurm`, `pbs` and `htcondor` say what the common fields are called there. A job that is lost is replaced; workers leave
before the walltime, a few at a time, and their jobs are replaced too. The driver may itself run inside a job.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from dask_jobqueue.core import Job, JobQueueCluster
from distributed.security import Security

from cluster.config import ClusterConfig, parse_walltime
from cluster.engines.distributed import DistributedEngine
from cluster.engines.remote import variables
from cluster.engines.security import LOOPBACK, dashboard_address, security
from cluster.errors import ConfigError

CHECKED_EVERY = "2s"
"""How often the number of jobs is held against the number wanted."""
LOST = "5s"
"""After which the job of a worker that is gone is given up."""
SCHEDULER = "tcp://SCHEDULER:PORT"
"""Stands for the scheduler's address in a job script that is only shown."""
#: Options of the cluster's constructor that are not of its jobs.
_OF_THE_CLUSTER = ("scheduler_options", "shared_temp_directory", "silence_logs", "name", "n_workers", "loop")


def lifetime(walltime: str) -> tuple[int, int]:
    """Mean lifetime of a worker and how far it scatters, in seconds, so that the last leaves before the walltime."""
    limit = parse_walltime(walltime)
    margin = min(max(60, limit // 20), 600, max(1, limit // 4))
    stagger = margin // 2
    return limit - margin - stagger, stagger


class JobQueueEngine(DistributedEngine):
    """Workers in batch jobs."""

    patience = 86400
    cluster_class: ClassVar[type[JobQueueCluster]]
    job_class: ClassVar[type[Job]]

    @classmethod
    @abstractmethod
    def translate(cls, config: ClusterConfig) -> dict[str, Any]:
        """The fields whose names are the batch system's own, as arguments of its job."""

    def job_options(self) -> dict[str, Any]:
        """Arguments of a job: the common fields, those of the batch system, the user's own."""
        config = self.config
        assert config.memory_limit is not None
        n = config.workers_a_job
        extra = ["--no-dashboard", "--dashboard-address", LOOPBACK]
        if config.walltime is not None:
            mean, stagger = lifetime(config.walltime)
            extra += ["--lifetime", f"{mean}s", "--lifetime-stagger", f"{stagger}s"]
        told = variables(self.settings(), self.environment())
        ours = {
            "cores": config.threads * n,
            "processes": n,
            "memory": f"{config.memory_limit * n} B",
            "interface": config.interface,
            "local_directory": config.scratch,
            "worker_extra_args": extra,
            "job_script_prologue": [
                *(f"export {name}={shlex.quote(value)}" for name, value in told.items()),
                *config.setup,
            ],
            "job_name": "survey",
            **self.translate(config),
        }
        return merged({name: value for name, value in ours.items() if value is not None}, config.options)

    def make_cluster(self) -> JobQueueCluster:
        """Start the scheduler here, and ask for the jobs."""
        config = self.config
        credentials = security(config)
        options = self.job_options()
        address = dashboard_address(config.dashboard)
        options["scheduler_options"] = {
            "dashboard_address": address or LOOPBACK,
            "dashboard": address is not None,
            **options.get("scheduler_options", {}),
        }
        if credentials is not None:
            options.setdefault("shared_temp_directory", os.getcwd())
        options.setdefault("silence_logs", logging.CRITICAL)
        cluster = self.cluster_class(security=credentials, **options)
        jobs = config.workers // config.workers_a_job
        # Unlike `scale`, this replaces jobs that end.
        cluster.adapt(minimum_jobs=jobs, maximum_jobs=jobs, interval=CHECKED_EVERY)
        return cluster

    def lasting(self) -> dict[str, Any]:
        """How long Dask waits for a lost worker to come back, which that of a job hardly does, before it submits another."""
        return {"distributed.deploy.lost-worker-timeout": LOST}

    def end_cluster(self, cluster: JobQueueCluster, *, now: bool) -> None:
        """End the jobs."""
        with contextlib.suppress(TimeoutError):
            cluster.close(timeout=30)

    @classmethod
    def job_script(cls, config: ClusterConfig, *, preload: Sequence[str] = ()) -> str:
        """What would be submitted for each job; nothing is started."""
        shown = cls.__new__(cls)
        shown.config, shown.preload = config, tuple(preload)
        options = shown.job_options()
        for name in _OF_THE_CLUSTER:
            options.pop(name, None)
        scheduler = SCHEDULER
        if config.tls:
            scheduler = scheduler.replace("tcp", "tls")
            files = (config.tls_ca or "CA", config.tls_cert or "CERTIFICATE", config.tls_key or "KEY")
            options["protocol"] = "tls://"
            options["security"] = Security(
                tls_ca_file=files[0], tls_worker_cert=files[1], tls_worker_key=files[2], require_encryption=True
            )
        try:
            return cls.job_class(scheduler, name="NAME", **options).job_script()
        except (TypeError, ValueError) as error:
            text = " ".join(str(error).split())
            raise ConfigError(f"cluster.options: {cls.cluster_class.__name__} does not take them: {text}") from error


def merged(ours: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The engine's arguments with the user's: lists and mappings are added to, other values replaced."""
    found = dict(ours)
    for name, value in options.items():
        mine = found.get(name)
        if isinstance(mine, list) and isinstance(value, list | tuple):
            found[name] = [*mine, *value]
        elif isinstance(mine, dict) and isinstance(value, Mapping):
            found[name] = {**mine, **value}
        else:
            found[name] = value
    return found
