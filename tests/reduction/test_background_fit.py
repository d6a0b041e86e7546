"""The norm of the background: totals suffice, the whole field counts, failures are flagged."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iminuit import Minuit
from reduction_cases import AXES, GRID, INSTRUMENT, SETTINGS, observation, prepared

from survey.reduction.background_fit import FieldTotals, field_of_view, field_of_view_totals, fit_background
from survey.reduction.contribution import contribution
from survey.reduction.prepare import prepare

CENTERS = AXES.energy.centers


def totals(counts, background):
    return FieldTotals(np.asarray(counts), np.asarray(background, dtype=float), 10)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.3, 3.0), st.floats(-0.8, 0.8))
def test_the_statistic_over_pixels_needs_only_totals(seed, norm, tilt):
    """For a factor that depends on energy alone the Cash statistic over pixels is that of totals but for a constant."""
    rng = np.random.default_rng(seed)
    background = rng.exponential(3.0, (6, 5, 4))
    counts = rng.poisson(background)

    def over_pixels(norm, tilt):
        predicted = norm * (CENTERS**-tilt)[:, None, None] * background
        return 2 * np.sum(predicted - counts * np.log(predicted))

    def over_totals(norm, tilt):
        predicted = norm * CENTERS**-tilt * background.sum(axis=(1, 2))
        return 2 * np.sum(predicted - counts.sum(axis=(1, 2)) * np.log(predicted))

    difference = over_pixels(norm, tilt) - over_totals(norm, tilt)
    assert difference == pytest.approx(over_pixels(1.0, 0.0) - over_totals(1.0, 0.0), abs=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.5, 2.0), st.floats(-0.5, 0.5))
def test_the_fit_is_that_of_minuit(seed, norm, tilt):
    rng = np.random.default_rng(seed)
    background = 400 * CENTERS**-1.7
    counts = rng.poisson(norm * CENTERS**-tilt * background)
    found = fit_background(totals(counts, background), AXES, method="fit", tilt=True)

    def cash(norm, tilt):
        predicted = norm * CENTERS**-tilt * background
        return 2 * np.sum(predicted - counts * np.log(predicted))

    minuit = Minuit(cash, norm=1.0, tilt=0.0)
    minuit.limits["norm"] = (1e-6, None)
    minuit.migrad()
    minuit.hesse()
    assert found.norm == pytest.approx(minuit.values["norm"], abs=0.02 * minuit.errors["norm"])
    assert found.tilt == pytest.approx(minuit.values["tilt"], abs=0.02 * minuit.errors["tilt"])
    assert found.norm_err == pytest.approx(minuit.errors["norm"], rel=0.02)
    assert found.tilt_err == pytest.approx(minuit.errors["tilt"], rel=0.02)
    assert found.ok


def test_scale_and_a_fit_of_the_norm_are_one():
    some = totals([100, 50, 20, 8, 2, 0], [90.0, 60.0, 18.0, 9.0, 1.0, 0.2])
    scaled, fitted = (fit_background(some, AXES, method=method) for method in ("scale", "fit"))
    assert (fitted.norm, fitted.norm_err) == (scaled.norm, scaled.norm_err) == (180 / 178.2, np.sqrt(180) / 178.2)
    assert np.isnan(scaled.tilt_err)
    assert scaled.background_norm.factors(CENTERS)[0] == scaled.norm


@pytest.mark.parametrize(
    ("some", "options", "flag"),
    [
        (totals([100] * 6, [1e-6] * 6), {}, r"a norm of 1e\+08, expected within 10000 of 1: look at the unit"),
        (totals([1] * 6, [1e20] * 6), {"method": "fit", "tilt": True}, "a norm of 1e-20, expected within"),
        (totals([0] * 6, [5.0] * 6), {}, "0 counts outside the exclusion mask"),
        (totals([9] * 6, [0.0] * 6), {}, "no background outside the exclusion mask"),
        (totals([9] * 6, [np.nan] * 6), {}, "no background"),
        (totals([9] * 6, [5.0] * 6), {"min_counts": 54}, "54 counts .* more than 54 required"),
        (totals([9] * 6, [5.0] * 6), {"min_npred_background": 30}, "30.0 background counts .* more than 30 required"),
        (totals([9, 0, 0, 0, 0, 0], [5.0] * 6), {"method": "fit", "tilt": True}, "did not converge"),
    ],
)
def test_what_cannot_be_fitted_keeps_norm_one_and_a_flag(some, options, flag):
    found = fit_background(some, AXES, **options)
    assert not found.ok
    assert found.norm == 1.0
    assert re.search(flag, found.flag)


def test_the_norm_of_a_run_at_the_edge_comes_from_its_whole_field():
    """Half of the field is outside the grid; events and background there count as much as the others."""
    source = observation(1, east=3.0, n_events=6000)
    one = prepare(source, GRID, AXES, SETTINGS)
    geometry = field_of_view(one, GRID)
    assert not GRID.full_window.contains(geometry.window)
    found = field_of_view_totals(one, GRID, AXES, geometry)
    assert found.counts.sum() > 1.5 * one.n_in_cube
    assert found.counts.sum() == one.event_energy.size
    norm = fit_background(found, AXES)
    expected = observation(1, east=3.0, n_events=6000).n_events / (
        INSTRUMENT.background_inside * one.ontime  # the table's rate is per second of ontime
    )
    assert norm.norm == pytest.approx(expected, rel=0.1)


def test_totals_on_the_grid_are_those_of_the_cube():
    one = prepared(1, n_events=2000)
    found = field_of_view_totals(one, GRID, AXES, field_of_view(one, GRID))
    sums = contribution(one, GRID.geometry(GRID.full_window), AXES, variables=("counts", "background"))
    np.testing.assert_array_equal(found.counts, sums["counts"].sum(axis=(1, 2)))
    np.testing.assert_allclose(found.background, sums["background"].sum(axis=(1, 2)), rtol=1e-6)


def test_excluded_pixels_count_neither_events_nor_background():
    one = prepared(1, n_events=2000)
    geometry = field_of_view(one, GRID)
    excluded = np.zeros(geometry.shape, dtype=bool)
    excluded[:, : geometry.shape[1] // 2] = True
    left = field_of_view_totals(one, GRID, AXES, geometry, excluded)
    right = field_of_view_totals(one, GRID, AXES, geometry, ~excluded)
    both = field_of_view_totals(one, GRID, AXES, geometry)
    np.testing.assert_array_equal(left.counts + right.counts, both.counts)
    np.testing.assert_allclose(left.background + right.background, both.background, rtol=1e-12)
    assert left.n_pixels + right.n_pixels == both.n_pixels
    nothing = field_of_view_totals(one, GRID, AXES, geometry, np.ones(geometry.shape, dtype=bool))
    assert fit_background(nothing, AXES).flag


def test_a_field_off_the_sky_of_the_projection_has_no_totals():
    allsky = replace(GRID, proj="AIT", lon=0.0, lat=0.0, binsize=1.0, width_x=360.0, width_y=180.0, cell=1)
    one = prepare(observation(1), allsky, AXES, replace(SETTINGS, offset_max=None))
    found = field_of_view_totals(one, allsky, AXES, field_of_view(one, allsky))
    assert found.background.sum() > 0
    assert field_of_view_totals(one, allsky, AXES, None).n_pixels == 0
