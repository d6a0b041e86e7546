"""The lock of a workspace: one driver at a time.

The lock is a small file that names its driver. It is stale when that driver is gone: on the same machine its process
does not exist or started at another time; on another machine its heartbeat stopped. On an object store, which has no
exclusive creation that all of them share, the lock is written and read back: a best effort.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import psutil

from cluster.errors import WorkspaceLocked
from cluster.storage import Folder, LocalFolder

PATH = "lock.json"
HEARTBEAT = 15.0
"""Seconds between two signs of life."""
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
    beat: float = 0.0
    """Last sign of life, seconds since the epoch by the driver's clock."""

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
        now = time.time()
        mine = Holder(
            socket.gethostname(), _space(), process.pid, process.create_time(), now, uuid.uuid4().hex, beat=now
        )
        with _exclusive(self.folder):
            found = self._read()
            if found is not None and not self._is_stale(found):
                raise WorkspaceLocked(
                    f"{self.folder.url}: another run works here ({found}); wait for it, or stop it and run again"
                )
            self.folder.write(PATH, _encode(mine))
        if not isinstance(self.folder, LocalFolder):
            time.sleep(0.2)  # two puts at once: the last one wins and the other sees it here
            found = self._read()
            if found is None or found.token != mine.token:
                raise WorkspaceLocked(f"{self.folder.url}: another run started here at the same time ({found})")
        self._mine = mine
        self._lost = False
        self._stop = threading.Event()
        threading.Thread(target=self._beat, args=(mine, self._stop), name="workspace-lock", daemon=True).start()

    def _release(self) -> None:
        self._stop.set()
        mine, self._mine = self._mine, None
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
                else:
                    self.folder.write(PATH, _encode(Holder(**{**asdict(mine), "beat": time.time()})))

    def _read(self) -> Holder | None:
        data = self.folder.read(PATH)
        if data is None:
            return None
        try:
            fields: dict[str, Any] = json.loads(data)
            return Holder(**fields)
        except (ValueError, TypeError):
            return None

    def _is_stale(self, found: Holder) -> bool:
        if (found.host, found.space) == (socket.gethostname(), _space()):
            try:
                return abs(psutil.Process(found.pid).create_time() - found.pid_started) > 1.0
            except psutil.NoSuchProcess:
                return True
        return self._silence(found) > STALE_AFTER

    def _silence(self, found: Holder) -> float:
        """Seconds since the last heartbeat, by the file server's clock where there is one."""
        if not isinstance(self.folder, LocalFolder):
            return time.time() - found.beat
        probe = f"{PATH}.{uuid.uuid4().hex[:12]}"
        try:
            self.folder.write(probe, b"", durable=False)
            now = os.stat(self.folder.root / probe).st_mtime
            return now - os.stat(self.folder.root / PATH).st_mtime
        except FileNotFoundError:
            return float("inf")
        finally:
            self.folder.remove(probe)


def _encode(holder: Holder) -> bytes:
    return json.dumps(asdict(holder)).encode()


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
