"""Workers that are not the driver's: a scheduler and jobs, started and replaced as a batch system would.

A job is a nanny and the worker below it. The run finds them by the scheduler's file: `cluster.kind: existing`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from benchmarks.torture.products import MEMORY

N_JOBS = 2
STARTS_WITHIN = 120.0
"""Seconds in which the first worker is there."""
SETTINGS = {
    # What killed a worker is the driver's to find out, and a worker that is full is not to wait until it is not.
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
    "DASK_DISTRIBUTED__WORKER__MEMORY__TARGET": "False",
    "DASK_DISTRIBUTED__WORKER__MEMORY__SPILL": "False",
    "DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE": "False",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


class Jobs:
    """A scheduler and its jobs, while it is entered.

    Parameters
    ----------
    folder : Path
        For their files.
    environment : mapping
        Of their processes.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.file = folder / "scheduler.json"
        self.environment = {**environment, **SETTINGS}
        self._nannies: list[subprocess.Popen[bytes]] = []
        self._started: list[subprocess.Popen[bytes]] = []
        self._suspended: set[int] = set()

    def settings(self) -> list[str]:
        """Settings of a run on them."""
        return ["cluster.kind=existing", f"cluster.scheduler_file={self.file}"]

    def tend(self) -> None:
        """Replace jobs that have ended."""
        self._nannies = [one for one in self._nannies if one.poll() is None]
        while len(self._nannies) < N_JOBS:
            arguments = ["--nthreads", "1", "--nworkers", "1", "--memory-limit", MEMORY.replace(" ", "")]
            arguments += ["--no-dashboard", "--dashboard-address", "127.0.0.1:0", "--local-directory", str(self.folder)]
            self._nannies.append(self._start("dask_worker", *arguments))

    def _start(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        started = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{program}", "--scheduler-file", str(self.file), *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self.environment,
            start_new_session=True,
        )
        self._started.append(started)
        return started

    def nannies(self) -> list[int]:
        """Processes of the nannies whose worker is there and goes."""
        return [one.pid for one in self._nannies if one.pid not in self._suspended and workers_below(one.pid)]

    def workers(self) -> list[int]:
        """Processes of the workers that go."""
        return [worker for nanny in self.nannies() for worker in workers_below(nanny)]

    def suspend(self, nanny: int) -> None:
        """Stop a job: its nanny and its worker."""
        self._suspended.add(nanny)
        os.killpg(nanny, signal.SIGSTOP)

    def resume(self, nanny: int) -> None:
        """Let a job go on."""
        self._suspended.discard(nanny)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(nanny, signal.SIGCONT)

    def __enter__(self) -> Jobs:
        self.folder.mkdir()
        scheduler = self._start("dask_scheduler", "--port", "0", "--no-dashboard", "--dashboard-address", ":0")
        limit = time.monotonic() + STARTS_WITHIN
        while not self.workers():
            if time.monotonic() > limit or scheduler.poll() is not None:
                self.__exit__()
                raise RuntimeError(f"no scheduler and worker started within {STARTS_WITHIN:.0f} s")
            if self.file.exists():
                self.tend()
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._started):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def workers_below(pid: int) -> list[int]:
    """Worker processes below a driver or a nanny."""
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if any("spawn_main" in word for word in child.cmdline()):
                    found.append(child.pid)
    return found
