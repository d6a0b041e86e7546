"""The schedule: dark, high enough, near the culmination, never two at once, and always the same."""

from __future__ import annotations

import time

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, get_sun
from astropy.time import TimeDelta
from astropy.utils import iers

from survey.simulation.pointings import drift, join, on_sky, row_positions
from survey.simulation.schedule import REFERENCE, Observing, Run, ScheduleError, make_schedule
from survey.simulation.site import DARK, SITES, Site, to_horizontal

HESS = SITES["hess"]
OBSERVING = Observing(start=55927.0)
PLANE = on_sky(*row_positions((330.0, 30.0), (-2.0, 2.0), step=4.0), frame="galactic", runs=150)


@pytest.fixture(scope="module")
def runs() -> tuple[Run, ...]:
    return make_schedule(PLANE, HESS, OBSERVING)


def middles(runs):
    seconds = np.array([run.start + 0.5 * run.ontime for run in runs])
    return REFERENCE.time + TimeDelta(seconds, format="sec")


def test_all_runs_have_a_time_and_none_overlap(runs) -> None:
    assert len(runs) == 150
    assert [run.obs_id for run in runs] == list(range(1, 151))
    start = np.array([run.start for run in runs])
    assert np.diff(start).min() >= OBSERVING.ontime + OBSERVING.gap - 0.01


def test_runs_are_in_the_dark(runs) -> None:
    with iers.conf.set_temp("auto_download", False):
        when = middles(runs)
        sun = get_sun(when).transform_to(AltAz(obstime=when, location=HESS.location))
    assert sun.alt.max() < (DARK + 0.1) * u.deg


def test_zenith_angles_are_those_of_place_and_time_and_within_the_range(runs) -> None:
    ra, dec = np.array([run.ra for run in runs]), np.array([run.dec for run in runs])
    alt, az = to_horizontal(ra, dec, middles(runs), HESS.location)
    np.testing.assert_allclose([run.alt for run in runs], alt, atol=1e-9)
    np.testing.assert_allclose([run.az for run in runs], az, atol=1e-9)
    assert max(run.zenith for run in runs) < OBSERVING.zenith_max + 0.05


def test_runs_are_near_their_culmination(runs) -> None:
    sidereal = middles(runs).sidereal_time("mean", longitude=HESS.lon * u.deg).deg
    angle = np.abs((sidereal - np.array([run.ra for run in runs]) + 180.0) % 360.0 - 180.0)
    assert angle.max() < OBSERVING.hour_angle_max + 0.5


def test_every_position_has_its_visits(runs) -> None:
    found = sorted((run.ra, run.dec) for run in runs)
    wanted = sorted((ra, dec) for ra, dec, n in zip(PLANE.ra, PLANE.dec, PLANE.visits, strict=True) for _ in range(n))
    np.testing.assert_array_equal(found, wanted)


def test_the_same_patterns_give_the_same_schedule(runs) -> None:
    assert make_schedule(PLANE, HESS, OBSERVING) == runs
    assert Run.from_dict(runs[3].as_dict()) == runs[3]


def test_a_drift_keeps_its_direction_and_takes_what_is_left() -> None:
    both = join([on_sky(83.63, 22.01, frame="icrs", runs=6), drift(75.0, 120.0, runs=4)])
    runs = make_schedule(both, HESS, OBSERVING)
    drifts = [run for run in runs if run.mode == "altaz"]
    assert len(drifts) == 4
    assert {(run.alt, run.az) for run in drifts} == {(75.0, 120.0)}
    ra, dec = np.array([run.ra for run in drifts]), np.array([run.dec for run in drifts])
    alt, _ = to_horizontal(ra, dec, middles(drifts), HESS.location)
    np.testing.assert_allclose(alt, 75.0, atol=1e-6)
    assert len({round(run.ra, 3) for run in drifts}) == 4


def test_what_never_rises_is_refused() -> None:
    with pytest.raises(ScheduleError, match=r"1 of 2 positions never come within 60 deg .* dec 80.00 deg"):
        make_schedule(on_sky([10.0, 20.0], [-20.0, 80.0], frame="icrs"), HESS, OBSERVING)


def test_it_does_not_get_dark_in_the_polar_summer() -> None:
    north = Site(25.0, 70.0)
    start, stop = north.nights(56074.0, 3)
    np.testing.assert_array_equal(start, stop)
    with pytest.raises(ScheduleError, match="found no time"):
        make_schedule(
            on_sky(270.0, 70.0, frame="icrs"), Site(25.0, 89.0), Observing(start=56074.0, hour_angle_max=1e-9)
        )


def test_thousands_of_runs_are_scheduled_in_seconds() -> None:
    lon, lat = row_positions((250.0, 65.0), (-1.8, 1.8), step=0.7, row_step=0.6)
    begun = time.perf_counter()
    runs = make_schedule(on_sky(lon, lat, frame="galactic", runs=6000), HESS, OBSERVING)
    assert time.perf_counter() - begun < 20.0
    assert len(runs) == 6000
