"""Asimov and Poisson cubes: what is expected, and draws that do not depend on who draws them."""

import numpy as np
import pytest
from scipy import stats

from survey.fitting.cutout import cut_dataset
from survey.fitting.prediction import predict
from survey.models import Gaussian, PowerLaw
from survey.models.components import SkyModel
from survey.simulation.cubes import asimov, fake, poisson_at
from survey.sky.pixels import Window
from tests.fitting.conftest import PlacedSky


@pytest.fixture
def sky():
    return PlacedSky(level=0.5)


@pytest.fixture
def models(sky):
    return [SkyModel("source", PowerLaw(index=2.3, amplitude=3e-8), Gaussian(sigma=0.3, **sky.place(38, 43)))]


def test_asimov_counts_are_the_prediction(sky, models):
    dataset = sky.dataset()
    found = asimov(dataset, models)
    expected = predict(dataset, models).values
    np.testing.assert_allclose(found["counts"], expected, atol=1e-12 * expected.max())
    assert (found["counts"] >= 0).all()
    assert found["exposure"].equals(dataset["exposure"])


def test_poisson_counts_follow_the_prediction(sky, models):
    dataset = sky.dataset()
    found = fake(dataset, models, seed=3)["counts"].values
    expected = predict(dataset, models).values
    assert found.dtype == np.int32
    assert abs(found.sum() - expected.sum()) < 4 * np.sqrt(expected.sum())
    some = expected > 0.5
    chi2 = ((found - expected)[some] ** 2 / expected[some]).mean()
    assert chi2 == pytest.approx(1, abs=6 * np.sqrt(2 / some.sum()) + 0.02)


def test_draws_belong_to_pixels(sky, models):
    """The same seed gives the same counts, in the whole as in a window across tiles; another seed others."""
    dataset = sky.dataset()
    whole = fake(dataset, models, seed=3)["counts"].values
    window = Window(20, 64, 8, 72)
    part = cut_dataset(dataset, window).assign_attrs(y_first=20, x_first=8)
    inner = (slice(None), slice(20, 24), slice(20, 40))
    np.testing.assert_array_equal(fake(part, models, seed=3)["counts"].values[inner], whole[:, *window.slices][inner])
    assert (fake(dataset, models, seed=4)["counts"].values != whole).any()


def test_poisson_at_is_the_inverse_of_the_distribution():
    rng = np.random.default_rng(5)
    mean = 10 ** rng.uniform(-6, 3, 20000)
    mean[:10] = 0
    numbers = rng.random(mean.size)
    numbers[10:20] = 0
    expected = stats.poisson.ppf(numbers[20:], mean[20:])
    found = poisson_at(numbers, mean)
    np.testing.assert_array_equal(found[20:], expected)
    assert (found[:20] == 0).all()
