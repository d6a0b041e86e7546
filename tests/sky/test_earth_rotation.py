"""What survives does not depend on today's date: the installed table is taken however old it is, and beyond its end."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.time import Time
from astropy.utils import iers

from survey.events.gadf_pointing import drift_position
from survey.events.observation import ObservationRejected, TimeReference
from survey.events.synthetic import make_observation
from survey.reduction.settings import ReductionSettings
from survey.reduction.steps import time_steps
from survey.sky.earth_rotation import installed_rotation, unlikely_year


@pytest.fixture
def predicted(monkeypatch):
    """The first day that the installed table predicts, years ago."""
    first = iers.IERS_Auto.open().meta["predictive_mjd"]
    now = Time(first + 3000.0, format="mjd")
    monkeypatch.setattr(Time, "now", classmethod(lambda cls: now))
    return int(first)


def observation(day, pointing="icrs"):
    """Half an hour of good time on a day."""
    return replace(
        make_observation(1, 83.6, -22.0, n_events=10, pointing=pointing),
        reference=TimeReference(day, 0.0),
        gti_start=np.array([0.0]),
        gti_stop=np.array([1700.0]),
    )


@pytest.mark.parametrize(("pointing", "rotates"), [("icrs", True), ("altaz", False)])
@pytest.mark.parametrize("days", [20, 8000])
def test_no_table_is_too_old(predicted, pointing, rotates, days):
    late = observation(predicted + days, pointing)
    steps = time_steps(late, ReductionSettings(), rotates=rotates)
    assert np.isfinite([*steps.ra, *steps.roll]).all()


@pytest.mark.filterwarnings("ignore:Tried to get polar motions", "ignore:ERFA function")
@pytest.mark.parametrize("days", [20, 8000])
def test_drifts_and_universal_time_of_late_days_are_known(predicted, days):
    late = observation(predicted + days)
    assert all(np.isfinite(drift_position(70.0, 180.0, late.location, late.reference, 850.0)))
    with installed_rotation():
        assert np.isfinite(Time(predicted + days, format="mjd", scale="ut1").tt.mjd)


@pytest.mark.parametrize("year", [1869, 30000])
@pytest.mark.parametrize(("pointing", "rotates"), [("icrs", True), ("altaz", False)])
def test_another_age_is_refused_in_one_line(year, pointing, rotates):
    wild = observation(round((year - 1858.88) * 365.2425), pointing)
    with pytest.raises(ObservationRejected, match=rf"MJDREFI \d+ .* year {year}, expected 1900 to 2100"):
        time_steps(wild, ReductionSettings(), rotates=rotates)


def test_years_of_telescopes_are_likely():
    assert unlikely_year(15020.0) is None
    assert unlikely_year(88068.9) is None
    assert unlikely_year(0.0) == 1859
    assert unlikely_year(88069.0) == 2100
