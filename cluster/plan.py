"""Units as a graph: checked, ordered, with effective keys.

A unit's *effective key* hashes its own key with how each of its dependencies ended (slot, status, effective key). It
names everything that the unit's output depends on, so a record that holds it is valid, and a dependency that is set
aside today and was not yesterday makes its dependents run again.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from cluster.errors import PlanError
from cluster.outcome import Outcome
from cluster.unit import Unit

PIECE = 1000
"""Values of a plan that are brought to text at once."""


@dataclass(frozen=True, slots=True)
class Edges:
    """The units that each unit is linked to: two arrays for all of them, where a list for each would take most of a plan."""

    bounds: array[int]
    """Where the links of each unit begin in `ends`, and where the last ones end."""
    ends: array[int]
    """The units at the other ends of all links."""

    @classmethod
    def of(cls, links: Iterable[Iterable[int]]) -> Edges:
        """The links of each unit, by its index."""
        bounds, ends = array("q", [0]), array("i")
        for each in links:
            ends.extend(each)
            bounds.append(len(ends))
        return cls(bounds, ends)

    def reversed(self) -> Edges:
        """The same links, seen from their other ends."""
        count = array("q", bytes(8 * (len(self.bounds) - 1)))
        for end in self.ends:
            count[end] += 1
        bounds, ends = array("q", itertools.accumulate(count, initial=0)), array("i", bytes(4 * len(self.ends)))
        place = bounds[:]
        for index, needs in enumerate(self):
            for need in needs:
                ends[place[need]] = index
                place[need] += 1
        return Edges(bounds, ends)

    def __iter__(self) -> Iterator[Sequence[int]]:
        return (self.ends[start:end] for start, end in itertools.pairwise(self.bounds))

    def __getitem__(self, index: int) -> Sequence[int]:
        return self.ends[self.bounds[index] : self.bounds[index + 1]]


@dataclass(frozen=True)
class Plan:
    """The graph of a run, by index into `slots`."""

    slots: list[str]
    """Slot of each unit, in the order given."""
    keys: list[str]
    """Own key of each unit."""
    after: Edges
    """Dependencies of each unit."""
    costs: list[float]
    """Relative cost of each unit."""
    dependents: Edges = field(init=False, repr=False)
    """Units that wait for each unit."""
    rank: list[int] = field(init=False, repr=False)
    """Position of each unit in the order of execution: depth first, so that chains end early; costly ends first."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "dependents", self.after.reversed())
        object.__setattr__(self, "rank", self._order())

    @classmethod
    def of(cls, units: Sequence[Unit]) -> Plan:
        """The plan of some units.

        Raises
        ------
        PlanError
            When a slot is there twice, a dependency is not in the plan, or dependencies form a cycle.
        """
        index: dict[str, int] = {}
        for position, unit in enumerate(units):
            if index.setdefault(unit.slot, position) != position:
                raise PlanError(f"slot {unit.slot} is in the plan twice")

        def needs(unit: Unit) -> Iterator[int]:
            try:
                yield from [index[slot] for slot in dict.fromkeys(unit.after)]
            except KeyError as missing:
                raise PlanError(f"unit {unit.slot} comes after {missing.args[0]}, which is not in the plan") from None

        after = Edges.of(map(needs, units))
        return cls([unit.slot for unit in units], [unit.key for unit in units], after, [unit.cost for unit in units])

    def to_bytes(self) -> bytes:
        """The plan as JSON; `from_bytes` reads it back."""
        columns = (self.slots, self.keys, map(list, self.after), self.costs)
        return b"[1,%b]" % b",".join(map(_json_array, columns))

    @classmethod
    def from_bytes(cls, data: bytes) -> Plan:
        """The plan that `to_bytes` wrote.

        Raises
        ------
        ValueError, TypeError, OverflowError
            When the bytes are not a plan.
        PlanError
            When it is of another format.
        """
        try:
            version, *columns = json.loads(data)
        except RecursionError:
            raise ValueError("too deep") from None
        if version != 1:
            raise PlanError(f"the plan is of format {version}, this program reads 1; run again to renew it")
        slots, keys, after, costs = columns
        if any(not isinstance(column, list) or len(column) != len(slots) for column in columns):
            raise ValueError("its columns are not lists of one length")
        if not all(isinstance(text, str) for text in itertools.chain(slots, keys)):
            raise TypeError("a slot or a key is not a text")
        edges = Edges.of(after)
        if edges.ends and not (min(edges.ends) >= 0 and max(edges.ends) < len(slots)):
            raise ValueError("a unit comes after one that is not there")
        return cls(slots, keys, edges, [float(cost) for cost in costs])

    def __len__(self) -> int:
        return len(self.slots)

    def stage(self, index: int) -> str:
        """Stage of a unit."""
        return self.slots[index].partition("/")[0]

    def effective_key(self, index: int, outcomes: Sequence[Outcome | None]) -> str:
        """Effective key of a unit whose dependencies have ended."""
        digest = hashlib.sha256(self.keys[index].encode())
        for slot, need in sorted((self.slots[need], need) for need in self.after[index]):
            outcome = outcomes[need]
            assert outcome is not None
            status = "done" if outcome.is_done else outcome.status
            digest.update(f"\n{slot}\t{status}\t{outcome.key}".encode())
        return digest.hexdigest()

    def done_before(self, index: int, outcomes: Sequence[Outcome | None]) -> frozenset[str]:
        """Slots of a unit's dependencies that are done."""
        ended = ((need, outcomes[need]) for need in self.after[index])
        return frozenset(self.slots[need] for need, outcome in ended if outcome is not None and outcome.is_done)

    def _order(self) -> list[int]:
        """Depth-first order of all units, dependencies first."""
        rank = [-1] * len(self.slots)
        count = 0
        ends = [index for index in range(len(self.slots)) if not self.dependents[index]]
        ends.sort(key=lambda index: (not self.after[index], -self.costs[index]))  # lone units fill the gaps at the end
        opened = bytearray(len(self.slots))
        for end in ends:
            stack: list[tuple[int, Iterator[int]]] = [(end, iter(self.after[end]))]
            opened[end] = 1
            while stack:
                index, needs = stack[-1]
                for need in needs:
                    if rank[need] < 0:
                        if opened[need]:
                            raise PlanError(self._cycle([i for i, _ in stack], need))
                        opened[need] = 1
                        stack.append((need, iter(self.after[need])))
                        break
                else:
                    rank[index] = count
                    count += 1
                    stack.pop()
        if count < len(self.slots):  # a cycle that no end leads to
            path = [rank.index(-1)]
            while path[-1] not in path[:-1]:
                path.append(next(need for need in self.after[path[-1]] if rank[need] < 0))
            raise PlanError(self._cycle(path[:-1], path[-1]))
        return rank

    def _cycle(self, path: list[int], again: int) -> str:
        names = [self.slots[i] for i in path[path.index(again) :]]
        shown = names if len(names) <= 6 else [*names[:5], "...", names[-1]]
        return "units wait for each other in a circle: " + " after ".join([*shown, names[0]])


