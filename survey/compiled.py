"""Where the compiled kernels of this version are kept.

Numba notices that a kernel's own file changed, not that a kernel which it calls did; so the folder's name holds a hash of
the sources of all kernels.
"""

from __future__ import annotations

import hashlib
from pathlib import Path


def kernel_stamp() -> str:
    """Hash of the sources of all kernels."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*/kernels*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def use_kernel_cache() -> str:
    """Keep compiled kernels of this process, and of those that it starts, in a folder of this host; returns the folder."""
    from cluster.compile_cache import use_compile_cache

    return use_compile_cache("gammasurvey", stamp=kernel_stamp())
