"""Time steps: one where nothing moves, enough where something does, in good time only."""

from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import AltAz, SkyCoord
from astropy.utils import iers
from reduction_cases import SETTINGS, observation

from survey.events.observation import ObservationRejected, Pointing
from survey.reduction.steps import time_steps
from survey.sky.frames import separation


def test_a_fixed_pointing_needs_one_step():
    steps = time_steps(observation(1), SETTINGS, rotates=False)
    assert steps.weight.tolist() == [1.0]
    assert (steps.ra[0], steps.dec[0]) == (observation(1).pointing.ra, observation(1).pointing.dec)
    assert steps.roll[0] == 0.0


def test_a_pointing_table_is_followed():
    source = observation(1, pointing="table")
    steps = time_steps(source, SETTINGS, rotates=False)
    pointing = source.pointing
    assert np.ptp(steps.dec) == pytest.approx(0.4, rel=0.3)
    assert separation(steps.ra[1:], steps.dec[1:], steps.ra[:-1], steps.dec[:-1]).max() <= SETTINGS.drift_step * 1.01
    np.testing.assert_allclose(separation(steps.ra, steps.dec, pointing.ra, pointing.dec).min(), 0.0, atol=0.06)


def test_a_table_that_stands_still_is_a_fixed_pointing():
    source = observation(1)
    time = np.linspace(source.tstart, source.tstop, 50)
    ra, dec = np.full(50, source.pointing.ra), source.pointing.dec + 1e-3 * np.sin(np.arange(50))
    still = Pointing("table", source.pointing.ra, source.pointing.dec, time=time, table_ra=ra, table_dec=dec)
    assert time_steps(replace(source, pointing=still), SETTINGS, rotates=False).weight.size == 1


def test_steps_lie_in_good_time():
    """With two good times far apart the pointings are those of either, none of the gap."""
    source = observation(1)
    start = np.array([source.tstart, source.tstart + 5000.0])
    gapped = replace(source, gti_start=start, gti_stop=start + 300.0)
    time = np.array([start[0], start[0] + 300.0, start[1], start[1] + 300.0])
    ra, dec = np.full(4, source.pointing.ra), np.array([0.0, 0.1, 3.0, 3.1])
    moving = Pointing("table", source.pointing.ra, 1.5, time=time, table_ra=ra, table_dec=dec)
    steps = time_steps(replace(gapped, pointing=moving), SETTINGS, rotates=False)
    assert np.all((steps.dec < 0.11) | (steps.dec > 2.99))
    assert np.count_nonzero(steps.dec < 1) == pytest.approx(0.5 * steps.dec.size, abs=1)


def test_the_camera_turns_with_the_horizon():
    """The position angle of the zenith is that of astropy, found from two horizontal positions one above the other."""
    source = observation(1)
    steps = time_steps(source, SETTINGS, rotates=True)
    assert steps.weight.sum() == pytest.approx(1.0)
    time = source.reference.time + (source.gti_start[0] + 0.5 * source.ontime / steps.weight.size) * u.s
    with iers.conf.set_temp("auto_download", False):
        frame = AltAz(obstime=time, location=source.location)
        here = SkyCoord(steps.ra[0] * u.deg, steps.dec[0] * u.deg).transform_to(frame)
        above = SkyCoord(az=here.az, alt=here.alt + 0.1 * u.deg, frame=frame).icrs
        angle = SkyCoord(steps.ra[0] * u.deg, steps.dec[0] * u.deg).position_angle(above).deg
    assert (angle - steps.roll[0] + 180) % 360 - 180 == pytest.approx(0.0, abs=0.1)
    fine = time_steps(source, replace(SETTINGS, rotation_step=0.2), rotates=True)
    assert fine.weight.size > 5 * steps.weight.size
    assert np.abs(np.diff(np.unwrap(fine.roll, period=360))).max() <= 0.22


@pytest.mark.parametrize(
    ("pointing", "message"),
    [
        (Pointing("altaz", 10.0, 20.0), "drift scan without ALT_PNT, AZ_PNT"),
        (Pointing("table", 10.0, 20.0), "HDU POINTING has no rows"),
    ],
)
def test_a_pointing_that_is_not_known_is_refused(pointing, message):
    with pytest.raises(ObservationRejected, match=message):
        time_steps(replace(observation(1), pointing=pointing), SETTINGS, rotates=False)
