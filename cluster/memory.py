"""How much memory a process takes, and took at most while something ran."""

from __future__ import annotations

import contextlib
import resource
import sys

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
