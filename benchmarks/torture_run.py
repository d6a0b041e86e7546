"""One survey run that is disturbed until it ends by itself, and what it must have left."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.torture_store import SpoiledStore

SET_ASIDE, FAILED, INTERRUPTED = 3, 1, 130
WORKER_TTL = 10.0
"""Seconds of silence after which the scheduler gives a worker up."""
MOST_STARTS = 8
FULL_DISK = "full disk"
PAGE = 4096


@dataclass(frozen=True)
class Kind:
    """A way to disturb a run.

    Parameters
    ----------
    exits : tuple of int
        Exit statuses that the driver may have after it, if it ends by it.
    needs_workers : bool
        Whether there is nothing to do without workers.
    """

    exits: tuple[int, ...] = ()
    needs_workers: bool = False


KINDS = {
    "worker killed": Kind(needs_workers=True),
    "driver killed": Kind((-signal.SIGKILL,)),
    FULL_DISK: Kind((FAILED,)),
    "all workers killed": Kind(needs_workers=True),
    "everything killed": Kind((-signal.SIGKILL,)),
    "worker stopped": Kind(needs_workers=True),
    "terminated": Kind((INTERRUPTED, -signal.SIGTERM)),
    "interrupted": Kind((INTERRUPTED, -signal.SIGINT)),
}


@dataclass(frozen=True)
class Disturbance:
    """Something that happens to a run.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    at : float
        Part of the units that are done when it happens; for a full disk, part of the room that the products need.
    delay : float
        Seconds to wait then.
    """

    kind: str
    at: float
    delay: float = 0.0

    def __str__(self) -> str:
        return f"{self.kind} at {self.at:.0%}"


@dataclass(frozen=True)
class Reference:
    """A run that was left alone.

    Parameters
    ----------
    digests : dict
        Hashes of the files of its stores.
    n_records : int
        Units with a record.
    size : int
        Bytes that its files take on a disk of pages.
    seconds : float
        How long it took.
    """

    digests: dict[str, str]
    n_records: int
    size: int
    seconds: float


def command(store: SpoiledStore, out: Path, *more: str) -> list[str]:
    """The command line of a run."""
    return [sys.executable, "-m", "survey.cli", "run", str(store.config), "--set", f"general.outdir={out}", *more]


def reference_run(store: SpoiledStore, where: Path) -> Reference:
    """Run undisturbed, in one process: another engine than the one that is disturbed.

    Raises
    ------
    RuntimeError
        When it does not end as it should.
    """
    begun = time.monotonic()
    out = where / "out"
    ended = subprocess.run(command(store, out, "--set", "cluster.kind=none"), capture_output=True, text=True)
    if ended.returncode != SET_ASIDE:
        raise RuntimeError(f"the undisturbed run ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
    if wrong := wrong_observations(store, out):
        raise RuntimeError("the undisturbed run: " + "; ".join(wrong))
    size = sum(-(-path.stat().st_size // PAGE) * PAGE for path in out.rglob("*") if path.is_file())
    return Reference(digests(out), len(records(out)), size, time.monotonic() - begun)


def digests(out: Path) -> dict[str, str]:
    """Hash of every file of the cube and of the maps, by path."""
    files = (
        path for store in ("cube.zarr", "maps.zarr") for path in sorted((out / store).rglob("*")) if path.is_file()
    )
    return {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def records(out: Path) -> dict[str, float]:
    """When the unit of every slot was started that has a marker."""
    found = {}
    for path in (out / ".survey" / "markers").rglob("*.json"):
        with contextlib.suppress(FileNotFoundError):
            record = json.loads(path.read_bytes())
            found[record["slot"]] = record["started"]
    return found


def wrong_observations(store: SpoiledStore, out: Path) -> list[str]:
    """What is wrong with the observations that a run used and set aside."""
    import survey

    table = survey.open(str(out)).observations
    aside = {int(row["obs_id"]): str(row["reason"]) for row in table if row["status"] != "used"}
    wrong = []
    if len(table) != store.n_observations:
        wrong.append(f"{len(table)} rows for {store.n_observations} observations")
    if set(aside) != set(store.spoiled):
        wrong.append(f"set aside {sorted(aside)}, spoiled {sorted(store.spoiled)}")
    wrong += [
        f"observation {obs_id} set aside without a reason" for obs_id, reason in aside.items() if not reason.strip()
    ]
    return wrong


def differences(store: SpoiledStore, reference: Reference, out: Path) -> list[str]:
    """How the products of a run differ from those of the undisturbed one."""
    wrong = wrong_observations(store, out)
    found = digests(out)
    changed = sorted(name for name in found | reference.digests if found.get(name) != reference.digests.get(name))
    if changed:
        wrong.append(f"{len(changed)} files of the stores differ: {', '.join(changed[:3])}")
    left = [path.relative_to(out).as_posix() for path in out.rglob("*.partial")]
    if left:
        wrong.append(f"{len(left)} half-written files were left: {', '.join(left[:3])}")
    return wrong


class CannotMount(Exception):
    """File systems may not be mounted here: only root may, and not in every container."""


class Disk:
    """A small file system in memory, mounted on a folder while it is entered."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        self.size = size

    def _mount(self, size: int, *options: str) -> None:
        arguments = ["-t", "tmpfs", "-o", ",".join((*options, f"size={size}")), "tmpfs", str(self.folder)]
        try:
            subprocess.run(["mount", *arguments], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise CannotMount(str(error)) from error

    def enlarge(self) -> None:
        """Make room."""
        self._mount(1 << 30, "remount")

    def __enter__(self) -> Disk:
        self._mount(self.size)
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)


