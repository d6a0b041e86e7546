"""Arguments of an engine that come from the fields and from `options`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merged(ours: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The engine's arguments with the user's: lists and mappings are added to, other values replaced."""
    found = dict(ours)
    for name, value in options.items():
        mine = found.get(name)
        if isinstance(mine, list) and isinstance(value, list | tuple):
            found[name] = [*mine, *value]
        elif isinstance(mine, dict) and isinstance(value, Mapping):
            found[name] = {**mine, **value}
        else:
            found[name] = value
    return found
