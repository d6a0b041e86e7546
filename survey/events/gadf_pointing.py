"""Where the telescopes looked: from the EVENTS header (fixed in ICRS, or drifting) or from a POINTING table."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping

import numpy as np
from astropy.coordinates import EarthLocation

from survey.events import units
from survey.events.fits_file import FitsError, Hdu, HeaderValue
from survey.events.fits_table import BinaryTable
from survey.events.headers import MAX_SECONDS, Keywords, read_reference
from survey.events.observation import Pointing, TimeReference
from survey.events.problems import Report
from survey.sky.earth_rotation import installed_rotation, unlikely_year

FIXED_MODES = ("POINTING", "WOBBLE")
MOVING_MODES = ("RASTER", "SLEW", "SCAN")


def read_location(keywords: Keywords) -> EarthLocation | None:
    """Place of the observatory: ``GEOLON``, ``GEOLAT``, ``ALTITUDE`` (or ``GEOALT``); None when it is not given."""
    longitude = keywords.number("GEOLON", low=-360, high=360)
    latitude = keywords.number("GEOLAT", low=-90, high=90)
    height = keywords.first("ALTITUDE", "GEOALT", low=-1e4, high=1e5)
    if longitude is None or latitude is None:
        return None
    import astropy.units as u

    return EarthLocation.from_geodetic(longitude * u.deg, latitude * u.deg, (height or 0.0) * u.m)


def read_mode(keywords: Keywords) -> str:
    """``OBS_MODE`` in capitals; POINTING where it is missing, with a warning."""
    mode = keywords.text("OBS_MODE").upper()
    if not mode:
        keywords.report.warning("is missing, POINTING assumed", keyword="OBS_MODE")
        return "POINTING"
    return mode


def read_pointing(
    keywords: Keywords,
    *,
    table: Hdu | None,
    record: Mapping[str, HeaderValue],
    location: EarthLocation | None,
    reference: TimeReference,
    middle: float,
    table_report: Report,
) -> Pointing | None:
    """The pointing of an observation.

    Parameters
    ----------
    keywords : Keywords
        Of the EVENTS HDU.
    table : Hdu or None
        The POINTING HDU.
    record : mapping
        The observation's row in the index: used where the header says nothing.
    location : EarthLocation or None
        Of the observatory.
    reference : TimeReference
        Of the events.
    middle : float
        Middle of the good times, s since `reference`.
    table_report : Report
        Of the POINTING HDU.

    Returns
    -------
    Pointing or None
        None after an error.
    """
    report = keywords.report
    mode = read_mode(keywords)
    alt = keywords.number("ALT_PNT", low=-90, high=90)
    az = keywords.number("AZ_PNT", low=-360, high=360)
    if mode != "DRIFT" and ("ALT_PNT" not in keywords or "AZ_PNT" not in keywords):
        report.warning("ALT_PNT or AZ_PNT is missing")
    horizontal = (math.nan if alt is None else alt, math.nan if az is None else az)
    if table is not None:
        return _from_table(table, reference, middle, horizontal, table_report)
    if mode == "DRIFT":
        alt = _fall_back(alt, "ALT_PNT", keywords, record)
        az = _fall_back(az, "AZ_PNT", keywords, record)
        if alt is None or az is None:
            return None
        return _drifting(alt, az, location, reference, middle, report)
    if mode in MOVING_MODES:
        report.warning(f"is {mode} without a pointing table: read as fixed at RA_PNT, DEC_PNT", keyword="OBS_MODE")
    elif mode not in FIXED_MODES:
        report.warning(f"is {mode!r}, read as POINTING", keyword="OBS_MODE")
    ra = _fall_back(keywords.number("RA_PNT", low=-360, high=360), "RA_PNT", keywords, record)
    dec = _fall_back(keywords.number("DEC_PNT", low=-90, high=90), "DEC_PNT", keywords, record)
    if ra is None or dec is None:
        return None
    return Pointing("icrs", ra, dec, *horizontal)


def _fall_back(
    value: float | None, keyword: str, keywords: Keywords, record: Mapping[str, HeaderValue]
) -> float | None:
    if value is not None or keyword in keywords:
        return value
    listed = Keywords(record, keywords.report).number(keyword, low=-360, high=360)
    if listed is None:
        keywords.report.error("is missing, and the index has none", keyword=keyword, expected="deg")
    else:
        keywords.report.warning("is missing, taken from the index", keyword=keyword)
    return listed


def _drifting(
    alt: float, az: float, location: EarthLocation | None, reference: TimeReference, middle: float, report: Report
) -> Pointing | None:
    """A pointing fixed in the horizontal frame, without refraction."""
    if location is None:
        report.error("is missing: a drifting pointing has no position on the sky without it", keyword="GEOLON, GEOLAT")
        return None
    if (year := unlikely_year(reference.mjd_at(middle))) is not None:
        words = f"is {reference.mjdrefi}, which puts the good times of a drifting pointing into the year {year}"
        report.error(words, keyword="MJDREFI", expected="1900 to 2100", advice="correct MJDREFI or the good times")
        return None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            ra, dec = drift_position(alt, az, location, reference, middle)
        except (ValueError, IndexError) as error:
            report.error(f"the drifting pointing cannot be computed: {' '.join(str(error).split())}")
            return None
    for warning in caught:
        report.warning(f"drifting pointing: {' '.join(str(warning.message).split())[:120]}")
    return Pointing("altaz", ra, dec, alt, az)


def drift_position(
    alt: float, az: float, location: EarthLocation, reference: TimeReference, at: float
) -> tuple[float, float]:
    """Position in ICRS of a direction fixed in the horizontal frame, without refraction.

    Parameters
    ----------
    alt, az : float
        deg.
    location : EarthLocation
        Of the observatory.
    reference : TimeReference
        What `at` counts from.
    at : float
        s.

    Returns
    -------
    ra, dec : float
        deg.
    """
    import astropy.units as u
    from astropy.coordinates import ICRS, AltAz, SkyCoord
    from astropy.time import TimeDelta

    with installed_rotation():
        frame = AltAz(obstime=reference.time + TimeDelta(at, format="sec"), location=location)
        position = SkyCoord(az * u.deg, alt * u.deg, frame=frame).transform_to(ICRS())
    return float(position.ra.deg), float(position.dec.deg)


def _from_table(
    hdu: Hdu, reference: TimeReference, middle: float, horizontal: tuple[float, float], report: Report
) -> Pointing | None:
    before = len(report.errors)
    columns = {}
    try:
        table = BinaryTable(hdu)
        for name, unit in (("TIME", "s"), ("RA_PNT", "deg"), ("DEC_PNT", "deg")):
            column = table.find(name)
            if column is None or column.repeat != 1 or column.code not in "BIJKED":
                report.error("is missing or has not one number a row", keyword=name)
                continue
            values = table.read(column).astype(np.float64)
            factor = units.factor(column.unit, unit) if column.unit else 1.0
            if factor is None:
                report.error(f"has the unit {column.unit!r}", keyword=name, expected=unit)
                continue
            columns[name] = values * factor if factor != 1.0 else values
    except FitsError as error:
        report.error(str(error))
    own = read_reference(Keywords(hdu.header, report), required=False)
    if len(report.errors) > before:
        return None
    time, ra, dec = columns["TIME"], columns["RA_PNT"], columns["DEC_PNT"]
    good = (np.abs(time) <= MAX_SECONDS) & (np.abs(ra) <= 360) & (np.abs(dec) <= 90)
    if not good.all():
        i = int(np.argmin(good))
        report.error(f"row {i + 1} cannot be: TIME {time[i]:g}, RA_PNT {ra[i]:g}, DEC_PNT {dec[i]:g}")
        return None
    if not time.size:
        report.error("has no rows")
        return None
    if own is not None and own != reference:
        time = time + (own.time - reference.time).to_value("s")
    if np.any(np.diff(time) <= 0):
        report.warning("times do not rise, sorted on reading", keyword="TIME")
        time, first = np.unique(time, return_index=True)
        ra, dec = ra[first], dec[first]
    if not time[0] <= middle <= time[-1]:
        report.warning("the table does not cover the middle of the good times, its nearest row is used")
    middle_ra, middle_dec = interpolate(time, ra, dec, middle)
    return Pointing("table", middle_ra, middle_dec, *horizontal, time=time, table_ra=ra, table_dec=dec)


def interpolate(time: np.ndarray, ra: np.ndarray, dec: np.ndarray, at: float) -> tuple[float, float]:
    """Position in a pointing table at a time, along the chord between its rows, so that wraps and poles do no harm.

    Parameters
    ----------
    time, ra, dec : numpy.ndarray
        Rows, s (rising) and deg.
    at : float
        s; before the first and after the last row theirs holds.

    Returns
    -------
    ra, dec : float
        deg, 0 <= ra < 360.
    """
    lon, lat = np.radians(ra), np.radians(dec)
    vectors = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    x, y, z = (np.interp(at, time, component) for component in vectors)
    return float(np.degrees(np.arctan2(y, x)) % 360.0), float(np.degrees(np.arctan2(z, np.hypot(x, y))))
