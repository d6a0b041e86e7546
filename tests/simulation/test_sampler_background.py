"""Background events: their number, place and energy are those of the background that the reduction predicts."""

from dataclasses import replace

import numpy as np
import pytest
from sampler_cases import DEC, LOCATION, ONTIME, RA, REFERENCE, events, observation, responses

from survey.events.gadf_pointing import drift_position
from survey.events.observation import Pointing
from survey.reduction.axes import Axes
from survey.reduction.contribution import contribution
from survey.reduction.prepare import prepare
from survey.reduction.settings import ReductionSettings
from survey.simulation.camera_track import camera_track
from survey.sky.energy import EnergyAxis
from survey.sky.frames import unit_vectors
from survey.sky.grid import SkyGrid

AXES = Axes(
    EnergyAxis.from_bounds("energy", 0.1, 10.0, 8),
    EnergyAxis.from_bounds("energy_true", 0.1, 30.0, 5),
    np.linspace(0.0, 0.5, 6),
)
GRID = SkyGrid.create(
    proj="TAN", frame="icrs", lon=RA, lat=DEC, binsize=0.25, width=(6.5, 6.5), binsize_irf=1.0, tile_chunks=1
)
SETTINGS = ReductionSettings(safe_methods=(), offset_max=2.9, selection=("counts", "background"), rotation_step=0.5)


def chi2_per_bin(counts, expected):
    """Mean of the squared pulls of bins that expect more than 10 events, and the number of bins."""
    used = expected > 10.0
    return float(np.mean((counts[used] - expected[used]) ** 2 / expected[used])), int(used.sum())


CASES = [
    pytest.param("RADEC", "bkg_3d", False, id="RADEC"),
    pytest.param("REVERSE_LON_RADEC", "bkg_3d", False, id="reversed"),
    pytest.param("ALTAZ", "bkg_3d", False, id="ALTAZ"),
    pytest.param("RADEC", "bkg_2d", False, id="2D"),
    pytest.param("ALTAZ", "bkg_3d", True, id="drift"),
]


def drifting():
    """A pointing that is fixed in the horizontal frame, and a grid for the 7 degrees that it sweeps."""
    ra, dec = drift_position(70.0, 150.0, LOCATION, REFERENCE, 940.0)
    grid = SkyGrid.create(
        proj="TAN", frame="icrs", lon=ra, lat=dec, binsize=0.25, width=(14.0, 6.5), binsize_irf=1.0, tile_chunks=1
    )
    return Pointing("altaz", ra, dec, 70.0, 150.0), grid


@pytest.mark.parametrize(("alignment", "form", "drifts"), CASES)
def test_background_events_are_those_that_the_reduction_expects(alignment, form, drifts):
    pointing, grid = drifting() if drifts else (None, GRID)
    settings = replace(SETTINGS, offset_max=8.0) if drifts else SETTINGS
    made = observation(tables=responses(alignment, form), pointing=pointing)
    window = grid.geometry(grid.full_window)
    sums = contribution(prepare(made, grid, AXES, settings), window, AXES, variables=("counts", "background"))
    counts, expected = sums["counts"], sums["background"]
    assert expected.sum() > 2e4
    assert abs(counts.sum() - expected.sum()) < 4.0 * np.sqrt(expected.sum())
    value, n_bins = chi2_per_bin(counts, expected)
    assert abs(value - 1.0) < 4.0 * np.sqrt(2.5 / n_bins)


def test_events_lie_in_the_good_times_and_are_sorted():
    found = events()
    time = found["TIME"]
    assert np.all(np.diff(time) >= 0)
    assert np.all((time < 800.0) | (time >= 1000.0))
    assert np.all(time < 1880.0)
    first = np.count_nonzero(time < 800.0)
    assert abs(first - time.size * 800.0 / ONTIME) < 5.0 * np.sqrt(0.25 * time.size)


def test_background_has_component_zero_and_counts_its_events():
    found = events()
    assert not found["MC_ID"].any()
    assert found["MC_ID"].dtype == np.int32
    assert found["ENERGY"].dtype == np.float32
    np.testing.assert_array_equal(found["EVENT_ID"], np.arange(1, found["RA"].size + 1))


def test_field_turns_with_the_horizon():
    """The gradient of an ALTAZ background points where the camera's axes point, hour by hour."""
    start, stop = np.array([0.0]), np.array([4 * 3600.0])
    found = events(tables=responses("ALTAZ"), start=start, stop=stop, location=LOCATION)
    track = camera_track(
        Pointing("icrs", RA, DEC), start=0.0, stop=stop[0], reference=REFERENCE, location=LOCATION, rotates=True
    )
    angles = []
    for hour in range(4):
        chosen = (found["TIME"] >= 3600.0 * hour) & (found["TIME"] < 3600.0 * (hour + 1))
        mean = unit_vectors(found["RA"][chosen], found["DEC"][chosen]).mean(axis=1)
        frame = track.at(np.array([3600.0 * (hour + 0.5)]))[0]
        # the response's gradient is 0.2 a degree along x and 0.1 along y
        angles.append(np.degrees(np.arctan2(frame[1] @ mean, frame[2] @ mean)))
        np.testing.assert_allclose(angles[-1], np.degrees(np.arctan2(0.2, 0.1)), atol=6.0)
    # and the camera did turn
    assert np.sum(track.frames[0, 1] * track.frames[-1, 1]) < 0.99


def test_same_seed_same_events_and_no_background_no_events():
    one, two, other = events(seed=3), events(seed=3), events(seed=4)
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert one["RA"].size != other["RA"].size or not np.array_equal(one["RA"], other["RA"])
    assert events(background=False)["RA"].size == 0


def test_missing_background_is_named():
    tables = {kind: table for kind, table in responses().items() if kind != "bkg"}
    with pytest.raises(ValueError, match="no response bkg"):
        events(tables=tables)


def test_missing_location_is_named():
    with pytest.raises(ValueError, match="location"):
        events(tables=responses("ALTAZ"))