def _json_array(values: Iterable[Any]) -> bytes:
    """An array as JSON, made piece by piece: on its way to text each value takes many times its room."""
    left = iter(values)
    pieces = iter(lambda: json.dumps(list(itertools.islice(left, PIECE)), separators=(",", ":"))[1:-1].encode(), b"")
    return b"[%b]" % b",".join(pieces)


class Settlement:
    """Which units have ended and which are free to run; the one place where dependencies are counted.

    Parameters
    ----------
    plan : Plan
        The graph.
    found : callable
        ``found(slot, effective key)`` gives the valid record of an earlier run, or None.
    """

    def __init__(self, plan: Plan, found: Callable[[str, str], Outcome | None]) -> None:
        self.plan = plan
        self.outcomes: list[Outcome | None] = [None] * len(plan)
        self.left = len(plan)
        self._found = found
        self._waiting = [len(needs) for needs in plan.after]

    def start(self) -> tuple[list[int], list[tuple[int, str]]]:
        """Units that earlier records settle, and units free to run with their effective keys."""
        return self._release([index for index, needs in enumerate(self._waiting) if needs == 0])

    def settle(self, index: int, outcome: Outcome) -> tuple[list[int], list[tuple[int, str]]]:
        """Enter how a unit ended; returns what that settles (itself first) and sets free, as `start` does."""
        self.outcomes[index] = outcome
        self.left -= 1
        settled, free = self._release(self._freed(index))
        return [index, *settled], free

    def _freed(self, index: int) -> Iterable[int]:
        for dependent in self.plan.dependents[index]:
            self._waiting[dependent] -= 1
            if self._waiting[dependent] == 0:
                yield dependent

    def _release(self, candidates: Iterable[int]) -> tuple[list[int], list[tuple[int, str]]]:
        settled: list[int] = []
        free: list[tuple[int, str]] = []
        pending = list(candidates)
        while pending:
            index = pending.pop()
            key = self.plan.effective_key(index, self.outcomes)
            outcome = self._found(self.plan.slots[index], key)
            if outcome is None:
                free.append((index, key))
                continue
            self.outcomes[index] = outcome
            self.left -= 1
            settled.append(index)
            pending.extend(self._freed(index))
        return settled, free
