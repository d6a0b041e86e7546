"""Response HDUs of GADF: a binary table with one row, to a response table with named axes."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from survey.events import units
from survey.events.checks import check_axis, check_response
from survey.events.fits_file import FitsError, Hdu
from survey.events.fits_table import BinaryTable, Column
from survey.events.gadf_forms import AXES, AXIS_ALIASES, FORMS, Form, classify, find_axis, find_column
from survey.events.headers import Keywords
from survey.events.problems import Report
from survey.response.table import ResponseAxis, ResponseTable

WORDS = ("HDUCLAS3", "HDUVERS", "FOVALIGN", "CREATOR", "TELESCOP", "INSTRUME")
NUMBERS = ("LO_THRES", "HI_THRES", "RAD_MAX")


def read_response(hdu: Hdu, *, listed: str = "", report: Report) -> ResponseTable | None:
    """Read a response HDU.

    Parameters
    ----------
    hdu : Hdu
        The HDU.
    listed : str
        Its class in the index; empty where there is none.
    report : Report
        Of the HDU.

    Returns
    -------
    ResponseTable or None
        None after an error.
    """
    try:
        table = BinaryTable(hdu)
        form = classify(table, listed, report)
        if form is None:
            return None
        if table.length != 1:
            report.error(f"has {table.length} rows, expected 1")
            return None
        return _read(table, form, report)
    except FitsError as error:
        report.error(str(error))
        return None


def _read(table: BinaryTable, name: str, report: Report) -> ResponseTable | None:
    before = len(report.errors)
    form = FORMS[name]
    axes = {stem: _axis(table, stem, form, report) for stem in form.axes}
    values: dict[str, NDArray[np.floating]] = {}
    found_units: dict[str, str] = {}
    order: tuple[str, ...] = ()
    for wanted, canonical in form.columns.items():
        spelling = find_column(table, wanted)
        column = table.find(spelling) if spelling else None
        if column is None:
            raise FitsError(f"has no column {wanted}")
        this = _order(table, column, wanted, axes, form, report)
        if this is None:
            continue
        if order and this != order:
            report.error(f"{wanted} has its axes in the order {this}, the columns before it {order}")
            continue
        order = this
        shape = tuple(axes[stem].size for stem in reversed(order))
        cells = table.read(column).reshape(-1)
        if cells.dtype.kind not in "fiu":
            report.error(f"{wanted} has elements of type {cells.dtype}, expected numbers")
            continue
        if cells.dtype.kind != "f":
            cells = cells.astype(np.float64)
        values[wanted] = cells.reshape(shape)
        found_units[wanted] = _unit(column.unit, wanted, canonical, report)
    if len(report.errors) > before:
        return None
    keywords = Keywords(table.header, report)
    metadata = keywords.pick(WORDS)
    if "HDUVERS" in metadata:
        metadata["HDUVERS"] = keywords.text("HDUVERS")
    for keyword in NUMBERS:
        number = keywords.number(keyword)
        if number is not None:
            metadata[keyword] = number
    if "HDUCLAS3" in metadata:
        metadata["HDUCLAS3"] = str(metadata["HDUCLAS3"]).upper()
    response = ResponseTable(name, tuple(axes[stem] for stem in reversed(order)), values, found_units, metadata)
    check_response(response, report)
    return None if len(report.errors) > before else response


def _axis(table: BinaryTable, stem: str, form: Form, report: Report) -> ResponseAxis:
    spelling = find_axis(table, stem)
    if spelling is None:
        raise FitsError(f"has no columns {stem}_LO and {stem}_HI")
    name, canonical = AXES[stem]
    edges = []
    for end in ("LO", "HI"):
        column = table.find(f"{spelling}_{end}")
        assert column is not None
        factor = _axis_factor(column, canonical, report)
        numbers = table.read(column).reshape(-1)
        if numbers.dtype.kind not in "fiu":
            raise FitsError(f"{column.name} has elements of type {numbers.dtype}, expected numbers")
        numbers = numbers.astype(np.float64)
        edges.append(numbers if factor == 1.0 else numbers * factor)
    low, high = edges
    if low.size != high.size or not low.size:
        raise FitsError(f"{stem}_LO has {low.size} elements, {stem}_HI {high.size}")
    axis = ResponseAxis(form.energy if name == "energy" else name, low, high)
    check_axis(axis, stem, report)
    return axis


def _axis_factor(column: Column, canonical: str, report: Report) -> float:
    if not canonical:
        return 1.0
    if not column.unit:
        report.warning(f"no unit, {canonical} assumed", keyword=column.name[:-3])
        return 1.0
    factor = units.factor(column.unit, canonical)
    if factor is None:
        if units.normalise(column.unit) is None:
            report.warning(f"unit {column.unit!r} is not understood, {canonical} assumed", keyword=column.name[:-3])
            return 1.0
        raise FitsError(f"{column.name} has the unit {column.unit!r}, expected {canonical}")
    return factor


def _unit(unit: str, column: str, canonical: str, report: Report) -> str:
    found = units.normalise(unit)
    if found is None:
        report.warning(f"unit {unit!r} is not understood, {canonical or 'none'} assumed", keyword=column)
        return canonical
    if not found:
        if canonical:
            report.warning(f"no unit, {canonical} assumed", keyword=column)
        return canonical
    if units.factor(found, canonical) is None:
        report.error(f"has the unit {unit!r}", keyword=column, expected=canonical or "none")
    return found


def _order(
    table: BinaryTable, column: Column, name: str, axes: dict[str, ResponseAxis], form: Form, report: Report
) -> tuple[str, ...] | None:
    """Order of the axes of a column, first dimension fastest: by CREF, else by that of the columns of its axes."""
    sizes = {stem: axis.size for stem, axis in axes.items()}
    reference = table.header.get(f"CREF{column.number}")
    if f"TDIM{column.number}" in table.header and not column.dims:
        found = table.header[f"TDIM{column.number}"]
        report.warning(f"is {found!r} and was ignored", keyword=f"TDIM{column.number}", expected="whole numbers")
    count = int(np.prod([sizes[stem] for stem in form.axes], dtype=np.int64))
    if column.repeat != count or (column.dims and int(np.prod(column.dims, dtype=np.float64)) != count):
        dims = column.dims or (column.repeat,)
        report.error(_mismatch(name, dims, form.axes, sizes, "" if reference is None else f"CREF {reference}"))
        return None
    if reference is not None:
        order = _parse_reference(str(reference), axes)
        if order is None:
            report.error(
                f"is {reference!r}",
                keyword=f"CREF{column.number}",
                expected=f"the axes {', '.join(f'{stem}_LO:{stem}_HI' for stem in axes)}",
            )
            return None
        if _fits(column.dims, order, sizes):
            return order
        report.error(_mismatch(name, column.dims, order, sizes, f"CREF {reference}"))
        return None
    spelled: dict[str, Any] = {stem: table.find(f"{find_axis(table, stem)}_LO") for stem in axes}
    order = tuple(sorted(axes, key=lambda stem: spelled[stem].number))
    if "DETX" in axes:
        # DETX and DETY have one size as a rule, so that the order of the columns cannot tell them apart. H.E.S.S. writes
        # the reverse of the recommended order: energy slowest, DETY fastest, though DETX is its first column.
        known = [one for one in (form.axes, form.alternative) if _fits(column.dims, one, sizes)]
        if len(known) > 1 and column.repeat > 1:
            report.warning(f"no CREF and axes of one size, read as {' x '.join(known[0])}", keyword=name)
        if known:
            return known[0]
    if _fits(column.dims, order, sizes):
        return order
    if form.alternative and _fits(column.dims, form.alternative, sizes):
        report.warning(
            f"no CREF, shape {_tuple(column.dims)} read as {' x '.join(form.alternative)}, not in order of columns",
            keyword=name,
        )
        return form.alternative
    report.error(_mismatch(name, column.dims, order, sizes, "no CREF"))
    return None


def _parse_reference(text: str, axes: dict[str, ResponseAxis]) -> tuple[str, ...] | None:
    """``(ENERG_LO:ENERG_HI,THETA_LO:THETA_HI)`` to stems; None when it does not name every axis once."""
    spelled = {alias: stem for stem, aliases in AXIS_ALIASES.items() for alias in aliases}
    stems = []
    for part in text.strip().strip("()").split(","):
        match = re.fullmatch(r"\s*(\w+)_LO\s*(?::\s*\w+_HI)?\s*", part.upper())
        if match:
            stems.append(spelled.get(match[1], match[1]))
    return tuple(stems) if sorted(stems) == sorted(axes) else None


def _fits(dims: tuple[int, ...], order: tuple[str, ...], sizes: dict[str, int]) -> bool:
    """Whether dimensions are those of axes; without TDIM they are, and axes of one bin may be left out at the end."""
    if not dims:
        return True
    wanted = tuple(sizes[stem] for stem in order)
    padded = dims + (1,) * (len(wanted) - len(dims))
    return padded == wanted


def _tuple(dims: tuple[int, ...]) -> str:
    return f"({','.join(str(size) for size in dims)})"


def _mismatch(name: str, dims: tuple[int, ...], order: tuple[str, ...], sizes: dict[str, int], why: str) -> str:
    axes = " x ".join(f"{stem}({sizes[stem]})" for stem in order)
    return f"{name} shape {_tuple(dims)} does not match axes {axes}; {why or 'no CREF'}"
