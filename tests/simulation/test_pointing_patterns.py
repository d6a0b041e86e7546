"""Patterns of pointings: they cover what they say, meet their ends, and spread runs evenly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from survey.simulation.pointings import (
    drift,
    grid_positions,
    join,
    on_sky,
    row_positions,
    visits,
    wobble_positions,
)
from survey.sky.frames import from_icrs, separation


def test_rows_go_through_zero_and_meet_their_ends() -> None:
    lon, lat = row_positions((350.0, 10.0), (-1.0, 1.0), step=2.0, row_step=1.0)
    assert sorted(set(lat)) == [-1.0, 0.0, 1.0]
    first = lon[lat == -1.0]
    np.testing.assert_allclose(first, [350, 352, 354, 356, 358, 0, 2, 4, 6, 8, 10], atol=1e-9)
    # Every other row is shifted by half a step, so that gaps of one are covered by the next.
    np.testing.assert_allclose(lon[lat == 0.0][:2], [351.0, 353.0])


@settings(deadline=None, max_examples=30)
@given(st.floats(0.0, 359.0), st.floats(1.0, 180.0), st.floats(-5.0, 0.0), st.floats(0.1, 5.0), st.floats(0.2, 3.0))
def test_no_step_of_a_row_pattern_is_larger_than_asked(first, length, low, high, step) -> None:
    lon, lat = row_positions((first, (first + length) % 360.0), (low, high), step=step)
    rows = np.unique(lat)
    assert np.diff(rows).max(initial=0.0) <= step * (1 + 1e-9)
    assert rows[0] == low
    assert rows[-1] == high
    for row in rows:
        along = (lon[lat == row] - first) % 360.0
        along[along > 359.9999] = 0.0
        assert np.diff(np.sort(along)).max(initial=0.0) <= step * (1 + 1e-6)
        assert along.max() <= length + 1e-6


def test_one_row_lies_in_the_middle() -> None:
    lon, lat = row_positions((10.0, 20.0), (0.5, 0.5), step=5.0)
    np.testing.assert_allclose(lon, [10.0, 15.0, 20.0])
    np.testing.assert_allclose(lat, 0.5)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 300), st.integers(1, 2000))
def test_visits_are_even_and_none_is_lost(positions: int, runs: int) -> None:
    found = visits(positions, runs)
    assert found.size == positions
    assert found.sum() == runs
    assert found.max() - found.min() <= 1


@pytest.mark.parametrize("lat", [0.0, 60.0, -85.0])
def test_a_wobble_is_a_circle_and_takes_opposite_sides_in_turn(lat: float) -> None:
    lon, found = wobble_positions(30.0, lat, offset=0.7, n_positions=4)
    np.testing.assert_allclose(separation(lon, found, 30.0, lat), 0.7, rtol=1e-9)
    np.testing.assert_allclose(separation(lon[0], found[0], lon[1], found[1]), 1.4, rtol=1e-6)
    assert found[0] > lat > found[1]


def test_a_grid_is_as_wide_as_said() -> None:
    lon, lat = grid_positions(10.0, 0.0, width=4.0, height=2.0, step=1.0)
    assert lon.size == 15
    np.testing.assert_allclose([lon.min(), lon.max(), lat.min(), lat.max()], [8.0, 12.0, -1.0, 1.0], atol=1e-3)


def test_positions_are_kept_in_icrs_and_patterns_add() -> None:
    one = on_sky([0.0, 90.0], [0.0, 1.0], frame="galactic", runs=5, name="plane")
    np.testing.assert_allclose(
        separation(*from_icrs(one.ra, one.dec, "galactic"), [0.0, 90.0], [0.0, 1.0]), 0.0, atol=1e-9
    )
    both = join([one, drift(70.0, 180.0, runs=3)])
    assert both.size == 3
    assert both.visits.sum() == 8
    assert both.names == ("plane", "plane", "drift")
    assert both.drifts.tolist() == [False, False, True]
