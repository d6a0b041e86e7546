"""The Cash statistic and the fit of one norm, against plain minimisation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from survey.fitting.cash import cash, cash_gradient, cash_sum
from survey.fitting.kernels_norm import asimov_norm, norm_moments, profile_up, solve_norm, sum_log


def test_statistic_is_finite_for_any_prediction():
    assert np.isfinite(cash([0, 1, 5, 0], [0.0, 0.0, -3.0, 1.0])).all()
    assert cash(2, 3.0) == pytest.approx(2 * (3 - 2 * np.log(3)))


def test_gradient_is_that_of_the_statistic():
    counts, npred = np.array([0.0, 1, 7]), np.array([0.5, 2.0, 3.0])
    numeric = [(cash_sum(c, p + 1e-6) - cash_sum(c, p - 1e-6)) / 2e-6 for c, p in zip(counts, npred, strict=True)]
    np.testing.assert_allclose(cash_gradient(counts, npred), numeric, rtol=1e-6)
    assert cash_gradient(3, -1.0) == 0


def problem(seed, bins=300, depth=0.1, signal=1.0):
    rng = np.random.default_rng(seed)
    background = depth * rng.lognormal(0, 1, bins)
    template = rng.lognormal(-2, 2, bins)
    counts = rng.poisson(np.maximum(background + signal * template, 0)).astype(float)
    hit = counts > 0
    ratio, count = (template / background)[hit], counts[hit]
    return background, template, counts, ratio, count


PROBLEM = st.tuples(st.integers(0, 2**31), st.sampled_from([3e-3, 0.1, 10.0]), st.sampled_from([0.0, 0.02, 1.0]))


@settings(max_examples=60, deadline=None)
@given(PROBLEM, st.sampled_from([1e-2, 1e-4, 1e-8]))
def test_norm_is_as_precise_as_asked(case, rtol):
    seed, depth, signal = case
    _, template, _, ratio, count = problem(seed, depth=depth, signal=signal)
    if count.size == 0:
        return
    total = template.sum()
    norm, niter, success, curvature = solve_norm(total, ratio, count, count.size, rtol, 100)
    assert curvature == norm_moments(norm, ratio, count, count.size)[1]
    assert success
    assert niter < 25
    pole = -1 / ratio.max()
    low = pole + 1e-3 * count[ratio.argmax()] / total
    high = pole + 1.001 * count.sum() / total
    exact = brentq(lambda n: np.sum(count * ratio / (1 + n * ratio)) - total, low, high, xtol=1e-16, rtol=1e-14)
    assert norm == pytest.approx(exact, rel=rtol, abs=1e-13)


@settings(max_examples=30, deadline=None)
@given(PROBLEM, st.sampled_from([1.0, 2.0, 3.0]))
def test_upper_limit_is_where_the_profile_has_risen(case, n_sigma):
    seed, depth, signal = case
    background, template, counts, ratio, count = problem(seed, depth=depth, signal=signal)
    if count.size == 0:
        return
    work, exponent = np.empty(count.size), np.empty(count.size)
    total = template.sum()
    norm = solve_norm(total, ratio, count, count.size, 1e-10, 100)[0]
    lowest = -1 / (template / background).max()
    norm = max(norm, lowest)
    sigma = 1 / np.sqrt(norm_moments(norm, ratio, count, count.size)[1])
    best = cash_sum(counts, background + norm * template)
    up = profile_up(norm, sigma, n_sigma, total, ratio, count, count.size, 1e-8, 100, work, exponent)
    assert cash_sum(counts, background + (norm + up) * template) - best == pytest.approx(n_sigma**2, rel=1e-5, abs=1e-6)


def test_sum_of_logarithms_is_exact():
    rng = np.random.default_rng(1)
    ratio, count = rng.lognormal(0, 12, 1000), rng.integers(1, 9, 1000).astype(float)
    value = sum_log(0.3, ratio, count, 1000, np.empty(1000), np.empty(1000))
    assert value == pytest.approx(np.sum(count * np.log1p(0.3 * ratio)), rel=1e-13)
    assert sum_log(1e-9, np.ones(1), np.ones(1), 1, np.empty(1), np.empty(1)) == pytest.approx(1e-9, rel=1e-6)


def test_limit_without_counts_is_finite():
    none = np.empty(0)
    assert profile_up(-0.1, 1.0, 2.0, 50.0, none, none, 0, 1e-6, 100, none, none) == pytest.approx(4 / 2 / 50)


def test_sensitivity_is_the_norm_of_that_significance():
    background, template, *_ = problem(3)
    norm = asimov_norm(5.0, template, background, template.size, 1e-8, 100)
    expected = background + norm * template
    assert cash_sum(expected, background) - cash_sum(expected, expected) == pytest.approx(25, rel=1e-6)
