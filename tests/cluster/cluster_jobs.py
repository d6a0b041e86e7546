"""Functions that the tests run as units; workers import this module by name."""

import errno
import os
import signal
import time
from pathlib import Path

from cluster import SetAside


def _log(folder, name):
    with open(Path(folder) / "calls.log", "a") as file:
        file.write(name + "\n")


def calls(folder):
    """Names of the units that ran, in order; forgets them."""
    path = Path(folder) / "calls.log"
    lines = path.read_text().split() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def write(folder, name, text="", seconds=0.0, done=None):
    """Write a file that holds `text` and what the dependencies hold."""
    _log(folder, name)
    pace = Path(folder) / "pace"
    time.sleep(float(pace.read_text()) if pace.exists() else seconds)
    parts = [text] + [(Path(folder) / slot.replace("/", "_")).read_text() for slot in sorted(done or ())]
    (Path(folder) / name.replace("/", "_")).write_text("(" + ",".join(parts) + ")")
    return {"parts": len(parts), "text": text}


def fail(folder, name, how="error", done=None):
    """Go wrong in one way or another; works when a file named ``ok`` is there, or the second time if told so."""
    tried = (Path(folder) / f"tried-{how}").exists()
    if (Path(folder) / "ok").exists() or (tried and how.endswith("once")):
        return write(folder, name, how, done=done)
    _log(folder, name)
    (Path(folder) / f"tried-{how}").touch()
    if how == "set aside":
        raise SetAside(f"{name} is bad")
    if how == "memory":
        raise MemoryError("cannot allocate 9 TB")
    if how == "once":
        raise OSError("network is away")
    if how == "full":
        try:
            raise OSError(errno.ENOSPC, "No space left on device", str(Path(folder) / "shard"))
        except OSError as error:
            raise RuntimeError("cannot write the shard") from error
    if how == "exit":
        raise SystemExit(3)
    if how == "result":
        return {"what": {1, 2}}
    if how in ("kill", "kill once"):
        os.kill(os.getpid(), signal.SIGKILL)
    raise ValueError(f"{name} went\nwrong")


def hold(folder, name, megabytes):
    """Take memory for a moment."""
    block = bytearray(megabytes * 1_000_000)
    time.sleep(0.5)
    return {"size": len(block)}


def nothing():
    """Do nothing."""


def half_square(shard, vector):
    """A likelihood term, with its gradient."""
    return 0.5 * sum((x - shard) ** 2 for x in vector), [x - shard for x in vector]
