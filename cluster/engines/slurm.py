"""Workers in SLURM jobs: `cluster.kind: slurm`."""

from __future__ import annotations

from typing import Any

from dask_jobqueue.slurm import SLURMCluster, SLURMJob

from cluster.config import ClusterConfig
from cluster.engines.jobqueue import JobQueueEngine


class Engine(JobQueueEngine):
    """Jobs by `sbatch`; `options` are those of `dask_jobqueue.SLURMCluster`."""

    cluster_class = SLURMCluster
    job_class = SLURMJob

    @classmethod
    def translate(cls, config: ClusterConfig) -> dict[str, Any]:
        """Partition, account and time limit, as ``-p``, ``-A`` and ``-t``."""
        return {"queue": config.queue, "account": config.account, "walltime": config.walltime}


job_script = Engine.job_script
