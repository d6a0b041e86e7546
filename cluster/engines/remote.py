"""What workers on other machines are told: their settings, and variables of their environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from cluster.compile_cache import VARIABLE

_OF_WORKERS = ("worker", "comm", "admin")


def told(
    settings: Mapping[str, Any], environment: Mapping[str, str], *, scheduler: bool = False
) -> tuple[dict[str, Any], dict[str, str]]:
    """Dask's settings and the variables that are for processes elsewhere.

    Parameters
    ----------
    settings : mapping
        Dask's settings.
    environment : mapping
        Variables of workers. The folder of compiled kernels is left out: each machine has its own.
    scheduler : bool
        Whether the scheduler is there too.
    """
    parts = (*_OF_WORKERS, *(["scheduler"] if scheduler else []))
    wanted = {name: value for name, value in settings.items() if name.split(".")[1:2] and name.split(".")[1] in parts}
    return wanted, {name: value for name, value in environment.items() if name != VARIABLE}


def variables(
    settings: Mapping[str, Any], environment: Mapping[str, str], *, scheduler: bool = False
) -> dict[str, str]:
    """Both as environment variables; see `told`. Those that are set here go before ours, as they do for local workers."""
    wanted, others = told(settings, environment, scheduler=scheduler)
    ours = {variable(name): value if isinstance(value, str) else repr(value) for name, value in wanted.items()}
    return {**others, **{name: os.environ.get(name, value) for name, value in ours.items()}}


def variable(setting: str) -> str:
    """The environment variable by which Dask takes a setting."""
    return "DASK_" + setting.replace(".", "__").replace("-", "_").upper()
