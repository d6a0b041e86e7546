"""Where the responses of simulated observations come from: the parametrised array by zenith band, or a GADF file.

Runs of one band share one set of tables, which is written once.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from survey.events.fits_file import FitsError, FitsFile
from survey.events.gadf_forms import kind_of_header
from survey.events.gadf_responses import read_response
from survey.events.problems import Report
from survey.response.table import KINDS, ResponseKind, ResponseTable
from survey.simulation.array import ParametrisedArray

NEEDED: tuple[ResponseKind, ...] = ("aeff", "edisp", "psf")
"""Kinds without which nothing can be simulated; a background is asked for only where there is one."""


class ResponsesError(ValueError):
    """A file without the responses that a simulation needs; the message has one line a problem."""


@dataclass(frozen=True)
class ResponseChoice:
    """What the responses of a run are.

    Parameters
    ----------
    array : ParametrisedArray
        The array, unless there is a file.
    zenith_step : float
        Width of its zenith bands, deg; the tables are those of the middle of the band.
    path : str
        A GADF file with responses, the same for every run; empty for the array.
    """

    array: ParametrisedArray = field(default_factory=ParametrisedArray)
    zenith_step: float = 10.0
    path: str = ""

    def band(self, zenith: float) -> float:
        """The zenith angle, deg, that the responses of a run at `zenith` are made for; 0 with a file."""
        return 0.0 if self.path else (zenith // self.zenith_step + 0.5) * self.zenith_step

    def tables(self, zenith: float) -> dict[ResponseKind, ResponseTable]:
        """Response tables of a run at `zenith`, deg.

        Raises
        ------
        ResponsesError
            When the file cannot be read.
        """
        if self.path:
            return dict(_read(self.path, _changed(self.path)))
        return self.array.responses(self.band(zenith))

    def name(self, zenith: float) -> str:
        """Name of the set of tables of a run at `zenith`, deg: what is in it decides."""
        tables = self.tables(zenith)
        content = hashlib.sha256("".join(table.content_hash for table in tables.values()).encode()).hexdigest()[:8]
        return f"responses_{content}" if self.path else f"responses_z{self.band(zenith):04.1f}_{content}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"array": self.array.as_dict(), "zenith_step": self.zenith_step, "path": self.path}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ResponseChoice:
        """Inverse of `as_dict`."""
        return cls(ParametrisedArray(**values["array"]), values["zenith_step"], values["path"])


@lru_cache(maxsize=8)
def _read(path: str, changed: int) -> dict[ResponseKind, ResponseTable]:
    """The response tables of a file, which was changed at a time: those of its first HDU of each kind."""
    report = Report(file=os.path.basename(path))
    found: dict[ResponseKind, ResponseTable] = {}
    try:
        file = FitsFile.open(path)
    except FitsError as error:
        raise ResponsesError(f"{path}: {error}") from None
    for hdu in file.tables:
        kind = kind_of_header(hdu.header)
        if kind in KINDS and kind not in found:
            table = read_response(hdu, report=report.at(hdu=hdu.label))
            if table is not None:
                found[table.kind] = table
    if report.errors:
        raise ResponsesError("\n".join(problem.line() for problem in report.errors))
    missing = [kind for kind in NEEDED if kind not in found]
    if missing:
        there = ", ".join(hdu.label for hdu in file.tables) or "no table"
        raise ResponsesError(f"{path}: found {there}, expected responses of the kinds {', '.join(missing)} too")
    # In the order of the kinds, whatever that of the file.
    return {kind: found[kind] for kind in KINDS if kind in found}


def _changed(path: str) -> int:
    return os.stat(path).st_mtime_ns if os.path.exists(path) else 0
