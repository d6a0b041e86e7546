"""Times that cannot be meant: another age than ours, events and good times that do not belong together."""

import numpy as np
import pytest
from astropy.time import Time
from astropy.utils import iers
from spoiled_store import set_keys, spoil_columns

from survey.events.datastore import check_datastore
from survey.events.problems import summary


def test_events_that_all_lie_outside_the_good_times_are_rejected(spoiled):
    reference = spoiled.load().reference
    spoiled.edit(set_keys("EVENTS", MJDREFI=reference.mjdrefi - 12000))
    assert spoiled.rejection() == (
        "OBS_ID 1 data/obs_000001.fits [EVENTS] TIME: none of 300 events lies in the good times, they are 1.04e+09 to 1.04e+09 s "
        "away, expected events and GTI of one observation; correct MJDREFI, MJDREFF of EVENTS or of GTI"
    )


@pytest.mark.parametrize("n_events", [0, 1])
def test_no_event_or_one_a_moment_late_is_no_rejection(make_spoiled, n_events):
    store = make_spoiled(n_events=n_events)
    if n_events:
        late = store.load().gti_stop[-1] + 0.5
        store.edit(spoil_columns("EVENTS", TIME=np.array([late])))
    assert store.load().n_events == n_events


def test_a_line_for_many_observations_tells_the_worst(make_spoiled):
    store = make_spoiled(3)
    for obs_id, seconds in ((1, 2.0), (2, 4000.0), (3, 3.0)):
        time = store.load(obs_id).events["TIME"].copy()
        time[-1] = store.load(obs_id).gti_stop[-1] + seconds
        store.edit(spoil_columns("EVENTS", TIME=time), obs_id)
    (line,) = summary(check_datastore(store.open()))
    assert line == (
        "warning: [EVENTS] TIME: events outside the good times (3 times, first in OBS_ID 1; worst in OBS_ID 2: 1 of 300, "
        "up to 4e+03 s)"
    )


@pytest.mark.parametrize(("day", "year"), [(0, 1859), (1_000_000, 4597)])
def test_good_times_of_another_age_are_told_and_refused_where_the_horizon_counts(make_spoiled, day, year):
    fixed, drifting = make_spoiled(name="fixed"), make_spoiled(name="drifting", pointing="altaz")
    for store in (fixed, drifting):
        for hdu in ("EVENTS", "GTI"):
            store.edit(set_keys(hdu, MJDREFI=day))
    assert fixed.load().doubts == (
        f"[EVENTS] MJDREFI: good times in another age ({day}, year {year}), expected 1900 to 2100",
    )
    assert drifting.rejection() == (
        f"OBS_ID 1 data/obs_000001.fits [EVENTS] MJDREFI: is {day}, which puts the good times of a drifting pointing into "
        f"the year {year}, expected 1900 to 2100; correct MJDREFI or the good times"
    )


def test_times_of_the_turning_earth_need_no_recent_table(spoiled, monkeypatch):
    first = iers.IERS_Auto.open().meta["predictive_mjd"]
    now = Time(first + 3000.0, format="mjd")
    monkeypatch.setattr(Time, "now", classmethod(lambda cls: now))
    spoiled.edit(set_keys("EVENTS", MJDREFI=int(first) + 20))
    spoiled.edit(set_keys("GTI", MJDREFI=int(first) + 20, TIMESYS="UT1"))
    assert "counts from another reference than the events" in spoiled.notes()
