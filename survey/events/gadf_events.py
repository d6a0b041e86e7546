"""The EVENTS and GTI HDUs of GADF: events, good time intervals, dead time."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from survey.events import units
from survey.events.checks import check_events, clean_gti
from survey.events.fits_file import FitsError, Hdu
from survey.events.fits_table import BinaryTable, Column
from survey.events.headers import MAX_SECONDS, Keywords, read_reference
from survey.events.observation import TimeReference
from survey.events.problems import Report

# Columns that every event list must have, and their units inside.
REQUIRED = {"TIME": "s", "RA": "deg", "DEC": "deg", "ENERGY": "TeV"}
ENDS = ("START", "STOP")
# Differences of times that are worth a word, s.
TIME_TOLERANCE = 1.0
FRAMES = ("ICRS", "FK5")


def _check_names(table: BinaryTable, names: Iterable[str], report: Report) -> None:
    for name, numbers in table.namesakes.items():
        if name.upper() in names:
            found = f"is the name of columns {', '.join(map(str, numbers))}"
            report.error(found, keyword=name, expected="one column of that name")


def read_events(hdu: Hdu, report: Report) -> dict[str, NDArray] | None:
    """Read the events.

    Parameters
    ----------
    hdu : Hdu
        The EVENTS HDU.
    report : Report
        Of it.

    Returns
    -------
    dict of str to numpy.ndarray or None
        Columns in file order, see `Observation.events`; None after an error.
    """
    before = len(report.errors)
    try:
        table = BinaryTable(hdu)
    except FitsError as error:
        report.error(str(error))
        return None
    _check_frame(Keywords(table.header, report))
    _check_names(table, REQUIRED, report)
    events: dict[str, NDArray] = {}
    for name, unit in REQUIRED.items():
        column = table.find(name)
        if column is None:
            report.error(f"column is missing, there are {', '.join(table.columns)}", keyword=name)
            continue
        values = _required(table, column, name, unit, report)
        if values is not None:
            events[name] = values
    if len(report.errors) > before:
        return None
    identifier = table.find("EVENT_ID")
    if identifier is not None and identifier.repeat == 1 and identifier.code in "BIJK":
        events = {"EVENT_ID": table.read(identifier), **events}
    else:
        report.warning("column is missing or holds no whole numbers, events are numbered", keyword="EVENT_ID")
        events = {"EVENT_ID": np.arange(table.length, dtype=np.int64), **events}
    taken = {table.find(name) for name in events}
    for column in table.columns.values():
        if column in taken or column.name in events:
            continue
        try:
            events[column.name] = table.read(column)
        except FitsError as error:
            report.warning(f"{error}: left out", keyword=column.name)
    check_events(events, report)
    return events if len(report.errors) == before else None


def _required(table: BinaryTable, column: Column, name: str, unit: str, report: Report) -> NDArray | None:
    if column.repeat != 1 or column.code not in "BIJKED":
        report.error(f"has the format {column.repeat}{column.code}", keyword=name, expected="one number a row")
        return None
    if name == "TIME" and column.code == "E":
        start = table.header.get("TSTART")
        at = float(start) if isinstance(start, int | float) and abs(start) < MAX_SECONDS else 3.2e8
        report.error(f"is float32, which resolves {np.spacing(np.float32(at)):g} s", keyword=name, expected="float64")
        return None
    values = table.read(column)
    if values.dtype.kind != "f" or name == "TIME":
        values = values.astype(np.float64)
    if not column.unit:
        report.warning(f"no unit, {unit} assumed", keyword=name)
        return values
    factor = units.factor(column.unit, unit)
    if factor is None:
        if units.normalise(column.unit) is None:
            report.warning(f"unit {column.unit!r} is not understood, {unit} assumed", keyword=name)
            return values
        report.error(f"has the unit {column.unit!r}", keyword=name, expected=unit)
        return None
    if factor == 1.0:
        return values
    with np.errstate(all="ignore"):
        return values.astype(np.float64) * factor


def _check_frame(keywords: Keywords) -> None:
    report = keywords.report
    new, old = keywords.text("RADESYS").upper(), keywords.text("RADECSYS").upper()
    if new and old and new != old:
        report.warning(f"RADESYS is {new!r} but RADECSYS {old!r}: RADESYS used")
    frame = new or old
    if not frame:
        report.warning("neither RADESYS nor RADECSYS is there, ICRS assumed")
    elif frame not in FRAMES:
        report.error(f"is {frame!r}", keyword="RADESYS" if new else "RADECSYS", expected=" or ".join(FRAMES))
    elif frame == "FK5":
        equinox = keywords.number("EQUINOX")
        if equinox not in (None, 2000.0):
            report.error(f"is {equinox:g} with FK5", keyword="EQUINOX", expected="2000")
        report.warning("FK5 J2000 read as ICRS", keyword="RADESYS" if new else "RADECSYS")


def read_gti(
    hdu: Hdu, reference: TimeReference | None, report: Report
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Read the good time intervals.

    Parameters
    ----------
    hdu : Hdu
        The GTI HDU.
    reference : TimeReference or None
        That of the events; intervals that count from another one are brought to it.
    report : Report
        Of the HDU.

    Returns
    -------
    start, stop : numpy.ndarray
        s since `reference`, sorted, not overlapping. None after an error.
    """
    before = len(report.errors)
    try:
        table = BinaryTable(hdu)
    except FitsError as error:
        report.error(str(error))
        return None
    ends = []
    _check_names(table, ENDS, report)
    for name in ENDS:
        column = table.find(name)
        if column is None:
            report.error(f"column is missing, there are {', '.join(table.columns)}", keyword=name)
        elif column.repeat != 1 or column.code not in "BIJKED":
            report.error(f"has the format {column.repeat}{column.code}", keyword=name, expected="one number a row")
        elif column.code == "E":
            report.error("is float32, which does not resolve seconds", keyword=name, expected="float64")
        else:
            factor = 1.0
            if not column.unit:
                report.warning("GTI columns without unit, s assumed")
            elif (found := units.factor(column.unit, "s")) is not None:
                factor = found
            elif units.normalise(column.unit) is None:
                report.warning(f"unit {column.unit!r} is not understood, s assumed", keyword=name)
            else:
                report.error(f"has the unit {column.unit!r}", keyword=name, expected="s")
            values = table.read(column).astype(np.float64)
            ends.append(values if factor == 1.0 else values * factor)
    own = read_reference(Keywords(table.header, report), required=False)
    if len(report.errors) > before or len(ends) != 2:
        return None
    start, stop = ends
    if own is not None and reference is not None and own != reference:
        shift = (own.time - reference.time).to_value("s")
        # The same reference written with other digits is not another one.
        if abs(shift) > 1e-6:
            report.warning(
                "counts from another reference than the events, brought to it",
                found=f"{shift:.6g} s apart",
                size=abs(float(shift)),
            )
            start, stop = start + shift, stop + shift
    start, stop = clean_gti(start, stop, report)
    return (start, stop) if start.size else None


