"""Few rows for many: within the tolerance, by products as by pivots."""

import numpy as np
import pytest

from survey.fitting.low_rank import low_rank, low_rank_images


def smooth_rows(n=40, m=2000):
    """Rows that change slowly, with a singular value for every one of them."""
    place, where = np.linspace(0, 1, n)[:, None], np.linspace(-1, 1, m)
    return np.exp(-0.5 * ((where - 0.3 * place) / (0.3 + 0.2 * place)) ** 2)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-7, 0.0])
def test_no_value_is_further_away_than_the_tolerance(tolerance):
    rows = smooth_rows()
    before = rows.copy()
    importance = np.linspace(0.05, 1, rows.shape[1])
    weights, basis = low_rank_images(rows, importance, tolerance)
    np.testing.assert_array_equal(rows, before)
    assert (np.abs(weights @ basis - rows) * importance).max() <= tolerance + 1e-11
    assert weights.shape[1] <= (40 if tolerance == 0 else 15)


def test_a_value_that_is_off_the_others_is_kept():
    """Also where it is in no column that the weights are taken from."""
    rows = smooth_rows(m=5000)
    for column in range(1001, 1009):
        rows[17, column] += 0.5 * (column == 1005)
    weights, basis = low_rank_images(rows, np.ones(rows.shape[1]), 1e-3)
    assert np.abs(weights @ basis - rows).max() <= 1e-3


@pytest.mark.parametrize("tolerance", [1e-2, 1e-6])
def test_no_row_is_further_away_than_the_tolerance(tolerance):
    rows = smooth_rows()
    importance = np.linspace(0.05, 1, rows.shape[0])
    weights, basis = low_rank(rows, importance, tolerance)
    assert (np.abs(weights @ basis - rows).sum(axis=1) * importance).max() <= 1.01 * tolerance


def test_rows_of_nothing_have_one_basis_row():
    weights, basis = low_rank_images(np.zeros((5, 30)), np.ones(30), 1e-3)
    assert weights.shape == (5, 1)
    assert not (weights @ basis).any()


def test_more_rows_than_columns():
    rows = smooth_rows(n=200, m=64)
    weights, basis = low_rank_images(rows, np.ones(64), 1e-3)
    assert 1 < weights.shape[1] < 15
    assert np.abs(weights @ basis - rows).max() <= 1e-3
