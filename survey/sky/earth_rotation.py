"""The Earth's rotation, which horizontal directions and UT1 need: from the table that is installed, however old it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from astropy.utils import iers

FIRST, LAST = 15020.0, 88069.0
"""MJD of 1900 and 2100: before and after, nobody knows how the Earth had turned to a fraction of a degree."""


@contextmanager
def installed_rotation() -> Iterator[None]:
    """Nothing is fetched, and what the table does not cover is extrapolated: results must not depend on today's date."""
    with (
        iers.conf.set_temp("auto_download", False),
        iers.conf.set_temp("auto_max_age", None),
        iers.conf.set_temp("iers_degraded_accuracy", "ignore"),
    ):
        yield


def unlikely_year(mjd: float) -> int | None:
    """The year of a moment that no telescope on Earth can mean; None for a likely one."""
    return None if FIRST <= mjd < LAST else round(1858.88 + mjd / 365.2425)
