"""The environment that a run happens in: versions, machine, folders. For reports of problems, never for provenance."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

PACKAGES = (
    "numpy", "scipy", "astropy", "regions", "xarray", "zarr", "numcodecs", "fsspec", "s3fs",
    "dask", "distributed", "numba", "iminuit", "pydantic", "matplotlib",
)  # fmt: skip


def describe(*, compile_cache: str) -> str:
    """Versions, machine, data folders and caches, a line each.

    Parameters
    ----------
    compile_cache : str
        Folder that compiled kernels are kept in.
    """
    rows = list(_rows(compile_cache))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:{width}}  {value}" for name, value in rows)


def _rows(compile_cache: str) -> Iterator[tuple[str, str]]:
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
    yield "$AWS_ENDPOINT_URL", os.environ.get("AWS_ENDPOINT_URL") or "not set"
    yield "compiled kernels", compile_cache
    for name in PACKAGES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            yield name, "not installed"
