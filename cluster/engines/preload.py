"""Run by each worker at its start: imports what its units will need, while the driver plans."""

from __future__ import annotations

import contextlib
import importlib
from typing import Any

import click

from cluster.imports import without_collections


@click.command()
@click.argument("modules", default="")
def dask_setup(worker: Any, modules: str) -> None:
    """Import modules; one that cannot be imported is left to the unit that needs it, which will say so."""
    with without_collections():
        for module in filter(None, modules.split(",")):
            with contextlib.suppress(Exception):
                importlib.import_module(module)
