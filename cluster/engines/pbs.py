"""Workers in PBS jobs: `cluster.kind: pbs`."""

from __future__ import annotations

from typing import Any

from dask_jobqueue.pbs import PBSCluster, PBSJob

from cluster.config import ClusterConfig, parse_walltime
from cluster.engines.jobqueue import JobQueueEngine


class Engine(JobQueueEngine):
    """Jobs by `qsub`; `options` are those of `dask_jobqueue.PBSCluster`."""

    cluster_class = PBSCluster
    job_class = PBSJob

    @classmethod
    def translate(cls, config: ClusterConfig) -> dict[str, Any]:
        """Queue, account and time limit, as ``-q``, ``-A`` and ``-l walltime``; PBS knows no days."""
        walltime = None
        if config.walltime is not None:
            minutes, seconds = divmod(parse_walltime(config.walltime), 60)
            walltime = f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"
        return {"queue": config.queue, "account": config.account, "walltime": walltime}


job_script = Engine.job_script
