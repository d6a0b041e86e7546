"""Jobs of a batch system that does not take them, for a while or for good, and none that is left behind.

dask-jobqueue submits a job once, and takes one that was refused for one that waits. Here it is submitted again until it is
taken, and what the batch system said is kept for who waits. Jobs are known from when they are taken until they are
cancelled, whatever Dask stumbles over as it ends a cluster.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shlex
import subprocess
import time
from typing import Any

from dask_jobqueue.core import Job
from distributed import Adaptive

PAUSES = (5.0, 10.0, 20.0, 40.0, 60.0)
"""Seconds before a job is submitted again, each time; the last one goes on."""


class Submissions:
    """What became of the jobs of an engine."""

    def __init__(self) -> None:
        self.taken = 0
        """Jobs that the batch system took."""
        self.answer = ""
        """Its answer to the last job, in a line, when it did not take it."""
        self.first_refused: float | None = None
        """When it first refused one, monotonic seconds."""
        self._left: dict[str, str] = {}
        """Numbers of the jobs that were taken and not cancelled, and the commands that cancel them."""

    def took(self, job: Job) -> None:
        """A job was taken."""
        self.taken += 1
        self.answer = ""
        self._left[str(job.job_id)] = str(job.cancel_command)

    def cancelled(self, job: Job) -> None:
        """The batch system was told to cancel a job."""
        self._left.pop(str(job.job_id), None)

    def cancel_left(self) -> list[str]:
        """Cancel the jobs that Dask did not, as when it gave up ending a cluster; their numbers."""
        numbers = []
        while self._left:
            number, command = self._left.popitem()
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):  # a job without a scheduler ends by itself
                subprocess.run([*shlex.split(command), number], capture_output=True, check=False, timeout=30)
            numbers.append(number)
        return numbers

    def refused(self, error: Exception) -> None:
        """A job was not."""
        if self.first_refused is None:
            self.first_refused = time.monotonic()
        self.answer = answer_of(error)


def answer_of(error: Exception) -> str:
    """What the submit command printed, in a line: dask-jobqueue quotes both of its streams below headings."""
    text = str(error)
    streams = [text.partition(f"{name}:\n")[2].partition("\nstd")[0] for name in ("stderr", "stdout")]
    return " ".join((next(filter(str.strip, streams), "") or text).split())


class Persistent(Job):
    """Comes before the job of a batch system among the bases of a class."""

    submissions: Submissions
    _again: asyncio.Task[None] | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._submitting = asyncio.Lock()

    async def start(self) -> None:
        """Submit the job; one that is refused is submitted again in the background."""
        try:
            async with self._submitting:
                await super().start()
        except (RuntimeError, OSError, ValueError) as error:
            self.submissions.refused(error)
            self._again = asyncio.create_task(self._submit_again())
            await super(Job, self).start()  # it is on its way, as far as Dask is concerned
        else:
            self.submissions.took(self)

    async def _submit_again(self) -> None:
        for pause in itertools.chain(PAUSES, itertools.repeat(PAUSES[-1])):
            await asyncio.sleep(pause)
            try:
                with self.job_file() as file:
                    self.job_id = self._job_id_from_submit_output(await self._submit_job(file))
            except (RuntimeError, OSError, ValueError) as error:
                self.submissions.refused(error)
            else:
                self.submissions.took(self)
                return

    async def close(self) -> None:
        """Cancel the job, or what would submit it."""
        if self._again is not None:
            self._again.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._again
        async with self._submitting:  # a job that is on its way has no number yet by which it could be cancelled
            await super().close()
            self.submissions.cancelled(self)


class Replacements(Adaptive):
    """Asks for jobs in the place of those that go, until it is stopped."""

    async def scale_up(self, n: Any) -> None:
        """Ask for jobs, unless this was stopped since it began to count: nobody would cancel them."""
        if self.state != "stopped":
            await super().scale_up(n)


def persistent(job: type[Job], submissions: Submissions) -> Any:
    """The class of a batch system's jobs, with persistence."""
    return type(job.__name__, (Persistent, job), {"submissions": submissions})
