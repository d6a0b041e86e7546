"""The lock of a workspace: one driver at a time.

The lock is a small file that names its driver. It is stale when that driver is gone: on the same machine its process
does not exist or started at another time; on another machine its heartbeat stopped, its file being old, or in the future
and the same for as long. On a disk one process at a time looks at it and writes it; on an object store it is put on
condition that what was found there has not changed (`cluster.storage.RemoteFolder.swap`), and read back, for stores that
do not know conditions.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any

import psutil

from cluster.errors import WorkspaceLocked
from cluster.storage import Folder, LocalFolder, RemoteFolder

log = logging.getLogger(__name__)

PATH = "lock.json"
HEARTBEAT = 15.0
"""Seconds between two signs of life."""
READ_BACK = 0.2
"""Seconds after which a lock on an object store is read back: of two puts without conditions the last one stays."""
STALE_AFTER = 180.0
"""Seconds without one after which a driver on another machine counts as gone."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lock."""

    host: str
    """Name of the machine."""
    space: str
    """Identity of its process namespace: two containers may share a host name."""
    pid: int
    """Process of the driver."""
    pid_started: float
    """When that process started, seconds since the epoch: process numbers are used again."""
    since: float
    """When the lock was taken, seconds since the epoch."""
    token: str
    """Different for every lock taken."""

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"process {self.pid} on {self.host} since {since}"


class Lock:
    """Mutual exclusion of drivers on one workspace; a context manager that may be entered again by its holder."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self._depth = 0
        self._mine: Holder | None = None
        self._lost: Holder | bool | None = False
        self._stop = threading.Event()

    def holder(self) -> Holder | None:
        """Who holds the lock, None when nobody alive does."""
        found = self._read()
        return None if found is None or self._is_stale(found) else found

    def check(self) -> None:
        """Raise `WorkspaceLocked` when another driver has taken the lock over, as after a long sleep of this one."""
        if self._lost is not False:
            by = f"now held by {self._lost}" if isinstance(self._lost, Holder) else "it was removed"
            raise WorkspaceLocked(f"{self.folder.url}: this run lost its lock ({by}) and stops; run again to resume")

    def __enter__(self) -> Lock:
        if self._depth == 0:
            self._acquire()
        self._depth += 1
        return self

    def __exit__(self, *exc: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._release()

    def _acquire(self) -> None:
        process = psutil.Process()
        mine = Holder(socket.gethostname(), _space(), process.pid, process.create_time(), time.time(), uuid.uuid4().hex)
        folder = self.folder
        given_up = self._given_up()
        with _exclusive(folder):
            data = folder.read(PATH)
            found = _decode(data)
            if found is not None and found.token != given_up and not self._is_stale(found):
                elsewhere = (
                    "" if _is_here(found) else f"; when it is known to be gone, remove {folder.url}/{PATH}, which counts as left "
                    f"behind when it has not been renewed for {STALE_AFTER:g} s"
                )  # fmt: skip
                raise WorkspaceLocked(
                    f"{folder.url}: another run works here ({found}); wait for it, or stop it and run again{elsewhere}"
                )
            if isinstance(folder, LocalFolder):
                folder.write(PATH, _encode(mine))
        if isinstance(folder, RemoteFolder):
            won = folder.swap(PATH, _encode(mine), data)
            time.sleep(READ_BACK)
            found = self._read()
            if not won or found is None or found.token != mine.token:
                raise WorkspaceLocked(
                    f"{folder.url}: another run started here at the same time ({found or 'it has ended'}); "
                    "wait for it, or stop it and run again"
                )
        self._mine = mine
        self._lost = False
        self._stop = threading.Event()
        threading.Thread(target=self._beat, args=(mine, self._stop), name="workspace-lock", daemon=True).start()

    def _release(self) -> None:
        self._stop.set()
        mine, self._mine = self._mine, None
        # A lock that cannot be removed is stale once this process has ended; what ended the run matters more.
        with contextlib.suppress(OSError):
            found = self._read()
            if mine is not None and found is not None and found.token == mine.token:
                self.folder.remove(PATH)

    def _beat(self, mine: Holder, stop: threading.Event) -> None:
        while not stop.wait(HEARTBEAT):
            # A disk or a network that fails for a moment must not end a run: only a lock that is read and is
            # another's does.
            with contextlib.suppress(OSError):
                found = self._read()
                if stop.is_set():
                    return
                if found is None or found.token != mine.token:
                    self._lost = found
                    return
                if isinstance(self.folder, LocalFolder):
                    os.utime(self.folder.root / PATH)
                elif isinstance(self.folder, RemoteFolder):
                    self.folder.swap(PATH, _encode(mine), _encode(mine))

    def _read(self) -> Holder | None:
        return _decode(self.folder.read(PATH))

    def _is_stale(self, found: Holder) -> bool:
        if _is_here(found):
            try:
                return abs(psutil.Process(found.pid).create_time() - found.pid_started) > 1.0
            except psutil.NoSuchProcess:
                return True
        return self.folder.age(PATH) > STALE_AFTER

    def _given_up(self) -> str | None:
        """Token of a lock of another machine that lies in the future and that nobody renews; None for any other.

        Where files bear the time of the machine that writes them, its age says nothing: it is watched by this one's clock.
        """
        found = self._read()
        if found is None or _is_here(found) or (first := self.folder.age(PATH)) > -STALE_AFTER:
            return None
        log.warning(
            "%s/%s (%s) lies %.0f s in the future: watched for %g s, whether it is renewed; when it is known to be gone, "
            "remove it",
            *(self.folder.url, PATH, found, -first, STALE_AFTER),
        )
        started = time.monotonic()
        while time.monotonic() - started < STALE_AFTER:
            time.sleep(HEARTBEAT / 3)
            grown = self.folder.age(PATH) - first
            now = self._read()
            if now is None or now.token != found.token or abs(grown - (time.monotonic() - started)) > HEARTBEAT / 3:
                return None
        return found.token


def _encode(holder: Holder) -> bytes:
    return json.dumps(asdict(holder)).encode()


def _decode(data: bytes | None) -> Holder | None:
    """Who holds a lock; None where there is none, or none that can be read."""
    if data is None:
        return None
    try:
        found: dict[str, Any] = json.loads(data)
        holder = Holder(**{field.name: found[field.name] for field in fields(Holder)})
        datetime.fromtimestamp(holder.since, UTC)
        possible = all(isinstance(text, str) for text in (holder.host, holder.space, holder.token))
        possible &= isinstance(holder.pid, int) and holder.pid > 0 and math.isfinite(holder.pid_started)
    except (ValueError, TypeError, KeyError, OverflowError, OSError, RecursionError):
        return None
    return holder if possible else None


def _is_here(holder: Holder) -> bool:
    """Whether a driver is, or was, on this machine."""
    return (holder.host, holder.space) == (socket.gethostname(), _space())


def _space() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


@contextlib.contextmanager
def _exclusive(folder: Folder) -> Iterator[None]:
    """One process of this file system at a time looks at the lock and writes it."""
    if not isinstance(folder, LocalFolder):
        yield
        return
    import fcntl

    os.makedirs(folder.root, exist_ok=True)
    with open(folder.root / "lock.guard", "w") as guard:
        with contextlib.suppress(OSError):  # file systems without flock: rely on the file alone
            fcntl.flock(guard, fcntl.LOCK_EX)
        yield
