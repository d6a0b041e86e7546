"""The refusal of a model file or of a collection of models: a line a problem, each with component and key."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import TypeVar

from survey.refusal import Refusal

T = TypeVar("T")


class ModelsError(Refusal, ValueError):
    """Models that do not hold; all of their problems at once.

    Parameters
    ----------
    lines : str or iterable of str
        One line a problem: component and key, what was found, what was expected, what to do.
    source : str
        File that the models came from, put before every line.
    """

    def __init__(self, lines: str | Iterable[str], *, source: str = "") -> None:
        given = (lines,) if isinstance(lines, str) else tuple(lines)
        super().__init__(f"{source}: {line}" if source else line for line in given)


class Problems:
    """Collects refusals, so that all are told and not the first alone."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def attempt(self, work: Callable[[], T]) -> T | None:
        """The result of `work`, or None with its refusal kept."""
        try:
            return work()
        except ModelsError as error:
            self.lines.extend(error.lines)
            return None

    def raise_if_any(self) -> None:
        """Refuse everything that was collected."""
        if self.lines:
            raise ModelsError(self.lines)


def nearest(found: object, valid: Iterable[str]) -> str:
    """``; nearest: NAME`` for a slip of the pen, or ``; there are: ...`` when nothing is near and few exist."""
    names = sorted(set(valid))
    lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(str(found).lower(), list(lower), n=1, cutoff=0.5)
    if close:
        return f"; nearest: {lower[close[0]]}"
    return f"; there are: {', '.join(names)}" if 0 < len(names) <= 12 else ""


def check_keys(entry: dict[str, object], known: Iterable[str], where: str) -> None:
    """Refuse keys that nothing reads, so that a misspelt one does not count as left out."""
    names = tuple(known)
    lines = [f"{where}.{key}: unknown key{nearest(key, names)}" for key in entry if key not in names]
    if lines:
        raise ModelsError(lines)
