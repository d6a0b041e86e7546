"""The table of observations, `observations.ecsv`: a row each, whatever became of it.

Rows are made, counted and written a few hundred at a time: those of a large survey together would be most of the driver's memory.
"""

from __future__ import annotations

import heapq
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import attrgetter, itemgetter
from typing import Any

import numpy as np
from astropy.table import Table

from cluster import Outcome
from survey.events.problems import Problem
from survey.events.source import ObservationSource
from survey.reduction.graph import background_slot, observation_slot
from survey.reduction.ledger import Ledger
from survey.reduction.prepare import POINT_LIKE
from survey.survey_plan import SurveyPlan

FLOAT_COLUMNS = {
    "ra_pnt": ("deg", "right ascension of the pointing at mid-run, ICRS"),
    "dec_pnt": ("deg", "declination of the pointing at mid-run, ICRS"),
    "zenith": ("deg", "zenith angle of the pointing"),
    "ontime": ("s", "sum of the good time intervals"),
    "livetime": ("s", "ontime less dead time"),
    "energy_min": ("TeV", "lower end of the safe range, before it is brought to the bins"),
    "energy_max": ("TeV", "upper end of the safe range, before it is brought to the bins"),
    "norm": ("", "norm of the background"),
    "norm_err": ("", "its error"),
    "tilt": ("", "tilt of the background's spectrum"),
    "tilt_err": ("", "its error"),
}
LEDGER_COLUMNS = tuple(Ledger().as_dict())
PIECE = 500
"""Rows that are made at once."""

Row = dict[str, Any]


@dataclass
class Totals:
    """What a run says of all its observations, counted row by row."""

    rows: int = 0
    """Observations."""
    used: set[str] = field(default_factory=set)
    """Identities of those in the cube."""
    unused: list[str] = field(default_factory=list)
    """A line each of the others: which, and why."""
    ledger: Ledger = field(default_factory=Ledger)
    """Where their events went."""
    point_like: int = 0
    """Observations with responses for a point-like source."""

    def counting(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The same rows, counted as they pass: the totals are those of all rows when the last has been taken."""
        for row in rows:
            self.rows += 1
            self.ledger += Ledger(**{name: row[name] for name in LEDGER_COLUMNS})
            self.point_like += POINT_LIKE in row["notes"]
            if row["status"] == "used":
                self.used.add(row["identity"])
            else:
                self.unused.append(f"{row['identity'] or row['obs_id']}: {row['reason'].splitlines()[0]}")
            yield row


def rows_of(plan: SurveyPlan, outcomes: Mapping[str, Outcome]) -> Iterator[Row]:
    """Rows of all observations, by obs_id, those that the index lists but that cannot be opened among them.

    Parameters
    ----------
    plan : SurveyPlan
        The run.
    outcomes : mapping
        How its units ended, by slot.
    """
    order = ("obs_id", "identity")
    planned = (_row(plan, source, outcomes) for source in sorted(plan.sources, key=attrgetter(*order)))
    unopened = sorted(_problem_rows(plan.problems), key=itemgetter(*order))
    return heapq.merge(planned, unopened, key=itemgetter(*order))


def table_text(rows: Iterable[Row]) -> bytes:
    """The table as ECSV, made piece by piece: its cells take many times the memory of its text."""
    left = iter(rows)
    text = [_text(list(islice(left, PIECE)), "ascii.ecsv")]
    while piece := list(islice(left, PIECE)):
        text.append(_text(piece, "ascii.no_header"))
    return b"".join(text)


def empty_row(identity: str, obs_id: int) -> Row:
    """A row of which nothing is known yet."""
    row: Row = {"identity": identity, "obs_id": obs_id, "object": "", "status": "", "reason": ""}
    row |= dict.fromkeys(FLOAT_COLUMNS, math.nan)
    row |= dict.fromkeys(LEDGER_COLUMNS, 0)
    row |= {"n_events": 0, "n_in_cube": 0, "flag": "", "notes": ""}
    return row


def _row(plan: SurveyPlan, source: ObservationSource, outcomes: Mapping[str, Outcome]) -> Row:
    """Row of an observation, whatever became of it."""
    prepared = outcomes[observation_slot(source.identity)]
    fitted = outcomes.get(background_slot(source.identity))
    row = empty_row(source.identity, source.obs_id)
    result = prepared.result
    if not prepared.is_done or result is None:
        row["status"], row["reason"] = prepared.status, prepared.reason
        row |= (result or {}).get("ledger", {})
        row["n_events"] = row["read"]
        return row
    row |= {name: value for name, value in result["row"].items() if name not in ("notes",)}
    row["notes"] = " | ".join(result["row"]["notes"])
    row |= result["ledger"]
    if fitted is not None:
        if fitted.is_done:
            row |= {name: value for name, value in (fitted.result or {}).items() if name in row}
        else:
            row["reason"] = fitted.reason
            if plan.config.datasets.background.on_failure == "set_aside" or fitted.status == "failed":
                row["status"] = fitted.status
                row |= Ledger.of_rejected(row["read"]).as_dict()
                return row
    row["status"] = "used"
    return row


def _problem_rows(problems: Iterable[Problem]) -> list[Row]:
    """Rows of the observations that cannot be opened: one each, whatever the number of errors."""
    rows: dict[int, Row] = {}
    for problem in problems:
        if problem.severity != "error":
            continue
        obs_id = -1 if problem.obs_id is None else problem.obs_id
        row = rows.setdefault(obs_id, empty_row("", obs_id))
        row["status"] = "set_aside"
        row["reason"] = "\n".join(filter(None, (row["reason"], problem.line())))
    return list(rows.values())


def _text(rows: Sequence[Row], style: str) -> bytes:
    names = list(empty_row("", 0))
    table = Table({name: [row[name] for row in rows] for name in names}, names=names)
    for name, (unit, description) in FLOAT_COLUMNS.items():
        table[name] = np.asarray([row[name] for row in rows], dtype=np.float64)
        table[name].unit = unit or None
        table[name].description = description
    buffer = io.StringIO()
    table.write(buffer, format=style)
    return buffer.getvalue().encode()
