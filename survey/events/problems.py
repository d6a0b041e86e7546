"""What is odd or wrong in a data store: one problem a line, collected before anybody is told.

`survey.events.checks` and the GADF readers find problems, `survey.events.datastore` reports those of a whole data store
at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Severity = Literal["error", "doubt", "warning"]


class DataStoreError(ValueError):
    """A data store cannot be opened, or is refused under ``strict``; the message has one line a problem."""


@dataclass(frozen=True)
class Problem:
    """One thing that is odd or wrong.

    Parameters
    ----------
    severity : str
        ``error`` sets the observation aside, ``warning`` says how it was read; ``doubt`` is a warning about the numbers
        themselves, which ``strict`` refuses like an error.
    message : str
        What is the matter, in words.
    obs_id : int or None
        Observation it concerns; None for the data store as a whole.
    file : str or None
        Path relative to the data store.
    hdu : str or None
        Name of the HDU.
    keyword : str or None
        Header keyword or column.
    expected : str or None
        What should have been there.
    advice : str or None
        What to do.
    found : str or None
        The value, where observations that share the problem differ in it.
    size : float or None
        How bad `found` is: of observations that share the problem, the worst is told.
    """

    severity: Severity
    message: str
    obs_id: int | None = None
    file: str | None = None
    hdu: str | None = None
    keyword: str | None = None
    expected: str | None = None
    advice: str | None = None
    found: str | None = None
    size: float | None = None

    def note(self, *, found: bool = True) -> str:
        """The problem without the observation and the file.

        Parameters
        ----------
        found : bool
            Whether to say the value; without it, all observations with the problem have it in the same words.
        """
        where = " ".join(part for part in (f"[{self.hdu}]" if self.hdu else "", self.keyword or "") if part)
        text = f"{where}: {self.message}" if where else self.message
        if found and self.found:
            text += f" ({self.found})"
        if self.expected:
            text += f", expected {self.expected}"
        if self.advice:
            text += f"; {self.advice}"
        return " ".join(text.split())

    def line(self) -> str:
        """The problem in one line, with everything that locates it."""
        where = [f"OBS_ID {self.obs_id}"] if self.obs_id is not None else []
        if self.file:
            where.append(self.file)
        note = self.note()
        if not where:
            return note
        return f"{' '.join(where)}{' ' if note.startswith('[') else ': '}{note}"


@dataclass
class Report:
    """Collects the problems of one place; `at` gives a collector for a place inside it that fills the same list.

    Parameters
    ----------
    obs_id, file, hdu
        The place, see `Problem`.
    problems : list of Problem
        Those found so far.
    """

    obs_id: int | None = None
    file: str | None = None
    hdu: str | None = None
    problems: list[Problem] = field(default_factory=list)

    def at(self, *, obs_id: int | None = None, file: str | None = None, hdu: str | None = None) -> Report:
        """Collector of the same list for an observation, a file or an HDU."""
        return replace(
            self,
            obs_id=self.obs_id if obs_id is None else obs_id,
            file=self.file if file is None else file,
            hdu=self.hdu if hdu is None else hdu,
        )

    def error(self, message: str, **details: Any) -> None:
        """Record what sets the observation aside; `details` are fields of `Problem`."""
        self._add(Problem("error", message, self.obs_id, self.file, self.hdu, **details))

    def doubt(self, message: str, **details: Any) -> None:
        """Record numbers that were read, but should not be as they are; `details` are fields of `Problem`."""
        self._add(Problem("doubt", message, self.obs_id, self.file, self.hdu, **details))

    def warning(self, message: str, **details: Any) -> None:
        """Record what was odd, and how it was read; `details` are fields of `Problem`."""
        self._add(Problem("warning", message, self.obs_id, self.file, self.hdu, **details))

    def _add(self, problem: Problem) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Those that set something aside."""
        return tuple(p for p in self.problems if p.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Those that were read all the same, doubts included."""
        return tuple(p for p in self.problems if p.severity != "error")


def summary(problems: Iterable[Problem], *, strict: bool = False) -> Iterator[str]:
    """Lines for people: errors one by one, a warning that many observations share once, with their number.

    Parameters
    ----------
    problems : iterable of Problem
        Of a data store.
    strict : bool
        Doubts are errors too.

    Yields
    ------
    str
        One line, errors first.
    """
    shared: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        if problem.severity == "error":
            yield f"error: {problem.line()}"
        else:
            word = "error" if strict and problem.severity == "doubt" else "warning"
            shared.setdefault((word, problem.note(found=False)), []).append(problem)
    for (word, note), group in sorted(shared.items(), key=lambda one: one[0][0]):
        if len(group) == 1:
            yield f"{word}: {group[0].line()}"
        else:
            worst = max(group, key=lambda one: -math.inf if one.size is None else one.size)
            told = f"; worst in {_place(worst)}: {worst.found}" if worst.size is not None else ""
            yield f"{word}: {note} ({len(group)} times, first in {_place(group[0])}{told})"


def _place(problem: Problem) -> str | None:
    return problem.file if problem.obs_id is None else f"OBS_ID {problem.obs_id}"


def refused(problems: Iterable[Problem]) -> list[str]:
    """What ``strict`` refuses: a line an error, and a line for a doubt that many observations share."""
    return [line for line in summary(problems, strict=True) if line.startswith("error")]
