"""Workers in SLURM jobs: `cluster.kind: slurm`."""

from __future__ import annotations

from typing import Any, ClassVar

from dask_jobqueue.slurm import SLURMCluster, SLURMJob

from cluster.config import ClusterConfig
from cluster.engines.jobqueue import JobQueueEngine
from cluster.engines.shell import ShellJob


class _Job(SLURMJob, ShellJob):
    """With what lands in a shell quoted."""


class Engine(JobQueueEngine):
    """Jobs by `sbatch`; `options` are those of `dask_jobqueue.SLURMCluster`."""

    cluster_class = SLURMCluster
    job_class = _Job
    queue_command = ("squeue", "--me", "--noheader", "--format=%A")
    directives: ClassVar = {
        r"(-t|--time[ =])": "walltime",
        r"--mem(-per-cpu)?[ =]": "memory",
        r"(-c|--cpus-per-task[ =])": "threads",
        r"(-p|--partition[ =])": "queue",
        r"(-A|--account[ =])": "account",
    }

    @classmethod
    def translate(cls, config: ClusterConfig) -> dict[str, Any]:
        """Partition, account and time limit, as ``-p``, ``-A`` and ``-t``."""
        return {"queue": config.queue, "account": config.account, "walltime": config.walltime}


job_script = Engine.job_script
