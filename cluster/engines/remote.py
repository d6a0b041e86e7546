"""What workers on other machines are told: their settings, as environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cluster.compile_cache import VARIABLE


def variables(
    settings: Mapping[str, Any], environment: Mapping[str, str], *, scheduler: bool = False
) -> dict[str, str]:
    """Environment variables for processes that start elsewhere.

    Parameters
    ----------
    settings : mapping
        Dask's settings.
    environment : mapping
        Variables of workers. The folder of compiled kernels is left out: each machine has its own.
    scheduler : bool
        Whether the scheduler is there too.
    """
    parts = ("worker", "comm", "admin", *(["scheduler"] if scheduler else []))
    wanted = {name: value for name, value in settings.items() if name.split(".")[1:2] and name.split(".")[1] in parts}
    return {
        **{name: value for name, value in environment.items() if name != VARIABLE},
        **{
            "DASK_" + name.replace(".", "__").replace("-", "_").upper(): value
            if isinstance(value, str)
            else repr(value)
            for name, value in wanted.items()
        },
    }
