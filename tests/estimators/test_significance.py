"""Significance, errors and limits of counts: against their definitions, and numbers of Li & Ma."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from survey.estimators.kernels_excess import on_off_statistic
from survey.estimators.significance import KnownBackground, OnOff, signed_sqrt
from survey.fitting.cash import cash


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 100000), st.floats(1e-6, 1e5), st.floats(0.5, 6))
def test_cash_errors_are_where_the_statistic_has_risen(n, background, n_sigma):
    statistic = KnownBackground(np.array([float(n)]), np.array([background]))
    up, down = statistic.error_up(n_sigma)[0], statistic.error_down(n_sigma)[0]
    best = cash(n, n) if n else 0.0
    tolerance = {"rel": 1e-6, "abs": 1e-7 * (1 + n)}
    assert cash(n, n + up) - best == pytest.approx(n_sigma**2, **tolerance)
    if n:
        assert cash(n, n - down) - best == pytest.approx(n_sigma**2, **tolerance)
        assert statistic.upper_limit(n_sigma)[0] == pytest.approx(n - background + up)
    else:
        assert (down, statistic.upper_limit(n_sigma)[0]) == (0, up)
    excess = statistic.sensitivity(n_sigma)[0]
    expected = cash(excess + background, background) - cash(excess + background, excess + background)
    assert expected == pytest.approx(n_sigma**2, rel=1e-4, abs=1e-6 * background)


def test_cash_values():
    # Gammapy 2.1: CashCountsStatistic([1, 10, 0, 50], [2, 2, 0.5, 60])
    statistic = KnownBackground(np.array([1.0, 10, 0, 50]), np.array([2.0, 2, 0.5, 60]))
    expected = [2 * (n * np.log(n / b) - n + b) if n else 2 * b for n, b in ((1, 2), (10, 2), (0, 0.5), (50, 60))]
    np.testing.assert_allclose(statistic.ts, expected)
    np.testing.assert_array_equal(np.sign(signed_sqrt(statistic.ts, statistic.excess)), [-1, 1, -1, -1])
    np.testing.assert_allclose(statistic.error, np.sqrt([1, 10, 0, 50]))


def test_everything_is_finite_without_counts_and_background():
    for statistic in (
        KnownBackground(np.zeros(2), np.zeros(2)),
        OnOff(np.array([0.0, 3, 0, 3]), np.array([0.0, 0, 5, 5]), np.array([0.1, 0.1, 0.0, 0.0])),
    ):
        for values in (statistic.ts, statistic.excess, statistic.error, statistic.error_up(1), statistic.error_down(1)):
            assert np.isfinite(values).all()
        assert np.isfinite(statistic.upper_limit(2)).all()


def li_ma(n_on, n_off, alpha):
    total = n_on + n_off
    return np.sqrt(
        2 * (n_on * np.log((1 + alpha) / alpha * n_on / total) + n_off * np.log((1 + alpha) * n_off / total))
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 1000), st.integers(1, 1000), st.floats(0.01, 3))
def test_on_off_significance_is_that_of_li_and_ma(n_on, n_off, alpha):
    statistic = OnOff(np.array([float(n_on)]), np.array([float(n_off)]), np.array([alpha]))
    assert np.sqrt(statistic.ts[0]) == pytest.approx(li_ma(n_on, n_off, alpha), rel=1e-6, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 1000), st.floats(0.01, 3), st.floats(0.5, 5))
def test_on_off_errors_are_where_the_profile_has_risen(n_on, n_off, alpha, n_sigma):
    statistic = OnOff(np.array([float(n_on)]), np.array([float(n_off)]), np.array([alpha]))
    best = n_on - alpha * n_off
    up, down = statistic.error_up(n_sigma)[0], statistic.error_down(n_sigma)[0]
    assert on_off_statistic(n_on, n_off, alpha, best + up) == pytest.approx(n_sigma**2, rel=1e-5)
    rise = on_off_statistic(n_on, n_off, alpha, best - down)
    assert rise == pytest.approx(n_sigma**2, rel=1e-5) or (down == n_on and rise < n_sigma**2)
    excess = statistic.sensitivity(n_sigma)[0]
    assert on_off_statistic(excess + alpha * n_off, n_off, alpha, 0.0) == pytest.approx(n_sigma**2, rel=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 50), st.integers(0, 50), st.floats(0.05, 2), st.floats(0, 60))
def test_profile_background_is_the_best_one(n_on, n_off, alpha, signal):
    value = on_off_statistic(n_on, n_off, alpha, signal)

    def at(mu):
        expected = signal + alpha * mu
        terms = expected - n_on + mu - n_off
        terms += n_on * np.log(n_on / expected) if n_on else 0
        terms += n_off * np.log(n_off / mu) if n_off else 0
        return 2 * terms

    scan = [at(mu) for mu in np.geomspace(1e-6, 200, 2001) if signal + alpha * mu > 0]
    assert value <= min(scan) + 1e-6
    assert value == pytest.approx(min(scan), abs=0.02)
