"""Markers: the records that say how a unit ended, one a slot.

A unit that is done or set aside has a marker under ``markers/``; one that failed has a record with its traceback under
``failed/``. A marker counts only when it holds the unit's effective key: finding a file is not enough, because it may
speak of another configuration's output in the same slot.
"""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any
from urllib.parse import quote

from cluster.outcome import Outcome, Status

FORMAT = 1
"""Version of the records; those of another version count as absent."""


def record_path(slot: str) -> str:
    """Path of a slot's record below ``markers/`` or ``failed/``: ``<stage>/<name>.json``."""
    stage, _, name = slot.partition("/")
    text = quote(name, safe="+@=, ")
    if len(text) > 160:  # file systems allow 255 bytes, and a temporary name is longer
        text = f"{text[:120]}~{hashlib.sha256(name.encode()).hexdigest()[:32]}"
    return f"{stage}/{text}.json"


def encode(slot: str, outcome: Outcome, traceback: str = "") -> bytes:
    """The record of a unit, as JSON."""
    record: dict[str, Any] = {
        "format": FORMAT,
        "slot": slot,
        "key": outcome.key,
        "status": "done" if outcome.is_done else outcome.status,
        "result": outcome.result,
        "seconds": round(outcome.seconds, 6),
        "peak_memory": outcome.peak_memory,
        "read": outcome.read,
        "written": outcome.written,
        "started": round(outcome.started, 3),
        "worker": outcome.worker,
    }
    if outcome.reason:
        record["reason"] = outcome.reason
    if traceback:
        record["traceback"] = traceback
    return json.dumps(record, ensure_ascii=False).encode()


def decode(data: bytes) -> tuple[str, Outcome] | None:
    """Slot and outcome of a record; None when it cannot be read or is of another version.

    A record that is done comes back as skipped: an earlier run did it.
    """
    try:
        record = json.loads(data)
        if record["format"] != FORMAT:
            return None
        status: Status = "skipped" if record["status"] == "done" else record["status"]
        outcome = Outcome(
            status=status,
            key=record["key"],
            returned=_text(record["result"]),
            reason=record.get("reason", ""),
            seconds=record["seconds"],
            peak_memory=record["peak_memory"],
            read=record.get("read", 0),
            written=record.get("written", 0),
            started=record["started"],
            worker=sys.intern(record["worker"]),  # few workers have many records
            fresh=False,
        )
        return record["slot"], outcome
    except (ValueError, KeyError, TypeError):
        return None


def returned(value: Any) -> str:
    """What a unit's function returned, as JSON.

    NumPy scalars become plain numbers.

    Raises
    ------
    TypeError
        When the value is not a mapping or None, or holds something that JSON does not.
    """
    if not (value is None or isinstance(value, dict)):
        raise TypeError(f"a unit's function returns a dict or None, found {type(value).__name__}")
    return _text(value)


def _text(value: Any) -> str:
    return json.dumps(value, default=_plain, separators=(",", ":"), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if hasattr(value, "dtype") and getattr(value, "ndim", None) == 0:
        return value.item()
    raise TypeError(f"a unit's result holds {type(value).__name__}, which JSON does not; return plain values")
