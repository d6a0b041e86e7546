"""gammasurvey: from gamma-ray event lists to survey maps.

import survey
run = survey.run("config.yaml")          # or survey.open("outdir")
run.cube, run.maps, run.observations     # xarray and astropy objects, lazy
models = survey.read_models("models.yaml")   # Gammapy's format
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from survey.version import __version__

if TYPE_CHECKING:
    from survey.models.collection import Models, read_models
    from survey.pipeline import plan, run
    from survey.products import Run
    from survey.products import open_run as open

__all__ = ["Models", "Run", "__version__", "open", "plan", "read_models", "run"]

_LAZY = {
    "run": ("survey.pipeline", "run"),
    "plan": ("survey.pipeline", "plan"),
    "open": ("survey.products", "open_run"),
    "Run": ("survey.products", "Run"),
    "simulate": ("survey.simulation_run", "simulate"),
    "Models": ("survey.models.collection", "Models"),
    "read_models": ("survey.models.collection", "read_models"),
}


def __getattr__(name: str) -> Any:
    """Import on first use: ``import survey`` and ``survey --help`` stay quick."""
    if name not in _LAZY:
        raise AttributeError(f"module 'survey' has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _LAZY[name]
    return getattr(import_module(module), attribute)
