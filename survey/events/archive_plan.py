"""The plan of an archive: from the facts of all observations to the place of every event and every response.

Between the two passes of an ingest: `survey.events.archive_format.describe` gives the facts, and
`survey.events.archive_writer` makes the arrays and fills them shard by shard.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from survey.events.archive_format import FORMAT_VERSION, ColumnType, Layout
from survey.response.table import KINDS


class EventPiece(NamedTuple):
    """Part of an observation that lies in a shard of events.

    Parameters
    ----------
    row : int
        Of the observation.
    first : int
        The observation's first event that lies in the shard.
    start, stop : int
        Where the events lie, counted from the beginning of the shard.
    """

    row: int
    first: int
    start: int
    stop: int


@dataclass
class Stack:
    """Response tables of one kind and one set of axes.

    Parameters
    ----------
    kind, name : str
        ``response/<kind>/<name>`` is its group.
    values : dict
        Hash of a table's values to its place in the stack.
    rows : list of int
        The observation that each table is read from.
    bytes : int
        Size of a table.
    """

    kind: str
    name: str
    values: dict[str, int] = field(default_factory=dict)
    rows: list[int] = field(default_factory=list)
    bytes: int = 0

    @property
    def path(self) -> str:
        """Its group."""
        return f"response/{self.kind}/{self.name}"


@dataclass(frozen=True, eq=False)
class ArchivePlan:
    """Where everything goes.

    Parameters
    ----------
    facts : sequence of mapping
        Of every observation, sorted by obs_id and identity.
    set_aside : sequence of (identity, obs_id, reason)
        Sorted in the same way.
    layout : Layout
        How arrays are cut.
    """

    facts: Sequence[Mapping[str, Any]]
    set_aside: Sequence[tuple[str, int, str]] = ()
    layout: Layout = field(default_factory=Layout)

    def __post_init__(self) -> None:
        order = [(fact["obs_id"], fact["identity"]) for fact in self.facts]
        if order != sorted(set(order)):
            raise ValueError("observations must be sorted by obs_id and identity, each there once")

    @property
    def n_events(self) -> NDArray[np.int64]:
        """Events of every observation."""
        return np.array([fact["n_events"] for fact in self.facts], dtype=np.int64)

    @property
    def event_offset(self) -> NDArray[np.int64]:
        """Place of every observation's first event."""
        return offsets(self.n_events)

    def columns(self) -> dict[ColumnType, str]:
        """Every type of column that there is, and its array; a name that has one type keeps its own."""
        types = {ColumnType(n, d, tuple(c)) for fact in self.facts for n, d, c in fact["columns"]}
        ordered = sorted(types, key=lambda c: (c.name, c.dtype, c.cell))
        names = [column.name for column in ordered]
        safe = {c: ColumnType(c.name, "", ()).array_name.rstrip("-") for c in ordered}
        return {c: safe[c] if names.count(c.name) == 1 else c.array_name for c in ordered}

    def event_shard(self) -> int:
        """Events in a shard."""
        return self.layout.event_shard(sum(column.bytes for column in self.columns()))

    def event_shards(self) -> dict[int, list[EventPiece]]:
        """The observations that fall in every shard of events."""
        shard = self.event_shard()
        shards: dict[int, list[EventPiece]] = {}
        for row, (offset, count) in enumerate(zip(self.event_offset.tolist(), self.n_events.tolist(), strict=True)):
            for number in range(offset // shard, -(-(offset + count) // shard) if count else 0):
                start, stop = max(offset, number * shard), min(offset + count, (number + 1) * shard)
                piece = EventPiece(row, start - offset, start - number * shard, stop - number * shard)
                shards.setdefault(number, []).append(piece)
        return shards

    def stacks(self) -> dict[tuple[str, str], Stack]:
        """All stacks by kind and name, tables in the order of the observations that have them first."""
        stacks: dict[tuple[str, str], Stack] = {}
        for row, fact in enumerate(self.facts):
            for kind in KINDS:
                if kind not in fact["responses"]:
                    continue
                entry = fact["responses"][kind]
                stack = stacks.setdefault((kind, entry["stack"]), Stack(kind, entry["stack"], bytes=entry["bytes"]))
                if entry["values"] not in stack.values:
                    stack.values[entry["values"]] = len(stack.rows)
                    stack.rows.append(row)
        return dict(sorted(stacks.items()))

    def stack_shard(self, stack: Stack) -> int:
        """Tables in a shard of `stack`."""
        return self.layout.table_shard(stack.bytes)

    def key(self, extra: Any = None) -> str:
        """Hash of everything that shapes the archive's bytes."""
        content = [
            FORMAT_VERSION,
            [fact["digest"] for fact in self.facts],
            list(map(list, self.set_aside)),
            sorted(vars(self.layout).items()),
            extra,
        ]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def offsets(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Exclusive prefix sums."""
    return np.concatenate([np.zeros(min(1, counts.size), np.int64), np.cumsum(counts, dtype=np.int64)[:-1]])
