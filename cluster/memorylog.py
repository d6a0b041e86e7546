"""The memory of the driver while it runs, left in the workspace; workers' memory is in the records of their units."""

from __future__ import annotations

import contextlib
import json
import time
from datetime import UTC, datetime

from cluster import memory
from cluster.events import Event, RunEnded
from cluster.storage import Folder

EVERY = 1.0
"""Seconds between two samples at first; twice as many each time that there are too many samples."""
MOST = 400
"""Samples kept."""
WRITE_EVERY = 30.0
"""Seconds between two writes, at least; the last samples are written when the run ends."""


class MemoryLog:
    """A listener that writes ``memory/<time of start>.json``: seconds since the epoch and bytes, a pair a sample."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.path = f"memory/{datetime.now(UTC):%Y%m%dT%H%M%S.%f}.json"
        self.samples: list[tuple[float, int]] = []
        self._every = EVERY
        self._written = float("-inf")  # at once: a run that is killed counts as one too

    def __call__(self, event: Event) -> None:
        """Take a sample, if it is time for one."""
        now, ended = time.time(), isinstance(event, RunEnded)
        if not ended and self.samples and now - self.samples[-1][0] < self._every:
            return
        self.samples.append((round(now, 3), memory.resident()))
        if len(self.samples) > MOST:
            self.samples, self._every = self.samples[::2], 2 * self._every
        if ended or time.monotonic() - self._written > WRITE_EVERY:
            self._written = time.monotonic()
            with contextlib.suppress(OSError):  # the work itself would say why
                self.folder.write(self.path, json.dumps(self.samples).encode(), durable=False)
