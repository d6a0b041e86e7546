"""The environment that a run happens in: versions, machine, folders. For reports of problems, never for provenance."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

PACKAGES = (
    "numpy", "scipy", "astropy", "regions", "xarray", "zarr", "numcodecs", "fsspec",
    "dask", "distributed", "numba", "iminuit", "pydantic", "matplotlib",
)  # fmt: skip


def describe() -> str:
    """Versions, machine, data folders and caches, a line each."""
    rows = list(_rows())
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:{width}}  {value}" for name, value in rows)


def _rows() -> Iterator[tuple[str, str]]:
    import psutil

    from survey import __version__

    yield "gammasurvey", __version__
    yield "python", f"{platform.python_version()} ({sys.executable})"
    yield "platform", platform.platform()
    yield "machine", f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 1e9:.1f} GB"
    for name in ("SURVEY_DATA", "GAMMAPY_DATA"):
        folder = os.environ.get(name)
        there = "" if not folder or os.path.isdir(folder) else " (no such folder)"
        yield f"${name}", f"{folder or 'not set'}{there}"
    yield (
        "compiled kernels",
        os.environ.get("NUMBA_CACHE_DIR") or "beside the sources, in __pycache__ (NUMBA_CACHE_DIR not set)",
    )
    for name in PACKAGES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            yield name, "not installed"
