"""What changed in a configuration between two runs into the same folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_ABSENT = object()


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Lines that name every key whose value differs, and both values.

    Parameters
    ----------
    before, after : mapping
        Plain values of two configurations, see `survey.config.SurveyConfig.as_dict`.

    Returns
    -------
    list of str
        ``a.b: old -> new``, in the order of the newer configuration; a section that came or went is one line.
    """
    return list(_differences(before, after, ""))


def _differences(before: Any, after: Any, path: str) -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in dict.fromkeys((*after, *before)):
            yield from _differences(
                before.get(name, _ABSENT), after.get(name, _ABSENT), f"{path}.{name}" if path else name
            )
    elif before != after:
        yield f"{path}: {_short(before)} -> {_short(after)}"


def _short(value: Any, most: int = 80) -> str:
    if value is _ABSENT:
        return "absent"
    if isinstance(value, Mapping):
        return "a section"
    text = str(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."
