"""One survey run that is disturbed until it ends by itself, and whether it did what it must."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from benchmarks.torture.disk import Disk
from benchmarks.torture.disturbances import FAILED, FULL_DISK, JOBS, KINDS, Disturbance, RoundPlan
from benchmarks.torture.jobs import Jobs, workers_below
from benchmarks.torture.products import SET_ASIDE, Reference, command, differences, local, records
from benchmarks.torture.store import SpoiledStore

WORKER_TTL = 10.0
"""Seconds of silence after which the scheduler gives a worker up; it looks as often as that."""
SHORT_STOP = 3.0
"""Seconds for which a worker is stopped that is not to be given up."""
NANNY_TIMEOUT = 30.0
"""Seconds for which the scheduler waits for a nanny that does not answer."""
LONG_STOP = 2 * WORKER_TTL + NANNY_TIMEOUT + 2.0
"""Seconds for which a job is suspended that is to be given up."""
MOST_STARTS = 10
LONGEST = 300.0
"""Seconds without any unit that ends after which a run counts as hanging."""


class Trial:
    """A run in a folder of its own, disturbed and started again until it ends by itself.

    Parameters
    ----------
    store : SpoiledStore
        What is run.
    reference : Reference
        The undisturbed run.
    where : Path
        An empty folder, for the products; its parent takes the rest.
    plan : RoundPlan
        What happens.
    disk : Disk, optional
        The disk that `where` is on, full at first.
    """

    def __init__(
        self, store: SpoiledStore, reference: Reference, where: Path, plan: RoundPlan, disk: Disk | None = None
    ) -> None:
        self.store, self.reference, self.plan, self.disk = store, reference, plan, disk
        self.pending = [one for one in plan.disturbances if one.kind != FULL_DISK]
        self.out = where / "out"
        self.aside = where.parent
        self.happened: Counter[str] = Counter()
        self.starts = 0
        self.kept = 0
        self.failures: list[str] = []
        self._jobs: Jobs | None = None
        self._alarms: list[tuple[float, Callable[[], None]]] = []
        self._must_end: set[str] = set()
        self._moved = (0, 0.0)

    def run(self) -> list[str]:
        """Run to the end; returns what is wrong with it."""
        if self.plan.place != JOBS:
            return self._run(local(2))
        with Jobs(self.aside / "jobs", self._environment()) as self._jobs:
            return self._run(self._jobs.settings())

    def _run(self, settings: list[str]) -> list[str]:
        while not self.failures:
            if self.starts == MOST_STARTS:
                self.failures.append(f"not at its end after {self.starts} starts")
                break
            before = records(self.out)
            status, told, happened = self._start(settings)
            after = records(self.out)
            # What a worker ends that was given up has an earlier start, and the same content.
            again = sorted(slot for slot, started in before.items() if after.get(slot, started + 1) > started)
            if again:
                self.failures.append(f"{len(again)} finished units computed again: {', '.join(again[:3])}")
            self.kept += len(before) - len(again)
            if status == SET_ASIDE:
                self.failures += [f"went on after it was {kind}" for kind in happened if kind in self._must_end]
                self.failures += differences(self.store, self.reference, self.out)
                break
            self._judge(status, told, happened)
        return self.failures

    def _judge(self, status: int, told: str, happened: list[str]) -> None:
        """Whether a run that did not come to its end had a reason, and said it."""
        lines = [line for line in told.splitlines() if line.startswith("failed:")]
        if self.disk is not None and status == FAILED:
            if len(lines) == 1 and lines[0].startswith("failed: no space left to write ") and "Traceback" not in told:
                self.happened[FULL_DISK] += 1
                self.disk.enlarge()
                self.disk = None
            else:
                self.failures.append(f"a full disk was told as {told[-1500:]!r}")
        elif status not in {one for kind in happened for one in KINDS[kind].exits}:
            self.failures.append(f"exit status {status} after {', '.join(happened) or 'nothing'}: {told[-1500:]}")

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": f"{WORKER_TTL:.0f}s",
            "TMPDIR": str(self.aside),
        }

    def _start(self, settings: list[str]) -> tuple[int, str, list[str]]:
        """Start the run once; its exit status, what it told, and what happened to it."""
        self.starts += 1
        self._must_end.clear()
        self._moved = (-1, time.monotonic())
        with (self.aside / "told.txt").open("w+") as told:
            driver = subprocess.Popen(
                command(self.store, self.out, *settings),
                stdout=told,
                stderr=told,
                env=self._environment(),
                start_new_session=True,
                preexec_fn=_hear_interrupts,
            )
            happened: list[str] = []
            try:
                while driver.poll() is None:
                    self._ring(time.monotonic())
                    if self._jobs is not None:
                        self._jobs.tend()
                    done = self._watch(driver)
                    if not any(KINDS[kind].ends for kind in happened):
                        happened += self._disturb(driver, done)
                    time.sleep(0.02)
            finally:
                self._end_group(driver, happened)
            told.seek(0)
            return driver.returncode, told.read(), happened

    def _watch(self, driver: subprocess.Popen[bytes]) -> int:
        """How many units are done; a run that does not get on is ended."""
        done = sum(1 for _ in (self.out / ".survey" / "markers").rglob("*.json"))
        now = time.monotonic()
        if done != self._moved[0]:
            self._moved = (done, now)
        elif now - self._moved[1] > LONGEST:
            self.failures.append(f"hung with {done} units done")
            os.killpg(driver.pid, signal.SIGKILL)
        return done

    def _disturb(self, driver: subprocess.Popen[bytes], done: int) -> list[str]:
        """Do what is next, if it is time for it."""
        if not self.pending or done / self.reference.n_records < self.pending[0].at:
            return []
        workers = workers_below(driver.pid) if self._jobs is None else self._jobs.workers()
        nannies = [] if self._jobs is None else self._jobs.nannies()
        next_one = self.pending[0]
        if KINDS[next_one.kind].harms and not workers:
            return []
        time.sleep(next_one.delay)
        if driver.poll() is not None:
            return []
        self.pending.pop(0)
        rng = random.Random(next_one.delay)
        rng.shuffle(workers)
        rng.shuffle(nannies)
        try:
            self._do(next_one, driver, workers, nannies)
        except ProcessLookupError:  # it ended in the meantime
            self.pending.insert(0, next_one)
            return []
        self.happened[next_one.kind] += 1
        # Nearer to its end a run may be through before it hears of it.
        if KINDS[next_one.kind].ends and done < 0.8 * self.reference.n_records:
            self._must_end.add(next_one.kind)
        return [next_one.kind]

    def _do(self, what: Disturbance, driver: subprocess.Popen[bytes], workers: list[int], nannies: list[int]) -> None:
        match what.kind:
            case "worker killed":
                os.kill(workers[0], signal.SIGKILL)
            case "all workers killed":
                for pid in workers:
                    os.kill(pid, signal.SIGKILL)
            case "worker stopped":
                os.kill(workers[0], signal.SIGSTOP)
            case "worker stopped and continued":
                os.kill(workers[0], signal.SIGSTOP)
                self._alarms.append((time.monotonic() + SHORT_STOP, lambda: _continue(workers[0])))
            case "driver killed":
                driver.kill()
            case "everything killed":
                os.killpg(driver.pid, signal.SIGKILL)
            case "terminated":
                driver.terminate()
            case "interrupted":
                os.killpg(driver.pid, signal.SIGINT)
            case "nanny killed":
                os.kill(nannies[0], signal.SIGKILL)
            case "job suspended and continued":
                assert self._jobs is not None
                self._jobs.suspend(nannies[0])
                # Then it goes on in the midst of a unit that others have done.
                resume = self._jobs.resume
                self._alarms.append((time.monotonic() + LONG_STOP, lambda: resume(nannies[0])))

    def _ring(self, now: float) -> None:
        for alarm in [one for one in self._alarms if one[0] <= now]:
            self._alarms.remove(alarm)
            alarm[1]()

    def _end_group(self, driver: subprocess.Popen[bytes], happened: list[str]) -> None:
        """No process may stay behind."""
        self._ring(float("inf"))
        if any(KINDS[kind].ends for kind in happened):
            # Who is stopped cannot see that its driver is gone. A run that ends by itself has ended it.
            for process in _group(driver.pid):
                _continue(process.pid)
        limit = time.monotonic() + 20.0
        while (left := list(_group(driver.pid))) and time.monotonic() < limit:
            if driver.poll() is None:
                driver.kill()  # only when this process itself is interrupted
            time.sleep(0.05)
        if left:
            self.failures.append(f"{len(left)} processes were left behind")
            with contextlib.suppress(ProcessLookupError):
                os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()


def _continue(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def _hear_interrupts() -> None:
    """What is started in the background by a shell does not hear SIGINT otherwise."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _group(leader: int) -> Iterator[psutil.Process]:
    """Living processes of a process group."""
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getpgid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                yield process
