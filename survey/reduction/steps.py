"""Time steps of an observation: where the telescopes look and how the camera is turned while the sky moves.

Most observations need one step. A background that is aligned with the horizon turns with the parallactic angle, a drift
scan and a pointing table move the pointing.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from astropy import units as u
from astropy.coordinates import AltAz, EarthLocation, SkyCoord, position_angle
from astropy.time import Time
from astropy.utils.exceptions import AstropyWarning
from erfa import ErfaWarning
from numpy.typing import NDArray

from survey.events.observation import Observation, ObservationRejected
from survey.reduction.settings import ReductionSettings
from survey.sky.earth_rotation import installed_rotation, unlikely_year
from survey.sky.frames import positions, separation, unit_vectors

N_PROBES = 32
"""Intervals in which rotation and motion are measured to choose the number of steps."""

MAX_STEPS = 512

STILL = 0.003
"""A pointing table that stays within this of the pointing at mid-run, deg, is a fixed pointing."""


@dataclass(frozen=True, eq=False)
class TimeSteps:
    """Equal steps in good time.

    Parameters
    ----------
    weight : numpy.ndarray (k,)
        Fraction of the good time.
    ra, dec : numpy.ndarray (k,)
        Pointing, ICRS, deg.
    roll : numpy.ndarray (k,)
        Position angle of the camera's vertical, deg, from north through east.
    """

    weight: NDArray[np.float64]
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    roll: NDArray[np.float64]


def time_steps(observation: Observation, settings: ReductionSettings, *, rotates: bool) -> TimeSteps:
    """Steps in which neither the pointing moves nor the field rotates by more than the settings allow.

    Parameters
    ----------
    observation : Observation
        With a location where the horizontal frame matters.
    settings : ReductionSettings
        ``rotation_step`` and ``drift_step``.
    rotates : bool
        Whether the background is aligned with the horizon.

    Raises
    ------
    ObservationRejected
        When the location of the observatory or the horizontal pointing is needed and not known.
    """
    pointing = observation.pointing
    moves = pointing.mode != "icrs" and not _is_still(observation)
    if not (moves or rotates):
        return TimeSteps(np.ones(1), np.array([pointing.ra]), np.array([pointing.dec]), np.zeros(1))
    if (rotates or pointing.mode == "altaz") and observation.location is None:
        raise ObservationRejected(
            f"{observation.identity}: no location of the observatory (GEOLON, GEOLAT, ALTITUDE in EVENTS), which "
            "a drift scan or a background with FOVALIGN = ALTAZ needs",
            part="events",
        )
    if rotates or pointing.mode == "altaz":
        _check_year(observation)
    with installed_rotation(), warnings.catch_warnings():
        # What the table does not cover is good to arcseconds, far below a step.
        warnings.simplefilter("ignore", AstropyWarning)
        warnings.simplefilter("ignore", ErfaWarning)
        probe = _at(observation, _good_times(observation, N_PROBES + 1), moves=moves, rotates=rotates)
        turn = np.abs(np.diff(np.unwrap(probe.roll, period=360.0))).max()
        drift = separation(probe.ra[1:], probe.dec[1:], probe.ra[:-1], probe.dec[:-1]).max()
        needed = N_PROBES * max(turn / settings.rotation_step, drift / settings.drift_step)
        n_steps = int(np.clip(np.ceil(needed), 1, MAX_STEPS))
        return _at(observation, _good_times(observation, n_steps), moves=moves, rotates=rotates)


def _check_year(observation: Observation) -> None:
    reference = observation.reference
    if (year := unlikely_year(reference.mjd_at(observation.tstart))) is not None:
        raise ObservationRejected(
            f"{observation.identity}: MJDREFI {reference.mjdrefi} of EVENTS puts the good times into the year {year}, "
            "expected 1900 to 2100: a drift scan or a background with FOVALIGN = ALTAZ needs the Earth's rotation",
            part="events",
        )


def _good_times(observation: Observation, n_steps: int) -> NDArray[np.float64]:
    """Middles of equal parts of the good time, s since the time reference."""
    ends = np.cumsum(observation.gti_stop - observation.gti_start)
    elapsed = (np.arange(n_steps) + 0.5) / n_steps * ends[-1]
    interval = np.searchsorted(ends, elapsed, side="right").clip(max=ends.size - 1)
    return observation.gti_stop[interval] - (ends[interval] - elapsed)


def _is_still(observation: Observation) -> bool:
    pointing = observation.pointing
    if pointing.mode != "table":
        return False
    ra, dec = _from_table(observation, _good_times(observation, 4 * N_PROBES))
    return bool(separation(ra, dec, pointing.ra, pointing.dec).max() < STILL)


def _from_table(
    observation: Observation, seconds: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    pointing = observation.pointing
    if pointing.time is None or pointing.table_ra is None or pointing.table_dec is None or pointing.time.size == 0:
        raise ObservationRejected(
            f"{observation.identity}: HDU POINTING has no rows, expected TIME, RA_PNT, DEC_PNT", part="pointing"
        )
    vectors = unit_vectors(pointing.table_ra, pointing.table_dec)
    return positions(np.stack([np.interp(seconds, pointing.time, part) for part in vectors]))


def _at(observation: Observation, seconds: NDArray[np.float64], *, moves: bool, rotates: bool) -> TimeSteps:
    """Steps of equal weight at times in s since the time reference."""
    pointing = observation.pointing
    n_steps = seconds.size
    ra, dec, roll = np.full(n_steps, pointing.ra), np.full(n_steps, pointing.dec), np.zeros(n_steps)
    times: Time = observation.reference.time + seconds * u.s
    location = observation.location
    if moves and pointing.mode == "altaz":
        if not (np.isfinite(pointing.alt) and np.isfinite(pointing.az)):
            raise ObservationRejected(
                f"{observation.identity}: drift scan without ALT_PNT, AZ_PNT (found {pointing.alt}, {pointing.az})",
                part="events",
            )
        ra, dec = _icrs(np.full(n_steps, pointing.alt), np.full(n_steps, pointing.az), times, location)
    elif moves:
        ra, dec = _from_table(observation, seconds)
    if rotates:
        zenith_ra, zenith_dec = _icrs(np.full(n_steps, 90.0), np.zeros(n_steps), times, location)
        angle = position_angle(*(np.radians(value) for value in (ra, dec, zenith_ra, zenith_dec)))
        roll = np.asarray(angle.to_value(u.deg))
    return TimeSteps(np.full(n_steps, 1.0 / n_steps), ra, dec, roll)


def _icrs(
    alt: NDArray[np.float64], az: NDArray[np.float64], times: Time, location: EarthLocation | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    frame = AltAz(obstime=times, location=location)
    position = SkyCoord(az=az * u.deg, alt=alt * u.deg, frame=frame).icrs
    return position.ra.deg, position.dec.deg
