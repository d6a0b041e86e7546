"""Where compiled kernels are kept: on a local disk, apart for each machine, processor and numba version.

A cache that several machines share through a network disk races and holds code for the wrong processor.
"""

from __future__ import annotations

import hashlib
import os
import platform
import socket
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

VARIABLE = "NUMBA_CACHE_DIR"


def compile_cache(application: str = "gammasurvey", stamp: str = "") -> str:
    """Folder for compiled kernels, made if need be; one that the environment names already is respected.

    Parameters
    ----------
    application : str
        Name of the folder under the user's cache.
    stamp : str
        Version of the code that is compiled; each has a folder of its own.
    """
    given = os.environ.get(VARIABLE)
    if given:
        return given
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    shared = Path(tempfile.gettempdir()) / f"{application}-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    name = f"{socket.gethostname()}-{_processor()}-{_numba_version()}" + (f"-{stamp}" if stamp else "")
    for base in (home / application, shared):
        folder = base / "numba" / name
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return str(folder)
    return tempfile.mkdtemp(prefix=f"{application}-numba-")


def use_compile_cache(application: str = "gammasurvey", stamp: str = "") -> str:
    """Make this process, and those that it starts, keep compiled kernels in `compile_cache`; returns the folder.

    To be called before numba is imported; afterwards it changes what numba does from then on.
    """
    folder = os.environ[VARIABLE] = compile_cache(application, stamp)
    numba = sys.modules.get("numba")
    if numba is not None:
        numba.config.CACHE_DIR = folder
    return folder


def _processor() -> str:
    model = platform.processor()
    try:
        with open("/proc/cpuinfo") as file:
            wanted = ("model name", "flags", "Features", "CPU part")
            lines = [line for line in file if line.startswith(wanted)]
        model += "".join(sorted(set(lines)))
    except OSError:
        pass
    return f"{platform.machine()}-{hashlib.sha256(model.encode()).hexdigest()[:8]}"


def _numba_version() -> str:
    try:
        return version("numba")
    except PackageNotFoundError:
        return "none"
