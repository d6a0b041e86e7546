"""A run's own folder: markers, failures, lock, plan and logs, at any fsspec URL.

``markers/<stage>/<name>.json``
    one a slot, of units that are done or set aside (see `cluster.markers`)
``failed/<stage>/<name>.json``
    units that failed, with their traceback
``running/<batch>.json``
    batches that a worker has begun; tells which unit a lost worker was at
``plan.json``, ``lock.json``, ``logs/``, ``memory/``, ``reports/``
    the plan of the last run, who runs now; of every run what happened, the driver's memory, the engine's own report
"""

from __future__ import annotations

import contextlib
import json
import os
from datetime import UTC, datetime
from typing import Any

from cluster import markers
from cluster.lock import Lock
from cluster.outcome import Outcome
from cluster.storage import LocalFolder, open_folder


class Workspace:
    """The bookkeeping of one output, shared by the driver and its workers through storage alone.

    Parameters
    ----------
    url : str or path
        Where it is. Nothing is made there until something is written.
    """

    def __init__(self, url: str | os.PathLike[str]) -> None:
        self.folder = open_folder(url)
        # Workers may have another working directory.
        self.url = str(self.folder.root) if isinstance(self.folder, LocalFolder) else os.fspath(url)
        self.lock = Lock(self.folder)

    def __repr__(self) -> str:
        return f"Workspace({self.url!r})"

    def markers(self, stage: str = "") -> dict[str, Outcome]:
        """All markers, or those of a stage, by slot; listed once."""
        return self._records("markers", stage)

    def failures(self, stage: str = "") -> dict[str, Outcome]:
        """All records of failures, or those of a stage, by slot; listed once."""
        return self._records("failed", stage)

    def _records(self, kind: str, stage: str) -> dict[str, Outcome]:
        folder = f"{kind}/{stage}" if stage else kind
        return dict(filter(None, map(markers.decode, self.folder.read_all(folder))))

    def read(self, slot: str) -> Outcome | None:
        """The record of one slot, None when it has none: its marker or else its failure."""
        for kind in ("markers", "failed"):
            data = self.folder.read(f"{kind}/{markers.record_path(slot)}")
            found = None if data is None else markers.decode(data)
            if found is not None and found[0] == slot:
                return found[1]
        return None

    def forget(self, slot: str) -> None:
        """Remove a slot's records: its output is about to change."""
        path = markers.record_path(slot)
        self.folder.remove(f"markers/{path}")
        self.folder.remove(f"failed/{path}")

    def record(self, slot: str, outcome: Outcome, traceback: str = "") -> None:
        """Write how a unit ended: the last thing that happens to it."""
        kind = "failed" if outcome.status == "failed" else "markers"
        self.folder.write(f"{kind}/{markers.record_path(slot)}", markers.encode(slot, outcome, traceback))

    def traceback(self, slot: str) -> str:
        """The traceback of a unit that failed, empty when there is none."""
        data = self.folder.read(f"failed/{markers.record_path(slot)}")
        return "" if data is None else json.loads(data).get("traceback", "")

    def begin(self, batch: str) -> None:
        """Note that a worker has begun a batch."""
        self.folder.write(f"running/{batch}.json", b"{}", durable=False)

    def late(self, batch: str) -> None:
        """Note that a unit of a batch takes too long, and that its worker is ended for that."""
        self.folder.write(f"running/{batch}.json", b'{"late": true}', durable=False)

    def end(self, batch: str) -> dict[str, Any] | None:
        """Remove the note of a batch and return it; None when there was none, because no worker has begun it."""
        path = f"running/{batch}.json"
        note = self.folder.read(path)
        self.folder.remove(path)
        return None if note is None else json.loads(note)

    def clear_running(self) -> None:
        """Remove what an interrupted run left under ``running/``."""
        self.folder.clear("running")

    def save_plan(self, data: bytes) -> None:
        """Keep the plan, for `cluster.status`."""
        self.folder.write("plan.json", data)

    def load_plan(self) -> bytes | None:
        """The plan of the last run, None when there was none."""
        return self.folder.read("plan.json")

    def save_report(self, page: str | None) -> None:
        """Keep the report of an engine on a run that ended now; without room for it there is none."""
        if page is not None:
            with contextlib.suppress(OSError):
                self.folder.write(f"reports/{datetime.now(UTC):%Y%m%dT%H%M%S}.html", page.encode(), durable=False)

    def driver_memory(self) -> list[list[tuple[float, int]]]:
        """Memory of the drivers of all runs so far: seconds since the epoch and bytes, a list a run."""
        runs: list[list[tuple[float, int]]] = []
        for data in self.folder.read_all("memory"):
            with contextlib.suppress(ValueError, TypeError):
                runs.append([(float(at), int(size)) for at, size in json.loads(data)])
        return sorted(runs)
