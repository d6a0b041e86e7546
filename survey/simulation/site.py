"""Sites: where an array stands, when it is dark there, and which part of the sky is up.

Formulas here are those of the Astronomical Almanac for low precision: the Sun to 0.01 deg, sidereal time to a second. The
schedule needs no more; what is written into files is transformed by astropy.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property

import astropy.units as u
import numpy as np
from astropy.coordinates import FK5, ICRS, AltAz, EarthLocation, SkyCoord
from astropy.time import Time
from numpy.typing import ArrayLike, NDArray

from survey.sky.earth_rotation import installed_rotation

TURN = 360.98564736629
"""deg that the sky turns in a day of 86400 s."""
J2000 = 51544.5
DARK = -16.0
"""Altitude of the Sun, deg, below which observations are made."""


@dataclass(frozen=True)
class Site:
    """A place on Earth.

    Parameters
    ----------
    lon, lat : float
        Geodetic longitude (east is positive) and latitude, deg.
    height : float
        Above the ellipsoid, m.
    """

    lon: float
    lat: float
    height: float = 0.0

    @cached_property
    def location(self) -> EarthLocation:
        """The place for astropy."""
        return EarthLocation.from_geodetic(self.lon * u.deg, self.lat * u.deg, self.height * u.m)

    def sidereal(self, mjd: ArrayLike) -> NDArray[np.float64]:
        """Local mean sidereal time, deg, at `mjd` (UTC)."""
        return (280.46061837 + TURN * (np.asarray(mjd, np.float64) - J2000) + self.lon) % 360.0

    def nights(self, first: float, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """When it is dark.

        Parameters
        ----------
        first : float
            MJD (UTC); nights whose middle lies before it are left out.
        count : int
            Number of nights.

        Returns
        -------
        start, stop : numpy.ndarray (count,)
            MJD (UTC); equal where it does not get dark.
        """
        middle = np.floor(first) - self.lon / 360.0 + np.arange(-1, count + 2)
        for _ in range(2):
            ra, dec = _sun(middle)
            middle = middle + _wrapped(180.0 - (self.sidereal(middle) - ra)) / TURN
        middle, ra, dec = (values[middle >= first][:count] for values in (middle, ra, dec))
        sin_lat, cos_lat = np.sin(np.radians(self.lat)), np.cos(np.radians(self.lat))
        sin_dec, cos_dec = np.sin(np.radians(dec)), np.cos(np.radians(dec))
        cosine = (np.sin(np.radians(DARK)) - sin_lat * sin_dec) / (cos_lat * cos_dec)
        half = (180.0 - np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))) / TURN
        return middle - half, middle + half

    def largest_hour_angle(self, dec: ArrayLike, zenith_max: float) -> NDArray[np.float64]:
        """Hour angle, deg, up to which `dec` is within `zenith_max` (deg); negative where it never is."""
        lat, dec = np.radians(self.lat), np.radians(np.asarray(dec, np.float64))
        cosine = (np.cos(np.radians(zenith_max)) - np.sin(lat) * np.sin(dec)) / (np.cos(lat) * np.cos(dec))
        return np.where(cosine > 1.0, -1.0, np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def _sun(mjd: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Right ascension and declination of the Sun, deg."""
    days = mjd - J2000
    anomaly = np.radians(357.528 + 0.9856003 * days)
    longitude = np.radians(280.460 + 0.9856474 * days + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2.0 * anomaly))
    obliquity = np.radians(23.439 - 4e-7 * days)
    ra = np.arctan2(np.cos(obliquity) * np.sin(longitude), np.cos(longitude))
    return np.degrees(ra), np.degrees(np.arcsin(np.sin(obliquity) * np.sin(longitude)))


def _wrapped(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angle in [-180, 180), deg."""
    return (angle + 180.0) % 360.0 - 180.0


def of_date(ra: ArrayLike, dec: ArrayLike, time: Time) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean position of date, deg, of ICRS positions: what sidereal time and hour angles go with."""
    found = SkyCoord(np.atleast_1d(ra) * u.deg, np.atleast_1d(dec) * u.deg).transform_to(FK5(equinox=time))
    return np.asarray(found.ra.deg), np.asarray(found.dec.deg)


def to_horizontal(
    ra: ArrayLike, dec: ArrayLike, time: Time, location: EarthLocation
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Altitude and azimuth, deg, without refraction."""
    with _offline():
        frame = AltAz(obstime=time, location=location)
        found = SkyCoord(np.asarray(ra) * u.deg, np.asarray(dec) * u.deg).transform_to(frame)
    return np.asarray(found.alt.deg), np.asarray(found.az.deg)


def from_horizontal(
    alt: ArrayLike, az: ArrayLike, time: Time, location: EarthLocation
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """ICRS position, deg, of horizontal directions in deg, without refraction."""
    with _offline():
        frame = AltAz(obstime=time, location=location)
        found = SkyCoord(np.asarray(az) * u.deg, np.asarray(alt) * u.deg, frame=frame).transform_to(ICRS())
    return np.asarray(found.ra.deg), np.asarray(found.dec.deg)


class _offline:
    """Nothing is fetched, and times that the Earth's recorded rotation does not cover are taken with its mean one."""

    def __enter__(self) -> None:
        self._rotation = installed_rotation()
        self._rotation.__enter__()
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        warnings.simplefilter("ignore")

    def __exit__(self, *exception: object) -> None:
        self._warnings.__exit__(None, None, None)
        self._rotation.__exit__(None, None, None)


SITES: dict[str, Site] = {
    "hess": Site(16.5002222, -23.2717778, 1835.0),
    "ctao-north": Site(-17.8920302, 28.7621661, 2147.0),
    "ctao-south": Site(-70.3163450, -24.6834292, 2107.0),
    "magic": Site(-17.8900659, 28.7619444, 2200.0),
    "veritas": Site(-110.9518110, 31.6750560, 1268.0),
}
"""Places by name."""