def read_livetime(keywords: Keywords, ontime: float) -> float | None:
    """Livetime of the good times: ontime x (dead-time correction).

    Parameters
    ----------
    keywords : Keywords
        Of the EVENTS HDU: ``DEADC``, else ``LIVETIME / ONTIME``.
    ontime : float
        Sum of the good time intervals, s.

    Returns
    -------
    float or None
        s; None after an error.
    """
    report = keywords.report
    before = len(report.errors)
    correction = keywords.number("DEADC")
    listed_live = keywords.number("LIVETIME")
    listed_on = keywords.number("ONTIME")
    if len(report.errors) > before:
        return None
    if listed_on is not None and abs(listed_on - ontime) > TIME_TOLERANCE:
        report.warning(
            "differs from the sum of the good times, which is used",
            keyword="ONTIME",
            found=f"{listed_on:.6g} s, GTI {ontime:.6g} s",
            size=abs(listed_on - ontime),
        )
    if correction is None:
        if listed_live is None or not listed_on:
            missing = "LIVETIME" if listed_live is None else "ONTIME"
            report.error(f"is missing, and so is {missing}", keyword="DEADC", expected="DEADC, or LIVETIME and ONTIME")
            return None
        correction = listed_live / listed_on
        report.warning("is missing, LIVETIME / ONTIME used", keyword="DEADC")
    elif listed_live is not None and listed_on and abs(listed_live - listed_on * correction) > 0.01 * listed_on + 1:
        report.warning(
            "LIVETIME is not ONTIME x DEADC, DEADC used",
            found=f"LIVETIME {listed_live:.6g}, ONTIME {listed_on:.6g}, DEADC {correction:.6g}",
            size=abs(listed_live - listed_on * correction),
        )
    # A correction of 1 may be off by round-off.
    if not 0 < correction <= 1 + 1e-6:
        report.error(f"is {correction:.6g}", keyword="DEADC", expected="above 0, at most 1")
        return None
    return ontime * min(correction, 1.0)
