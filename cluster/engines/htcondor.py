"""Workers in HTCondor jobs: `cluster.kind: htcondor`."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, ClassVar

from dask_jobqueue.htcondor import HTCondorCluster, HTCondorJob

from cluster.config import ClusterConfig, parse_walltime
from cluster.engines.jobqueue import JobQueueEngine
from cluster.engines.shell import ShellJob

DISK = "1 GB"
"""Disk that a job asks for, unless `options` says another."""


class _Job(HTCondorJob, ShellJob):
    """Its shell lines are those of any script: encoded, since a submit file takes no newlines, and dollars for its own."""

    def __init__(self, *arguments: Any, job_script_prologue: Sequence[str] = (), **options: Any) -> None:
        super().__init__(*arguments, job_script_prologue=[], **options)  # which would be joined with semicolons
        script = "\n".join((*filter(None, job_script_prologue), self._command_template))
        # A backslash at the end of a line goes on in the next one, even of a comment.
        self._shown = "".join(f"#   {line}{' #' if line.endswith(chr(92)) else ''}\n" for line in script.split("\n"))
        encoded = base64.b64encode(script.encode()).decode()
        self._command_template = f'eval "`echo {encoded} | base64 -d`"'

    def job_script(self) -> str:
        """The submit file, with what it has encoded as a comment."""
        before, arguments, after = super().job_script().rpartition("\nArguments = ")
        return f"{before}\n# What /bin/sh runs, which Arguments has in base64:\n{self._shown}{arguments[1:]}{after}"


class Engine(JobQueueEngine):
    """Jobs by `condor_submit`; `options` are those of `dask_jobqueue.HTCondorCluster`. HTCondor has no queues."""

    cluster_class = HTCondorCluster
    job_class = _Job
    queue_command = ("condor_q", "-autoformat", "ClusterId")
    directives: ClassVar = {
        r"(?i)allowed_job_duration$": "walltime",
        r"(?i)request_?memory$": "memory",
        r"(?i)request_?cpus$": "threads",
        r"(?i)accounting_group$": "account",
    }

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
