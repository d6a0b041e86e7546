"""How much memory a process takes, and took at most while something ran; how much a worker may take."""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path

import psutil

from cluster.config import ClusterConfig

_HIGH_WATER_RESET = "5"


def reset_peak() -> None:
    """Forget the process's highest memory so far, where the system can (Linux)."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write(_HIGH_WATER_RESET)


def peak() -> int:
    """Highest resident memory of this process in bytes, since `reset_peak` on Linux and since its start elsewhere."""
    with contextlib.suppress(OSError), open("/proc/self/status") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest if sys.platform == "darwin" else highest * 1024


def resident() -> int:
    """Resident memory of this process now, bytes."""
    return int(psutil.Process().memory_info().rss)


def machine() -> int:
    """Memory of this machine, or of the container that this process is in, bytes."""
    found = [int(psutil.virtual_memory().total)]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # "max", or no such file
            found.append(int(Path(path).read_text()))
    return min(found)


def worker_limit(config: ClusterConfig) -> int | None:
    """Memory limit of a worker, or of this process where there is none, before any is started; None where it is not known."""
    if config.kind == "none":
        return machine()
    if config.kind == "local":
        return machine() // config.workers if config.memory_limit is None else min(config.memory_limit, machine())
    return config.memory_limit
