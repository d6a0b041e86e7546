"""Workers in HTCondor jobs: `cluster.kind: htcondor`."""

from __future__ import annotations

from typing import Any

from dask_jobqueue.htcondor import HTCondorCluster, HTCondorJob

from cluster.config import ClusterConfig, parse_walltime
from cluster.engines.jobqueue import JobQueueEngine

DISK = "1 GB"
"""Disk that a job asks for, unless `options` says another."""


class Engine(JobQueueEngine):
    """Jobs by `condor_submit`; `options` are those of `dask_jobqueue.HTCondorCluster`. HTCondor has no queues."""

    cluster_class = HTCondorCluster
    job_class = HTCondorJob

    @classmethod
    def translate(cls, config: ClusterConfig) -> dict[str, Any]:
        """Account and time limit, as ``accounting_group`` and ``allowed_job_duration``."""
        directives: dict[str, Any] = {}
        if config.account is not None:
            directives["accounting_group"] = config.account
        if config.walltime is not None:
            directives["allowed_job_duration"] = parse_walltime(config.walltime)
        return {"disk": DISK, "job_extra_directives": directives}


job_script = Engine.job_script
