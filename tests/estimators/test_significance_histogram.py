"""The histogram of significance finds the normal distribution that values were drawn from."""

import numpy as np
import pytest

from survey.estimators.significance_histogram import significance_counts, significance_histogram


def histogram(values, excluded):
    return significance_histogram(*significance_counts(values, excluded))


@pytest.mark.parametrize(("mean", "width"), [(0.0, 1.0), (0.2, 1.1), (-0.1, 0.9)])
def test_mean_and_width_are_found(mean, width):
    values = np.random.default_rng(5).normal(mean, width, (200, 200))
    found = histogram(values, np.zeros(values.shape, dtype=bool))
    assert abs(found.mean - mean) < 4 * found.mean_err < 0.05
    assert abs(found.width - width) < 4 * found.width_err < 0.05


def test_excluded_and_empty_pixels_are_left_out_not_set_to_zero():
    values = np.random.default_rng(6).normal(0, 1, (100, 100))
    values[:10] = 30.0
    values[20:25, 20:25] = 6.0
    values[-10:] = np.nan
    excluded = np.zeros(values.shape, dtype=bool)
    excluded[:25, :25] = True
    found = histogram(values, excluded)
    kept = np.isfinite(values) & ~excluded & (np.abs(values) < 8)
    assert found.counts.sum() == kept.sum()
    assert found.counts_all.sum() == (np.isfinite(values) & (np.abs(values) < 8)).sum()
    assert abs(found.mean) < 0.05


def test_too_few_pixels_give_no_fit():
    found = histogram(np.full((3, 3), np.nan), np.zeros((3, 3), dtype=bool))
    assert np.isnan([found.mean, found.mean_err, found.width, found.width_err]).all()


def test_parts_of_a_map_add_up():
    rng = np.random.default_rng(7)
    values = rng.normal(0, 3, (60, 50))
    excluded = rng.random(values.shape) < 0.3
    whole = significance_counts(values, excluded)
    parts = [significance_counts(values[:, part], excluded[:, part]) for part in (slice(0, 13), slice(13, None))]
    for total, *some in zip(whole, *parts, strict=True):
        np.testing.assert_array_equal(total, sum(some))