class Trial:
    """A run in a folder of its own, disturbed and started again until it ends by itself.

    Parameters
    ----------
    store : SpoiledStore
        What is run.
    reference : Reference
        The undisturbed run.
    where : Path
        An empty folder.
    plan : list of Disturbance
        What happens, in this order.
    disk : Disk, optional
        The disk that `where` is on, full at first.
    """

    def __init__(
        self, store: SpoiledStore, reference: Reference, where: Path, plan: list[Disturbance], disk: Disk | None = None
    ) -> None:
        self.store, self.reference, self.where, self.disk = store, reference, where, disk
        self.pending = [one for one in plan if one.kind != FULL_DISK]
        self.out = where / "out"
        self.happened: Counter[str] = Counter()
        self.starts = 0
        self.kept = 0
        self.failures: list[str] = []
        self._stopped: dict[int, float] = {}
        self._must_end: set[str] = set()

    def run(self) -> list[str]:
        """Run to the end; returns what is wrong with it."""
        while not self.failures:
            if self.starts == MOST_STARTS:
                self.failures.append(f"not at its end after {self.starts} starts")
                break
            before = records(self.out)
            status, told, happened = self._start()
            after = records(self.out)
            again = sorted(slot for slot, started in before.items() if after.get(slot) != started)
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

    def _start(self) -> tuple[int, str, list[str]]:
        """Start the run once; its exit status, what it told, and what happened to it."""
        self.starts += 1
        self._must_end.clear()
        environment = {
            **os.environ,
            "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": f"{WORKER_TTL:.0f}s",
            "TMPDIR": str(self.where.parent),
        }
        with (self.where.parent / "told.txt").open("w+") as told:
            driver = subprocess.Popen(
                command(self.store, self.out),
                stdout=told,
                stderr=told,
                env=environment,
                start_new_session=True,
                preexec_fn=_hear_interrupts,
            )
            happened: list[str] = []
            try:
                while driver.poll() is None:
                    self._wake(time.monotonic())
                    if not {"driver killed", "everything killed"} & set(happened):
                        happened += self._disturb(driver)
                    time.sleep(0.02)
            finally:
                self._end_group(driver)
            told.seek(0)
            return driver.returncode, told.read(), happened

    def _disturb(self, driver: subprocess.Popen[bytes]) -> list[str]:
        """Do what is next, if it is time for it."""
        if not self.pending:
            return []
        next_one = self.pending[0]
        done = sum(1 for _ in (self.out / ".survey" / "markers").rglob("*.json")) / self.reference.n_records
        workers = _workers(driver.pid)
        if done < next_one.at or (KINDS[next_one.kind].needs_workers and not workers):
            return []
        time.sleep(next_one.delay)
        if driver.poll() is not None:
            return []
        self.pending.pop(0)
        random.Random(next_one.delay).shuffle(workers)
        try:
            match next_one.kind:
                case "worker killed":
                    os.kill(workers[0], signal.SIGKILL)
                case "all workers killed":
                    for pid in workers:
                        os.kill(pid, signal.SIGKILL)
                case "worker stopped":
                    os.kill(workers[0], signal.SIGSTOP)
                    self._stopped[workers[0]] = time.monotonic()
                case "driver killed":
                    driver.kill()
                case "everything killed":
                    os.killpg(driver.pid, signal.SIGKILL)
                case "terminated":
                    driver.terminate()
                case "interrupted":
                    os.killpg(driver.pid, signal.SIGINT)
        except ProcessLookupError:  # it ended in the meantime
            return []
        self.happened[next_one.kind] += 1
        # Nearer to its end a run may be through before it hears of it.
        if KINDS[next_one.kind].exits and done < 0.8:
            self._must_end.add(next_one.kind)
        return [next_one.kind]

    def _wake(self, now: float) -> None:
        """A stopped worker goes on when the scheduler has given it up, and finds that others did its work."""
        for pid, since in list(self._stopped.items()):
            if now - since > WORKER_TTL + 5.0:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
                del self._stopped[pid]

    def _end_group(self, driver: subprocess.Popen[bytes]) -> None:
        """No process may stay behind, but for those that were stopped."""
        self._wake(float("inf"))
        limit = time.monotonic() + 15.0
        while (left := list(_group(driver.pid))) and time.monotonic() < limit:
            if driver.poll() is None:
                driver.kill()  # only when this process itself is interrupted
            time.sleep(0.05)
        if left:
            self.failures.append(f"{len(left)} processes were left behind")
            with contextlib.suppress(ProcessLookupError):
                os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()


def _hear_interrupts() -> None:
    """What is started in the background by a shell does not hear SIGINT otherwise."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _group(leader: int) -> Iterator[psutil.Process]:
    """Living processes of a process group."""
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getpgid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def _workers(driver: int) -> list[int]:
    """Worker processes of a driver."""
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(driver).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if any("spawn_main" in word for word in child.cmdline()):
                    found.append(child.pid)
    return found
