"""A unit of work: what is run, on what, after what, under which key.

Neighbours: `plan` checks that units form a plan and derives their effective keys; `worker` runs them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cluster.errors import PlanError


@dataclass(frozen=True, slots=True)
class Unit:
    """One piece of work that happens once.

    The function is called as ``function(**arguments)`` or, for a unit with dependencies, as
    ``function(**arguments, done=frozenset)`` with the slots of `after` that are done (the others were set aside or
    failed). It returns a JSON-able mapping or None, and writes its own output; running it twice must do no harm.
    """

    slot: str
    """Where the result lives, as ``stage/name``; unique in a plan and stable from run to run."""
    key: str
    """`unit_key` of everything that the result depends on, save other units."""
    function: str
    """What to call, as ``package.module:name``."""
    arguments: Mapping[str, Any] | Callable[[str], Mapping[str, Any]] = field(default_factory=dict)
    """Keyword arguments; JSON-able, small: paths and plain values, never data. Or what makes them from the unit's name when it
    is sent: the arguments of all units at once are most of what a large plan takes."""
    after: tuple[str, ...] = ()
    """Slots of the units that must have ended before this one starts."""
    cost: float = 1.0
    """Expected work, relative to the other units of the same stage; decides how units share a task."""
    memory: int | None = None
    """Expected peak memory in bytes, where it is known."""

    def __post_init__(self) -> None:
        stage, slash, name = self.slot.partition("/")
        if not (stage and slash and name):
            raise PlanError(f"slot {self.slot!r} is not of the form 'stage/name'")
        if not stage.replace("_", "").replace("-", "").isalnum():
            raise PlanError(f"slot {self.slot!r}: a stage has letters, digits, '_' and '-' only")
        module, colon, attribute = self.function.partition(":")
        if not (module and colon and attribute):
            raise PlanError(f"unit {self.slot}: function {self.function!r} is not of the form 'package.module:name'")
        if not self.cost > 0:
            raise PlanError(f"unit {self.slot}: cost {self.cost!r} is not positive")

    @property
    def stage(self) -> str:
        """The part of the slot before the first slash."""
        return self.slot.partition("/")[0]

    @property
    def name(self) -> str:
        """The part of the slot after the first slash."""
        return self.slot.partition("/")[2]

    def keywords(self) -> Mapping[str, Any]:
        """Its arguments, made now where `arguments` makes them."""
        return self.arguments(self.name) if callable(self.arguments) else self.arguments


def unit_key(stage: str, version: int | str, inputs: Any, config: Any) -> str:
    """Key of a unit: what its result depends on, hashed.

    Parameters
    ----------
    stage : str
        Name of the stage.
    version : int or str
        Version of the stage's code; a new one redoes the stage.
    inputs : JSON-able
        What identifies the inputs: content hashes, or sizes and times of change.
    config : JSON-able
        The slice of the configuration that the stage reads.

    Returns
    -------
    str
        sha256 as 64 hexadecimal digits.

    Raises
    ------
    PlanError
        When a value is not plain (str, int, float, bool, None, list, tuple, or dict with str keys); NumPy scalars are
        refused because their text changes between NumPy versions.
    """
    content = {"stage": stage, "version": version, "inputs": inputs, "config": config}
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def canonical_json(value: Any) -> str:
    """One text for one value: sorted keys, no spaces, floats by their shortest exact repr.

    Raises
    ------
    PlanError
        When a value is not plain; the message says where it is.
    """
    _check_plain(value, "")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _check_plain(value: Any, where: str) -> None:
    kind = type(value)
    if value is None or kind in (str, int, float, bool):
        return
    if kind in (list, tuple):
        for index, item in enumerate(value):
            _check_plain(item, f"{where}[{index}]")
        return
    if kind is dict:
        for name, item in value.items():
            if type(name) is not str:
                raise PlanError(
                    f"a key needs str names: found {name!r} of type {type(name).__name__} at {where or '.'}"
                )
            _check_plain(item, f"{where}.{name}")
        return
    advice = "convert it with .item()" if kind.__module__ == "numpy" and hasattr(value, "item") else "convert it"
    found = f"{kind.__module__}.{kind.__qualname__}"
    raise PlanError(f"a key needs plain values: found {found} at {where or '.'}; {advice}")
