"""What the engines of batch systems share: a scheduler in this process, workers in jobs that dask-jobqueue submits.

`slurm`, `pbs` and `htcondor` say what the common fields are called there. A job that is lost is replaced; workers leave
before the walltime, a few at a time, and their jobs are replaced too. The driver may itself run inside a job.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
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
from cluster.engines.job_options import OF_THE_CLUSTER, section, wrong_options
from cluster.engines.merged import merged
from cluster.engines.remote import variables
from cluster.engines.security import LOOPBACK, check_interface, dashboard_address, security
from cluster.engines.submission import Persistent, Submissions, in_queue, persistent
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
LOOKED_AFTER_EVERY = 30.0
"""Seconds between two looks at whether jobs are still there whose workers have not come; a new job has as long to be listed."""
FRUITLESS = 4
"""Times in a row that jobs are found to have ended before their workers came, and no worker is there, before a run gives up."""
LEAST_WALLTIME = 10
"""Seconds that a job takes at least, most of them to start its worker."""


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
    queue_command: ClassVar[tuple[str, ...]]
    """Lists the jobs that wait or run, a line each that begins with the number."""

    directives: ClassVar[Mapping[str, str]]
    """Patterns of directives that say what a field says, and that field."""

    @classmethod
    @abstractmethod
    def translate(cls, config: ClusterConfig) -> dict[str, Any]:
        """The fields whose names are the batch system's own, as arguments of its job."""

    def __init__(self, config: ClusterConfig, *, preload: Sequence[str] = ()) -> None:
        self.submissions = Submissions()
        self._since = time.monotonic()
        self._notices = list(NOTICES)
        self._looked_at = time.monotonic()
        self._replacing: concurrent.futures.Future[None] | None = None
        self._fruitless = 0
        super().__init__(config, preload=preload)

    @classmethod
    def walltime(cls, config: ClusterConfig) -> str | None:
        """Time limit of a job, when it has one: where none is given, that of Dask's configuration, half an hour by default."""
        where, found = "", config.walltime
        if found is None:
            name = f"{section(config)}.walltime"
            where, found = f"missing, and {name} of Dask's configuration is no use: ", dask.config.get(name, None)
        if found is None:
            return None
        try:
            seconds = parse_walltime(str(found))
        except ValueError as error:
            raise ConfigError(f"cluster.walltime: {where}{error}") from error
        if seconds < LEAST_WALLTIME:
            raise ConfigError(
                f"cluster.walltime: {where}found {str(found)!r}, in which no worker can start and work; write what a job may "
                "take, for example '12:00:00'"
            )
        return str(found)

    def job_options(self) -> dict[str, Any]:
        """Arguments of a job: the common fields, those of the batch system, the user's own."""
        config = self.config
        assert config.memory_limit is not None
        wrong = list(wrong_options(config, self.job_class, self.directives))
        walltime = None
        try:
            walltime = self.walltime(config)
        except ConfigError as error:
            wrong.append(str(error))
        if wrong:
            raise ConfigError("\n".join(wrong))
        n = config.workers_a_job
        extra = ["--no-dashboard", "--dashboard-address", LOOPBACK]
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
        given = options.get("scheduler_options", {})
        check_interface(given.get("interface", config.interface))
        options["scheduler_options"] = {
            "dashboard_address": address or LOOPBACK,
            "dashboard": address is not None,
            **given,
        }
        if credentials is not None:
            options.setdefault("shared_temp_directory", os.getcwd())
        self._make_log_folder()
        options.setdefault("silence_logs", logging.CRITICAL)
        job = persistent(self.job_class, self.submissions)
        cluster = self.cluster_class(security=credentials, job_cls=job, **options)
        jobs = config.workers // config.workers_a_job
        # Unlike `scale`, this replaces jobs that end.
        self._adaptive = cluster.adapt(minimum_jobs=jobs, maximum_jobs=jobs, interval=CHECKED_EVERY)
        return cluster

    def _make_log_folder(self) -> None:
        elsewhere = dask.config.get(f"{section(self.config)}.log-directory", None)
        folder = self.config.options.get("log_directory") or elsewhere
        try:
            if folder is not None:
                os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"cluster.options.log_directory: {folder} cannot be made: {error.strerror}; name another folder"
            ) from error

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
            why = f"{command} answers: {jobs.answer}" if jobs.answer else "they wait, or are just starting"
            log.warning("no worker has come for %.0f s, %d jobs were submitted; %s", now - self._since, jobs.taken, why)

        self._replace_ended_jobs(now)

    def _replace_ended_jobs(self, now: float) -> None:
        """Dask submits a job in the place of a worker that is gone, but none for one that ended before its worker came."""
        cluster = self._cluster
        if cluster is None or now - self._looked_at < LOOKED_AFTER_EVERY:
            return
        if self._replacing is not None and not self._replacing.done():
            return
        self._looked_at = now
        if self._fruitless >= FRUITLESS and not cluster.observed:
            raise WorkersLost(
                f"jobs end before their workers come, {self.submissions.taken} so far, and no worker is there; see their output, "
                "which may lie in the folder from which the run was started (cluster.options.log_directory moves it), and "
                "try cluster.setup on such a machine"
            )
        self._replacing = asyncio.run_coroutine_threadsafe(self._replace(cluster), cluster.loop.asyncio_loop)

    async def _replace(self, cluster: JobQueueCluster) -> None:
        come = cluster.observed
        if come:
            self._fruitless = 0
        awaited = {
            name: job
            for name, job in cluster.workers.items()
            if come.isdisjoint(_worker_names(cluster, name))
            and _taken_before(job, time.monotonic() - LOOKED_AFTER_EVERY)
        }
        listed = await asyncio.to_thread(in_queue, self.queue_command) if awaited else None
        if listed is None:
            return
        ended = {name: job for name, job in awaited.items() if str(job.job_id).partition(".")[0] not in listed}
        if not ended:
            return
        self._fruitless += not come
        numbers = ", ".join(str(job.job_id) for job in list(ended.values())[:5])
        log.warning(
            "%d jobs ended before their workers came (%s%s) and are submitted again; see their output",
            len(ended), numbers, ", ..." if len(ended) > 5 else "",
        )  # fmt: skip
        with self.in_force(), contextlib.suppress(RuntimeError, OSError):  # the next look sees whether it went well
            for name, job in ended.items():
                del cluster.workers[name]
                await job.give_up()
            await cluster._correct_state()

    def end_cluster(self, cluster: JobQueueCluster, *, now: bool) -> None:
        """End the jobs; none is submitted in the place of those that go."""
        self.submissions.ended = True
        if self._replacing is not None:
            self._replacing.cancel()
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
        for name in OF_THE_CLUSTER:
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
        except KeyError as missing:
            raise ConfigError(
                f"cluster.options.config_name: {section(config)} of Dask's configuration has no {missing}; add it there"
            ) from missing
        except (TypeError, ValueError) as error:
            text = " ".join(str(error).split())
            raise ConfigError(f"cluster.options: {cls.cluster_class.__name__} does not take them: {text}") from error


def _worker_names(cluster: JobQueueCluster, name: Any) -> set[Any]:
    """Names of the workers of a job."""
    group = cluster.worker_spec.get(name, {}).get("group")
    return {f"{name}{suffix}" for suffix in group} if group else {name}


def _taken_before(job: Persistent, moment: float) -> bool:
    return job.taken_at is not None and job.taken_at < moment
