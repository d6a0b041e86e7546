"""Digests of the sources that each stage imports, recorded beside the stage's version in ``stage_sources.json``.

A unit's key holds its stage's version, so results of older code are reused as long as the version stays. When sources
change, either the version is raised, or somebody says that results are the same::

    python -m tests.stage_sources "why results do not change"
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import json
import sys
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
RECORD = Path(__file__).with_name("stage_sources.json")
STAGES = {
    "survey.reduction.graph": "survey.reduction.stages",
    "survey.estimators.graph": "survey.estimators.stages",
    "survey.report.graph": "survey.report.stages",
    "survey.events.graph": "survey.events.ingest",
    "survey.simulation.graph": "survey.simulation.stages",
    "survey.fitting.graph": "survey.fitting.stages",
}
"""Module with the versions of stages, and the module that their units call."""


def digest(module: str, graph: grimp.ImportGraph) -> str:
    """Hash of the code of a module and of all that it imports of the package; comments and docstrings do not count."""
    modules = {module, *graph.find_upstream_modules(module)}
    hashed = hashlib.sha256()
    for name in sorted(one for one in modules if one.startswith("survey.")):
        path = ROOT / Path(*name.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Expr)
                and isinstance(node.value, ast.Constant)
                and isinstance(node.value.value, str)
            ):
                node.value.value = ""
        hashed.update(f"{name}\n{ast.dump(tree)}".encode())
    return hashed.hexdigest()


def current() -> dict[str, dict[str, object]]:
    """Version and digest of every stage, as the sources are."""
    graph = grimp.build_graph("survey", exclude_type_checking_imports=True, cache_dir=None)
    found: dict[str, dict[str, object]] = {}
    for holder, module in STAGES.items():
        sources = digest(module, graph)
        for stage, version in importlib.import_module(holder).STAGE_VERSIONS.items():
            found[stage] = {"version": version, "digest": sources}
    return found


def main(reason: str) -> None:
    """Record the sources as they are, with the reason why versions stay where they are."""
    record = {stage: {**entry, "waiver": reason} for stage, entry in current().items()}
    RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
