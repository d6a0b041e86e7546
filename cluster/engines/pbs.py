"""Workers in PBS jobs: `cluster.kind: pbs`."""

from __future__ import annotations

from typing import Any, ClassVar

from dask_jobqueue.pbs import PBSCluster, PBSJob

from cluster.config import ClusterConfig, parse_walltime
from cluster.engines.jobqueue import JobQueueEngine
from cluster.engines.shell import ShellJob


class _Job(PBSJob, ShellJob):
    """With what lands in a shell quoted."""


class Engine(JobQueueEngine):
    """Jobs by `qsub`; `options` are those of `dask_jobqueue.PBSCluster`."""

    cluster_class = PBSCluster
    job_class = _Job
    queue_command = ("qstat",)
    directives: ClassVar = {r"-l.*\bwalltime=": "walltime", r"-q": "queue", r"-A": "account"}

    @classmethod
    def translate(cls, config: ClusterConfig) -> dict[str, Any]:
        """Queue, account and time limit, as ``-q``, ``-A`` and ``-l walltime``; PBS knows no days."""
        walltime = None
        if config.walltime is not None:
            minutes, seconds = divmod(parse_walltime(config.walltime), 60)
            walltime = f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"
        return {"queue": config.queue, "account": config.account, "walltime": walltime}


job_script = Engine.job_script
