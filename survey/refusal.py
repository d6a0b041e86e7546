"""The refusal: what a run is asked for cannot be done as it stands, and the message says what to do.

The commands answer it with exit status 2 and its lines, without a traceback. This module imports nothing.
"""

from __future__ import annotations

from collections.abc import Iterable


class Refusal(Exception):
    """Work that was refused before it began.

    Parameters
    ----------
    lines : str or iterable of str
        One line a problem: where, what was found, what was expected, what to do.
    """

    def __init__(self, lines: str | Iterable[str]) -> None:
        self.lines: tuple[str, ...] = (lines,) if isinstance(lines, str) else tuple(lines)
        super().__init__("\n".join(self.lines))


class ConfigError(Refusal):
    """A configuration that does not hold; all of its problems at once.

    Parameters
    ----------
    lines : str or iterable of str
        One line a problem, starting with the YAML path.
    source : str
        File that the configuration came from, put before every line.
    """

    def __init__(self, lines: str | Iterable[str], *, source: str = "") -> None:
        given = (lines,) if isinstance(lines, str) else tuple(lines)
        self.source = source
        super().__init__(f"{source}: {line}" if source else line for line in given)
