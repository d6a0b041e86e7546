"""Header keywords, read for what they should be: what is not that is reported, never passed on."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from survey.events.fits_file import Header, HeaderValue
from survey.events.observation import TimeReference
from survey.events.problems import Report

TIME_KEYWORDS = ("MJDREFI", "MJDREFF", "TIMESYS")
SCALES = ("tt", "utc", "tai", "tdb", "ut1", "tcb", "tcg")
# Seconds since any reference epoch that a telescope could mean; 3,000 years.
MAX_SECONDS = 1e11


@dataclass(frozen=True)
class Keywords:
    """A header and where to report.

    Parameters
    ----------
    header : mapping
        Keywords and values.
    report : Report
        Of its HDU.
    """

    header: Header
    report: Report

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.header

    def text(self, keyword: str, default: str = "") -> str:
        """A text, without blanks at its ends; numbers are taken as written (``HDUVERS = 0.2`` is ``"0.2"``)."""
        value = self.header.get(keyword)
        return default if value is None else str(value).strip()

    def number(self, keyword: str, *, low: float = -math.inf, high: float = math.inf) -> float | None:
        """A finite number within [low, high]; None where there is none, which for a wrong one is an error.

        Parameters
        ----------
        keyword : str
            Its name.
        low, high : float
            What is possible.
        """
        value = self.header.get(keyword)
        if value is None or value == "":
            return None
        number = _number(value)
        if number is None:
            self.report.error(f"is {value!r}", keyword=keyword, expected="a number")
            return None
        if isinstance(value, str):
            self.report.warning("is a number written as text", keyword=keyword)
        if not low <= number <= high:
            expected = "a finite number" if math.isinf(low) and math.isinf(high) else f"{low:g} to {high:g}"
            self.report.error(f"is {number:g}", keyword=keyword, expected=expected)
            return None
        return number

    def first(self, *keywords: str, low: float = -math.inf, high: float = math.inf) -> float | None:
        """The first of several keywords that is there, as `number`."""
        for keyword in keywords:
            if keyword in self.header:
                return self.number(keyword, low=low, high=high)
        return None

    def pick(self, keywords: Iterable[str]) -> dict[str, HeaderValue]:
        """Those of `keywords` that are there, as they are; text without blanks at its ends."""
        values = ((keyword, self.header[keyword]) for keyword in keywords if keyword in self.header)
        return {k: v.strip() if isinstance(v, str) else v for k, v in values if not (isinstance(v, float) and v != v)}


def _number(value: HeaderValue) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def read_reference(keywords: Keywords, *, required: bool = True) -> TimeReference | None:
    """The reference of the times of an HDU.

    Parameters
    ----------
    keywords : Keywords
        Its header.
    required : bool
        Whether its absence is an error.

    Returns
    -------
    TimeReference or None
        None where there is none, or a wrong one.
    """
    report = keywords.report
    whole = keywords.number("MJDREFI", low=-1e6, high=1e6)
    fraction = keywords.number("MJDREFF", low=-1e6, high=1e6)
    if "MJDREFI" not in keywords and "MJDREF" in keywords:
        both = keywords.number("MJDREF", low=-1e6, high=1e6)
        if both is not None:
            whole, fraction = float(math.floor(both)), both - math.floor(both)
    if whole is None:
        if required and "MJDREFI" not in keywords:
            report.error("is missing", keyword="MJDREFI", expected="the day that times count from")
        return None
    if not whole.is_integer():
        report.error(f"is {whole!r}", keyword="MJDREFI", expected="a whole number")
        return None
    if isinstance(keywords.header.get("MJDREFI"), float):
        report.warning(f"is written as {whole!r}, read as {int(whole)}", keyword="MJDREFI")
    scale = keywords.text("TIMESYS").lower()
    if not scale:
        report.warning("is missing, TT assumed", keyword="TIMESYS")
        scale = "tt"
    # FITS lets a realisation follow in brackets: TT(TAI).
    scale = scale.split("(")[0].strip()
    if scale not in SCALES:
        report.error(f"is {keywords.text('TIMESYS')!r}", keyword="TIMESYS", expected=", ".join(SCALES).upper())
        return None
    unit = keywords.text("TIMEUNIT", "s").lower()
    if unit not in ("", "s"):
        report.error(f"is {unit!r}", keyword="TIMEUNIT", expected="s")
        return None
    return TimeReference(int(whole), fraction or 0.0, scale)
