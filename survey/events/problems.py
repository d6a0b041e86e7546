"""What is odd or wrong in a data store: one problem a line, collected before anybody is told.

`survey.events.checks` and the GADF readers find problems, `survey.events.datastore` reports those of a whole data store at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

Severity = Literal["error", "warning"]


class DataStoreError(ValueError):
    """A data store cannot be opened, or is refused under ``strict``; the message has one line a problem."""


@dataclass(frozen=True)
class Problem:
    """One thing that is odd or wrong.

    Parameters
    ----------
    severity : str
        ``error`` sets the observation aside (and is refused under ``strict``), ``warning`` says how it was read.
    message : str
        What is the matter, in words, with the value found.
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
    """

    severity: Severity
    message: str
    obs_id: int | None = None
    file: str | None = None
    hdu: str | None = None
    keyword: str | None = None
    expected: str | None = None
    advice: str | None = None

    def note(self) -> str:
        """The problem without the observation and the file: the same words for every observation that has it."""
        where = " ".join(part for part in (f"[{self.hdu}]" if self.hdu else "", self.keyword or "") if part)
        text = f"{where}: {self.message}" if where else self.message
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

    def _add(
        self, severity: Severity, message: str, keyword: str | None, expected: str | None, advice: str | None
    ) -> None:
        problem = Problem(severity, message, self.obs_id, self.file, self.hdu, keyword, expected, advice)
        if problem not in self.problems:
            self.problems.append(problem)

    def error(
        self, message: str, *, keyword: str | None = None, expected: str | None = None, advice: str | None = None
    ) -> None:
        """Record what sets the observation aside."""
        self._add("error", message, keyword, expected, advice)

    def warning(
        self, message: str, *, keyword: str | None = None, expected: str | None = None, advice: str | None = None
    ) -> None:
        """Record what was odd, and how it was read."""
        self._add("warning", message, keyword, expected, advice)

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Those that set something aside."""
        return tuple(p for p in self.problems if p.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Those that were read all the same."""
        return tuple(p for p in self.problems if p.severity == "warning")


def summary(problems: Iterable[Problem]) -> Iterator[str]:
    """Lines for people: errors one by one, a warning that many observations share once, with their number.

    Parameters
    ----------
    problems : iterable of Problem
        Of a data store.

    Yields
    ------
    str
        One line, errors first.
    """
    shared: dict[str, list[Problem]] = {}
    for problem in problems:
        if problem.severity == "error":
            yield f"error: {problem.line()}"
        else:
            shared.setdefault(problem.note(), []).append(problem)
    for note, group in shared.items():
        if len(group) == 1:
            yield f"warning: {group[0].line()}"
        else:
            yield f"warning: {note} ({len(group)} times, first in OBS_ID {group[0].obs_id})"
