"""The columns of a binary table, as native arrays in the precision of the file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from survey.events.fits_file import FitsError, Hdu, Header

CODES = {"L": "i1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8", "C": ">c8", "M": ">c16"}
# Unsigned integers are stored as signed ones with this zero point.
UNSIGNED = {("I", 2**15): np.uint16, ("J", 2**31): np.uint32, ("K", 2**63): np.uint64}
MAX_COLUMNS = 999


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    name, unit, code : str
        ``TTYPE``, ``TUNIT``, and the letter of ``TFORM``.
    repeat : int
        Elements in a cell.
    offset, width : int
        Where a cell lies in a row, bytes.
    dims : tuple of int
        ``TDIM``: first dimension fastest; empty where there is none.
    number : int
        Its number, counted from 1.
    scale, zero : float
        ``TSCAL``, ``TZERO``.
    """

    name: str
    unit: str
    code: str
    repeat: int
    offset: int
    width: int
    dims: tuple[int, ...]
    number: int
    scale: float = 1
    zero: float = 0


class BinaryTable:
    """The binary table of an HDU.

    Parameters
    ----------
    hdu : Hdu
        A binary table.

    Raises
    ------
    FitsError
        When header and data disagree.
    """

    def __init__(self, hdu: Hdu) -> None:
        if not hdu.is_table:
            raise FitsError("is not a binary table")
        self.hdu = hdu
        self.header: Header = hdu.header
        width, length = self.header.get("NAXIS1"), self.header.get("NAXIS2")
        if self.header.get("NAXIS") != 2 or not isinstance(width, int) or not isinstance(length, int):
            raise FitsError(f"a table has NAXIS = 2, found {self.header.get('NAXIS')!r}")
        if self.header.get("BITPIX") != 8:
            raise FitsError(f"a table has BITPIX = 8, found {self.header.get('BITPIX')!r}")
        if width == 0 and length > 0:
            raise FitsError(f"has {length} rows of no bytes")
        if width * length > hdu.size:
            raise FitsError(f"{length} rows of {width} bytes do not fit its {hdu.size} bytes of data")
        self.width, self.length = width, length
        self.columns: dict[str, Column] = {}
        self.namesakes: dict[str, list[int]] = {}
        """Numbers of the columns of a name that several have."""
        for column in self._columns():
            first = self.columns.setdefault(column.name, column)
            if first is not column:
                self.namesakes.setdefault(column.name, [first.number]).append(column.number)

    def _columns(self) -> Iterator[Column]:
        fields = self.header.get("TFIELDS")
        if isinstance(fields, bool) or not isinstance(fields, int) or not 0 <= fields <= MAX_COLUMNS:
            raise FitsError(f"TFIELDS is {fields!r}, expected 0 to {MAX_COLUMNS}")
        offset = 0
        for i in range(1, fields + 1):
            form = str(self.header.get(f"TFORM{i}", "")).strip().upper()
            match = re.fullmatch(r"(\d{0,12})([LXBIJKAEDCMPQ])(.*)", form)
            if not match:
                raise FitsError(f"TFORM{i} is {form!r}, expected a binary format")
            repeat = int(match[1] or 1)
            code = match[2]
            width = _width(code, repeat)
            column = Column(
                name=str(self.header.get(f"TTYPE{i}", f"col{i}")).strip(),
                unit=str(self.header.get(f"TUNIT{i}", "")).strip(),
                code=code,
                repeat=repeat,
                offset=offset,
                width=width,
                dims=_dims(self.header.get(f"TDIM{i}")),
                number=i,
                scale=_number(self.header.get(f"TSCAL{i}", 1), f"TSCAL{i}"),
                zero=_number(self.header.get(f"TZERO{i}", 0), f"TZERO{i}"),
            )
            offset += width
            yield column
        if offset != self.width:
            raise FitsError(f"columns take {offset} bytes a row, NAXIS1 says {self.width}")

    @cached_property
    def _upper(self) -> dict[str, Column]:
        upper: dict[str, Column] = {}
        for name, column in self.columns.items():
            upper.setdefault(name.upper(), column)
        return upper

    def find(self, name: str) -> Column | None:
        """The column of that name, spelt like it if there is one, in any case otherwise; None if there is none."""
        return self.columns.get(name) or self._upper.get(name.upper())

    def __contains__(self, name: str) -> bool:
        return self.find(name) is not None

    def read(self, column: Column | str) -> NDArray[Any]:
        """A column.

        Parameters
        ----------
        column : Column or str
            Which.

        Returns
        -------
        numpy.ndarray
            Contiguous and in native byte order: ``(rows,)``, or ``(rows, repeat)`` where a cell has several elements.
            Bits and logical values are bool, text is `numpy.dtypes.StringDType`, unsigned integers are unsigned, scaled
            columns float64.

        Raises
        ------
        FitsError
            When there is no such column, or its elements are of a kind that is not read (variable length).
        """
        if isinstance(column, str):
            found = self.find(column)
            if found is None:
                raise FitsError(f"has no column {column}, only {', '.join(self.columns)}")
            column = found
        if column.code in "PQ":
            raise FitsError(f"column {column.name} has cells of variable length, which are not read")
        rows = np.frombuffer(self.hdu.data, dtype=np.uint8, count=self.length * self.width)
        cells = rows.reshape(self.length, self.width)[:, column.offset : column.offset + column.width]
        if column.code == "X":
            return np.unpackbits(np.ascontiguousarray(cells), axis=1, count=column.repeat).astype(bool)
        if column.code == "A":
            return _text(cells, column.width)
        dtype = np.dtype(CODES[column.code])
        values = np.ascontiguousarray(cells).view(dtype) if column.width else np.empty((self.length, 0), dtype)
        if column.repeat == 1:
            values = values.reshape(self.length)
        if column.code == "L":
            return values == ord("T")
        values = values.astype(dtype.newbyteorder("="))
        if column.scale == 1 and column.zero == 0:
            return values
        unsigned = UNSIGNED.get((column.code, int(column.zero))) if column.scale == 1 else None
        if unsigned is not None:
            return values.view(unsigned) ^ unsigned(int(column.zero))
        with np.errstate(all="ignore"):
            return values * column.scale + column.zero


def _width(code: str, repeat: int) -> int:
    if code == "X":
        return -(-repeat // 8)
    if code == "A":
        return repeat
    if code in "PQ":
        return repeat * (8 if code == "P" else 16)
    return repeat * np.dtype(CODES[code]).itemsize


def _dims(value: object) -> tuple[int, ...]:
    parts = str(value or "").strip().strip("()").split(",")
    try:
        return tuple(int(part) for part in parts)
    except ValueError:
        return ()


def _number(value: object, keyword: str) -> float:
    if not isinstance(value, bool) and isinstance(value, int | float) and abs(value) < np.finfo(np.float64).max:
        return float(value)
    raise FitsError(f"{keyword} is {value!r}, expected a number")


def _text(cells: NDArray[np.uint8], width: int) -> NDArray[Any]:
    if not width:
        return np.full(len(cells), "", dtype=np.dtypes.StringDType())
    raw = np.ascontiguousarray(cells).view(f"S{width}").reshape(len(cells))
    return np.array(
        [item.split(b"\0")[0].decode("latin-1").rstrip() for item in raw.tolist()], dtype=np.dtypes.StringDType()
    )
