"""The log that a run leaves in its workspace: what went otherwise than planned, with times."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime

from cluster.events import Event, RunEnded, RunStarted, StageEnded, UnitEnded, UnitRetried, WorkerLost
from cluster.storage import Folder

EVERY = 10.0
"""Seconds between two writes, at least; the last lines are written when the run ends."""


class RunLog:
    """A listener that writes ``logs/<time of start>.log``, whole each time: it is short, and any store can do that."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.path = f"logs/{datetime.now(UTC):%Y%m%dT%H%M%S.%f}.log"
        self._lines: list[str] = []
        self._written = float("-inf")

    def __call__(self, event: Event) -> None:
        """Note an event."""
        line = _line(event)
        if line:
            self._lines.append(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {line}\n")
        ended = isinstance(event, RunEnded)
        if self._lines and (ended or time.monotonic() - self._written > EVERY):
            self._written = time.monotonic()
            # A log that cannot be written is no reason to stop; the work itself would say why.
            with contextlib.suppress(OSError):
                self.folder.write(self.path, "".join(self._lines).encode(), durable=ended)


def _line(event: Event) -> str:
    match event:
        case RunStarted():
            return "started: " + ", ".join(f"{n} {stage}" for stage, n in event.stages.items())
        case UnitEnded() if event.outcome.fresh and event.outcome.reason:
            return f"{event.slot} {event.outcome.status}: {event.outcome.reason}"
        case UnitRetried():
            return f"{event.slot} tried again: {event.reason}"
        case WorkerLost():
            return f"worker lost at {event.slot or 'no unit'}, {event.unfinished} units go back"
        case StageEnded():
            return f"{event.stage} ended"
        case RunEnded():
            return "ended" if event.complete else "stopped before its end"
        case _:
            return ""
