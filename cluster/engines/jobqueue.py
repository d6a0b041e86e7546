"""What the engines of batch systems share: a scheduler in this process, workers in jobs that dask-jobqueue submits.

`slurm`, `pbs` and `htcondor` say what the common fields are called there. A job that is lost is replaced; workers leave
before the walltime, a few at a time, and their jobs are replaced too. The driver may itself run inside a job.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import shutil
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import dask
from dask_jobqueue.core import Job, JobQueueCluster
from distributed.security import Security

from cluster.config import ClusterConfig, parse_walltime
from cluster.engines.base import Completion
from cluster.engines.distributed import DistributedEngine
from cluster.engines.remote import variables
from cluster.engines.security import LOOPBACK, dashboard_address, security
from cluster.engines.submission import Submissions, persistent
from cluster.errors import ConfigError, WorkersLost

log = logging.getLogger(__name__)

CHECKED_EVERY = "2s"
"""How often the number of jobs is held against the number wanted."""
LOST = "5s"
"""After which the job of a worker that is gone is given up."""
SCHEDULER = "tcp://SCHEDULER:PORT"
"""Stands for the scheduler's address in a job script that is only shown."""
REFUSED_FOR = 30.0
"""Seconds for which a batch system may refuse all jobs before the run gives up."""
END_WITHIN = 30.0
"""Seconds that Dask may take to end a cluster, and then a batch system to cancel what is left."""
NOTICES = (60.0, 600.0, 3600.0)
"""Seconds without any worker after which that is said."""
#: Options that common fields speak of, which checks and other options go by, and those fields.
TAKEN = {
    "cores": "threads",
    "processes": "jobs",
    "memory": "memory",
    "walltime": "walltime",
    "queue": "queue",
    "account": "account",
    "project": "account",
    "interface": "interface",
    "local_directory": "scratch",
    "security": "tls",
    "n_workers": "workers",
}
#: Options of which a text would be taken letter by letter.
LISTS = {"worker_extra_args", "job_script_prologue", "job_extra_directives", "job_directives_skip"}
#: Options of the cluster's constructor that are not of its jobs.
_OF_THE_CLUSTER = ("scheduler_options", "shared_temp_directory", "silence_logs", "name", "loop")


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

    def __init__(self, config: ClusterConfig, *, preload: Sequence[str] = ()) -> None:
        self.submissions = Submissions()
        self._since = time.monotonic()
        self._notices = list(NOTICES)
        super().__init__(config, preload=preload)

    @classmethod
    def walltime(cls, config: ClusterConfig) -> str | None:
        """Time limit of a job, when it has one: where none is given, that of Dask's configuration, half an hour by default."""
        if config.walltime is not None:
            return config.walltime
        found = dask.config.get(f"jobqueue.{config.kind}.walltime", None)
        if found is None:
            return None
        try:
            parse_walltime(str(found))
        except ValueError as error:
            where = f"jobqueue.{config.kind}.walltime of Dask's configuration"
            raise ConfigError(f"cluster.walltime: missing, and {where} cannot be read: {error}") from error
        return str(found)

    def job_options(self) -> dict[str, Any]:
        """Arguments of a job: the common fields, those of the batch system, the user's own."""
        config = self.config
        assert config.memory_limit is not None
        for name, instead in TAKEN.items():
            if name in config.options:
                raise ConfigError(f"cluster.options.{name}: write cluster.{instead}, from which other things follow")
        n = config.workers_a_job
        for name in sorted(LISTS & config.options.keys()):
            if isinstance(config.options[name], str):
                raise ConfigError(
                    f"cluster.options.{name}: found the text {config.options[name]!r}, expected a list of lines, or a mapping"
                )
        extra = ["--no-dashboard", "--dashboard-address", LOOPBACK]
        walltime = self.walltime(config)
        if walltime is not None:
            mean, stagger = lifetime(walltime)
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
        self.job_script(config, preload=self.preload)  # names wrong options, before anything is looked for or started
        options = self.job_options()
        command = shlex.split(self.job_class.submit_command)[0]
        if shutil.which(command) is None:
            raise ConfigError(
                f"cluster.kind {config.kind!r} submits jobs with {command}, which is not found here; "
                "start the run on a machine from which jobs are submitted, or choose another cluster.kind"
            )
        address = dashboard_address(config.dashboard)
        options["scheduler_options"] = {
            "dashboard_address": address or LOOPBACK,
            "dashboard": address is not None,
            **options.get("scheduler_options", {}),
        }
        if credentials is not None:
            options.setdefault("shared_temp_directory", os.getcwd())
        options.setdefault("silence_logs", logging.CRITICAL)
        job = persistent(self.job_class, self.submissions)
        cluster = self.cluster_class(security=credentials, job_cls=job, **options)
        jobs = config.workers // config.workers_a_job
        # Unlike `scale`, this replaces jobs that end.
        self._adaptive = cluster.adapt(minimum_jobs=jobs, maximum_jobs=jobs, interval=CHECKED_EVERY)
        return cluster

    def lasting(self) -> dict[str, Any]:
        """How long Dask waits for a lost worker to come back, which that of a job hardly does, before it submits another."""
        return {**super().lasting(), "distributed.deploy.lost-worker-timeout": LOST}

    def wait(self, timeout: float) -> list[Completion]:
        """Tasks that ended since the last call."""
        self._look_after_jobs()
        return super().wait(timeout)

    def _look_after_jobs(self) -> None:
        """Say why no worker comes: the batch system takes no job, or jobs wait or end before their workers start."""
        jobs, now = self.submissions, time.monotonic()
        command = self.job_class.submit_command
        if not jobs.taken and jobs.first_refused is not None and now - jobs.first_refused > REFUSED_FOR:
            raise WorkersLost(f"{command} takes no job of this run: {jobs.answer}")
        if self._notices and now - self._since > self._notices[0] and self._client is not None:
            if self._client.scheduler_info(n_workers=-1)["workers"]:
                self._since = now
                return
            del self._notices[0]
            why = f"{command} answers: {jobs.answer}" if jobs.answer else "they wait, or end early: see their output"
            log.warning("no worker has come for %.0f s, %d jobs were submitted; %s", now - self._since, jobs.taken, why)

    def end_cluster(self, cluster: JobQueueCluster, *, now: bool) -> None:
        """End the jobs; none is submitted in the place of those that go."""
        self.submissions.ended = True
        if cluster.loop is not None:
            cluster.loop.add_callback(self._adaptive.stop)
        try:
            with contextlib.suppress(TimeoutError):
                cluster.close(timeout=END_WITHIN)
        finally:
            for line in self.submissions.cancel_left(END_WITHIN):
                log.warning("Dask left jobs behind, now: %s", line)

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
