"""What a worker does with a batch of units: the marker protocol, around each unit's function.

For each unit: remove its records, call its function, write its marker last. The worker writes the marker itself, so
that a driver that dies after the work has been done loses nothing.
"""

from __future__ import annotations

import errno
import importlib
import os
import socket
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cluster import memory
from cluster.errors import ClusterError, DiskFull, PlanError, SetAside, StorageError
from cluster.markers import returned
from cluster.object_store import explain, is_remote
from cluster.outcome import Outcome
from cluster.traffic import moved
from cluster.watchdog import watched
from cluster.workspace import Workspace

_FULL = {errno.ENOSPC: "no space left", errno.EDQUOT: "no quota left"}


@dataclass(frozen=True, slots=True)
class Item:
    """A unit on its way to a worker."""

    slot: str
    """Its slot."""
    key: str
    """Its effective key."""
    function: str
    """What to call, as ``package.module:name``."""
    arguments: Mapping[str, Any]
    """Keyword arguments."""
    done: frozenset[str] | None
    """Dependencies that are done; None for a unit without any."""
    last_try: bool
    """Whether an exception is final."""


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a unit: one of three."""

    slot: str
    """Its slot."""
    outcome: Outcome | None = None
    """How it ended, recorded."""
    error: str = ""
    """The exception, one line, when it is to be tried again."""
    fatal: ClusterError | None = None
    """Why the whole run must stop."""


def run_batch(url: str, batch: str, items: Sequence[Item], limit: float | None = None) -> list[Report]:
    """Run units one after another; stops at the first that is fatal for the run.

    Parameters
    ----------
    url : str
        The workspace.
    batch : str
        Name of the batch.
    items : sequence of Item
        The units.
    limit : float or None
        Seconds after which a unit ends this process.
    """
    workspace = _workspace(url)
    reports: list[Report] = []
    try:
        workspace.begin(batch)
        for item in items:
            with watched(limit, lambda: workspace.late(batch)):
                reports.append(_run(workspace, item))
            if reports[-1].fatal is not None:
                break
        workspace.end(batch)
    except Exception as error:  # the workspace itself cannot be written
        slot, lost = items[min(len(reports), len(items) - 1)].slot, explain(error, url) if is_remote(url) else None
        if lost is not None:
            reports.append(Report(slot, fatal=StorageError(f"{lost}; finished work is kept: run again")))
        elif isinstance(error, OSError):
            reports.append(Report(slot, fatal=storage_error(error, url)))
        else:
            raise
    return reports


def sets_aside(error: BaseException) -> bool:
    """Whether an exception says that the input is bad: `SetAside`, or one whose class has a true ``sets_aside``.

    The attribute lets functions of other packages speak of bad input without importing this one. What such an exception
    has as ``result`` is recorded as that of the unit.
    """
    return isinstance(error, SetAside) or bool(getattr(type(error), "sets_aside", False))


def _run(workspace: Workspace, item: Item) -> Report:
    found = workspace.read(item.slot)
    if found is not None and found.status == "skipped" and found.key == item.key:
        # A worker did it and was lost before it could say so.
        return Report(item.slot, found.as_fresh())
    workspace.forget(item.slot)
    memory.reset_peak()
    # Before the function's module is imported: that too is what the unit takes.
    started, clock, before = time.time(), time.perf_counter(), moved()
    try:
        function = resolve(item.function)
    except Exception as error:
        message = f"unit {item.slot}: cannot import {item.function}: {describe(error)}"
        return Report(item.slot, fatal=PlanError(message))

    def outcome(status: Any, **fields: Any) -> Outcome:
        seconds = time.perf_counter() - clock
        read, written = (after - at for after, at in zip(moved(), before, strict=True))
        return Outcome(
            status,
            item.key,
            seconds=seconds,
            peak_memory=memory.peak(),
            read=read,
            written=written,
            started=started,
            worker=_here(),
            **fields,
        )

    trace = ""
    try:
        extra = {} if item.done is None else {"done": item.done}
        ended = outcome("done", returned=returned(function(**item.arguments, **extra)))
    except (Exception, SystemExit) as error:
        if sets_aside(error):
            ended = outcome("set_aside", reason=str(error), returned=returned(getattr(error, "result", None)))
            workspace.record(item.slot, ended)
            return Report(item.slot, ended)
        full = disk_full(error)
        if full is not None:
            return Report(item.slot, fatal=storage_error(full, workspace.url))
        lost = explain(error, workspace.url if is_remote(workspace.url) else "object store")
        if lost is not None:
            return Report(item.slot, fatal=StorageError(f"unit {item.slot}: {lost}; finished work is kept: run again"))
        if not item.last_try:
            return Report(item.slot, error=describe(error))
        trace = traceback.format_exc()
        ended = outcome("failed", reason=describe(error))
    workspace.record(item.slot, ended, trace)
    return Report(item.slot, ended)


def resolve(function: str) -> Callable[..., Any]:
    """The object that ``package.module:name`` names."""
    module, _, attribute = function.partition(":")
    found: Any = importlib.import_module(module)
    for name in attribute.split("."):
        found = getattr(found, name)
    return found


def describe(error: BaseException) -> str:
    """An exception in one line."""
    text = " ".join(str(error).split())
    name = type(error).__name__
    return f"{name}: {text[:500]}" if text else name


def disk_full(error: BaseException) -> OSError | None:
    """The error that says that storage takes no more, if it is behind `error`."""
    pending: list[BaseException | None] = [error]
    seen: set[int] = set()
    while pending:
        current = pending.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        if isinstance(current, OSError) and current.errno in _FULL:
            return current
        if isinstance(current, BaseExceptionGroup):
            pending.extend(current.exceptions)
        pending += [current.__cause__, current.__context__]
    return None


def storage_error(error: OSError, url: str) -> ClusterError:
    """What to tell the user about storage that cannot be written."""
    where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else url
    if error.errno in _FULL:
        return DiskFull(f"{_FULL[error.errno]} to write {where}; make room and run again: finished work is kept")
    return ClusterError(f"cannot write {where} ({describe(error)}); see to it and run again: finished work is kept")


@lru_cache(maxsize=8)
def _workspace(url: str) -> Workspace:
    return Workspace(url)


@lru_cache(maxsize=1)
def _here() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"
