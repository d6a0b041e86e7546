"""Jobs of a batch system that does not take them, for a while or for good, and none that is left behind.

dask-jobqueue submits a job once, and takes one that was refused for one that waits. Here it is submitted again until it is
taken, and what the batch system said is kept for who waits. Jobs are known from when they are taken until they are
cancelled, whatever Dask stumbles over as it ends a cluster.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import shlex
import subprocess
import threading
import time
from collections.abc import Sequence
from typing import Any

from dask_jobqueue.core import Job

PAUSES = (5.0, 10.0, 20.0, 40.0, 60.0)
"""Seconds before a job is submitted again, each time; the last one goes on."""
ANSWERS_WITHIN = 30.0
"""Seconds that a batch system may take to list its jobs."""


class Submissions:
    """What became of the jobs of an engine; its methods are called from several threads."""

    def __init__(self) -> None:
        self.taken = 0
        """Jobs that the batch system took."""
        self.answer = ""
        """Its answer to the last job, in a line, when it did not take it."""
        self.first_refused: float | None = None
        """When it first refused one, monotonic seconds."""
        self.ended = False
        """Whether no more jobs are wanted."""
        self._left: dict[str, str] = {}  # jobs taken and not cancelled: number, and command that cancels it
        self._lock = threading.Lock()

    def took(self, number: str, cancel_command: str) -> None:
        """A job was taken."""
        with self._lock:
            self.taken += 1
            self.answer = ""
            self._left[number] = cancel_command

    def has(self, number: str) -> bool:
        """Whether a job was taken and not cancelled."""
        with self._lock:
            return number in self._left

    def cancelled(self, number: str) -> None:
        """The batch system was told to cancel a job."""
        with self._lock:
            self._left.pop(number, None)

    def refused(self, error: Exception) -> None:
        """A job was not taken."""
        if self.first_refused is None:
            self.first_refused = time.monotonic()
        self.answer = answer_of(error)

    def cancel_left(self, timeout: float) -> list[str]:
        """Cancel the jobs that Dask did not, as when it gave up ending a cluster.

        Parameters
        ----------
        timeout : float
            Seconds that the batch system may take.

        Returns
        -------
        list of str
            A line a command: the jobs, and what it answered if it complained.
        """
        with self._lock:
            left, self._left = self._left, {}
        by_command: dict[str, list[str]] = {}
        for number, command in left.items():
            by_command.setdefault(command, []).append(number)
        lines = []
        for command, numbers in by_command.items():
            try:
                call = [*shlex.split(command), *numbers]
                ended = subprocess.run(call, capture_output=True, check=False, timeout=timeout, text=True)
                answer = " ".join(ended.stderr.split()) if ended.returncode else ""
            except (OSError, subprocess.TimeoutExpired) as error:
                answer = " ".join(str(error).split())
            lines.append(f"{command} {' '.join(numbers)}" + (f", which answers: {answer}" if answer else ""))
        return lines


def in_queue(command: Sequence[str]) -> set[str] | None:
    """Numbers of the jobs that wait or run, by a command that lists one a line; None where the batch system does not say."""
    try:
        ended = subprocess.run(command, capture_output=True, check=False, timeout=ANSWERS_WITHIN, text=True)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if ended.returncode else set(re.findall(r"^\s*(\d+)", ended.stdout, re.MULTILINE))


def answer_of(error: Exception) -> str:
    """What the submit command printed, in a line: dask-jobqueue quotes both of its streams below headings."""
    text = str(error)
    streams = [text.partition(f"{name}:\n")[2].partition("\nstd")[0] for name in ("stderr", "stdout")]
    return " ".join((next(filter(str.strip, streams), "") or text).split())


class Persistent(Job):
    """Comes before the job of a batch system among the bases of a class."""

    submissions: Submissions
    taken_at: float | None = None
    """When the batch system took it, monotonic seconds."""
    _again: asyncio.Task[None] | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._submitting = asyncio.Lock()
        self._closed = False

    async def start(self) -> None:
        """Submit the job; one that is refused is submitted again in the background."""
        if not await asyncio.shield(self._submit()):
            self._again = asyncio.create_task(self._submit_again())
        await super(Job, self).start()  # it is on its way, as far as Dask is concerned

    async def _submit(self) -> bool:
        """Submit the job, if it is wanted still; False when it is refused.

        Shielded wherever it is awaited: a job on its way has no number yet by which it could be cancelled.
        """
        async with self._submitting:
            if self._closed or self.submissions.ended:
                return True
            try:
                with self.job_file() as file:
                    self.job_id = self._job_id_from_submit_output(await self._submit_job(file))
            except (RuntimeError, OSError, ValueError) as error:
                self.submissions.refused(error)
                return False
            self.submissions.took(self.job_id, str(self.cancel_command))
            self.taken_at = time.monotonic()
            if self.submissions.ended:
                await self._cancel()
            return True

    async def _submit_again(self) -> None:
        for pause in itertools.chain(PAUSES, itertools.repeat(PAUSES[-1])):
            await asyncio.sleep(pause)
            if await asyncio.shield(self._submit()):
                return

    async def give_up(self) -> None:
        """Forget the job, which the batch system has no more."""
        self.submissions.cancelled(str(self.job_id))
        await self.close()

    async def close(self) -> None:
        """Cancel the job, or what would submit it."""
        self._closed = True
        if self._again is not None:
            self._again.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._again
        async with self._submitting:  # one on its way
            await self._cancel()
        await super(Job, self).close()

    async def _cancel(self) -> None:
        number = str(self.job_id)
        if self.submissions.has(number):  # once: numbers are used again
            await self._close_job(number, self.cancel_command)
            self.submissions.cancelled(number)


def persistent(job: type[Job], submissions: Submissions) -> Any:
    """The class of a batch system's jobs, with persistence."""
    return type(job.__name__, (Persistent, job), {"submissions": submissions})
