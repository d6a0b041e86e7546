"""What changed in a configuration between two runs into the same folder."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from survey.store import urls

log = logging.getLogger(__name__)

_ABSENT = object()


def tell_changes(url: str, found: Mapping[str, Any]) -> list[str]:
    """Say which keys that decide what is computed are not those of the run before in the same folder, and keep the new ones.

    Parameters
    ----------
    url : str
        File with the configuration of the last run that started.
    found : mapping
        Plain values of the configuration.

    Returns
    -------
    list of str
        See `changes`; empty at the first run.
    """
    before = _last(url, found)
    # a folder that was moved, or another cluster, is still the same run
    before, after = ({k: v for k, v in one.items() if k not in ("general", "cluster")} for one in (before, found))
    lines = changes(before, after)
    if lines:
        log.info("changed since the last run here, what depends on it is done again:")
    for line in lines:
        log.info("  %s", line)
    urls.write_bytes(url, json.dumps(found, indent=1).encode())
    return lines


def _last(url: str, found: Mapping[str, Any]) -> Mapping[str, Any]:
    """The configuration before; `found` where there is none, or none that can be read: it decides nothing."""
    if not urls.exists(url):
        return found
    try:
        before = json.loads(urls.read_bytes(url))
    except (ValueError, RecursionError):
        before = None
    if not isinstance(before, dict):
        log.warning("%s is damaged, so what changed since the last run cannot be told; written anew", url)
        return found
    return before


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
