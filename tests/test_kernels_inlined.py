"""Kernels that may reorder or fuse operations give one result, compiled in this process or loaded from the cache.

A kernel that is called by another has a copy of its own and one in its caller. Which of the two runs depends on whether
the caller was compiled or loaded, and where operations may be reordered or fused the two may differ in the last bit.
"""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]


def kernels():
    """Of every kernel: its options as they are written, and the names that it calls."""
    found = {}
    for path in ROOT.glob("survey/*/kernels*.py"):
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.FunctionDef):
                continue
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "njit":
                    options = {option.arg: ast.unparse(option.value) for option in decorator.keywords}
                    called = {ast.unparse(one.func) for one in ast.walk(node) if isinstance(one, ast.Call)}
                    found[node.name] = (options, called)
    return found


def test_reordered_operations_are_part_of_the_kernel_that_calls_them():
    found = kernels()
    reorder = {name for name, (options, _) in found.items() if "fastmath" in options}
    assert reorder
    while more := {name for name, (_, called) in found.items() if called & reorder} - reorder:
        reorder |= more
    called = set().union(*(called for _, called in found.values()))
    loose = sorted(name for name in reorder & called if found[name][0].get("forceinline") != "True")
    assert not loose, f"njit(forceinline=True) is missing at {', '.join(loose)}"
