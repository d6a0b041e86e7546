"""The evaluator of a fit: the same counts as the prediction, and nothing done twice."""

import numpy as np
import pytest

from survey.fitting.evaluator import SourceEvaluator
from survey.fitting.prediction import predict
from survey.fitting.settings import PredictionSettings
from survey.models import Disk, Gaussian, Point, PowerLaw
from survey.models.components import SkyModel

SHAPES = [Point(), Gaussian(sigma=0.25), Disk(r_0=0.5)]


def on(sky, shape, y=40.3, x=57.6):
    return shape.replaced(**sky.place(y, x))


def reference(dataset, shape, spectrum):
    return predict(dataset, [SkyModel("source", spectrum, shape)], background=False).values


def difference(dataset, counts, expected):
    total = np.zeros(expected.shape)
    counts.add_to(total)
    return np.abs(total - expected).sum() / expected.sum()


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.tag[1])
@pytest.mark.parametrize("tolerance", [1e-4, 1e-7])
def test_counts_are_those_of_the_prediction(placed_sky, crab, shape, tolerance):
    """Within the tolerance, by the transfer functions as by the layers, where responses change over the source."""
    dataset = placed_sky.dataset()
    shape = on(placed_sky, shape)
    evaluator = SourceEvaluator(dataset, shape, PredictionSettings(tolerance=tolerance))
    assert difference(dataset, evaluator.counts(shape, crab), reference(dataset, shape, crab)) < 3 * tolerance
    hard = PowerLaw(index=1.8, amplitude=1e-8)
    assert difference(dataset, evaluator.counts(shape, hard), reference(dataset, shape, hard)) < 3 * tolerance
    assert evaluator.done == {"responses": 1, "spatial": 1, "fold": 2, "layers": 1}


def test_changed_norm_costs_nothing(placed_sky, crab):
    shape = on(placed_sky, Gaussian(sigma=0.2))
    evaluator = SourceEvaluator(placed_sky.dataset(), shape)
    first = evaluator.counts(shape, crab)
    before = dict(evaluator.done)
    second = evaluator.counts(shape, crab.replaced(amplitude=2.5 * crab.amplitude))
    assert dict(evaluator.done) == before
    assert second.values is first.values
    assert second.factor == pytest.approx(2.5)
    np.testing.assert_allclose(second.array, 2.5 * first.array, rtol=1e-12)


def test_changed_spectrum_costs_no_convolution(placed_sky, crab):
    shape = on(placed_sky, Gaussian(sigma=0.2))
    evaluator = SourceEvaluator(placed_sky.dataset(), shape)
    for index in (2.0, 2.1, 2.2, 2.3):
        evaluator.counts(shape, crab.replaced(index=index))
    assert (evaluator.done["spatial"], evaluator.done["layers"]) == (1, 1)


def test_changed_position_folds_no_spectrum(placed_sky, crab):
    dataset = placed_sky.dataset()
    shape = on(placed_sky, Gaussian(sigma=0.2))
    evaluator = SourceEvaluator(dataset, shape)
    for shift in (0.0, 0.01, 0.02):
        moved = shape.replaced(lon_0=shape.lon_0 + shift, sigma=0.2 + 0.1 * shift)
        counts = evaluator.counts(moved, crab)
    assert evaluator.done == {"responses": 1, "fold": 1, "spatial": 3}
    assert difference(dataset, counts, reference(dataset, moved, crab)) < 3e-4


@pytest.mark.parametrize("sigma", [0.08, 0.2, 0.5])
@pytest.mark.parametrize("tolerance", [1e-3, 1e-5])
def test_sharper_and_wider_shapes_are_as_close(placed_sky, crab, sigma, tolerance):
    """The transfer of a spectrum is for shapes about as sharp as the one before; others take their own."""
    dataset = placed_sky.dataset()
    shape = on(placed_sky, Gaussian(sigma=0.5))
    evaluator = SourceEvaluator(dataset, shape, PredictionSettings(tolerance=tolerance))
    evaluator.counts(shape, crab)
    other = shape.replaced(sigma=sigma)
    assert difference(dataset, evaluator.counts(other, crab), reference(dataset, other, crab)) < tolerance
    assert evaluator.done["fold"] == (1 if sigma == 0.5 else 2)
    assert evaluator.done["responses"] == 1


def test_source_that_leaves_its_area_takes_new_responses(placed_sky, crab):
    dataset = placed_sky.dataset()
    shape = on(placed_sky, Gaussian(sigma=0.1))
    evaluator = SourceEvaluator(dataset, shape)
    evaluator.counts(shape, crab)
    away = on(placed_sky, shape, 20, 25)
    assert difference(dataset, evaluator.counts(away, crab), reference(dataset, away, crab)) < 3e-4
    assert evaluator.done["responses"] == 2
    nowhere = shape.replaced(lon_0=100.0)
    assert evaluator.counts(nowhere, crab).values.size == 0
    assert evaluator.spectral_gradient(nowhere, crab).shape[0] == 3
    assert difference(dataset, evaluator.counts(shape, crab), reference(dataset, shape, crab)) < 3e-4


def test_bins_that_are_not_safe_are_left_out(placed_sky, crab):
    safe = np.ones((placed_sky.energy.size - 1, placed_sky.ny, placed_sky.nx))
    safe[0, :, 58:] = 0
    dataset = placed_sky.dataset(safe=safe)
    shape = on(placed_sky, Gaussian(sigma=0.2))
    evaluator = SourceEvaluator(dataset, shape, PredictionSettings(tolerance=1e-6))
    for spectrum in (crab, crab.replaced(index=2.0)):
        assert difference(dataset, evaluator.counts(shape, spectrum), reference(dataset, shape, spectrum)) < 1e-5
    total = np.zeros(safe.shape)
    evaluator.counts(shape, crab).add_to(total)
    assert (total[0, :, 58:] == 0).all()


@pytest.mark.parametrize("shape", SHAPES[:2], ids=lambda shape: shape.tag[1])
def test_gradients_are_derivatives(placed_sky, crab, shape):
    dataset = placed_sky.dataset()
    shape = on(placed_sky, shape)
    evaluator = SourceEvaluator(dataset, shape, PredictionSettings(tolerance=1e-9))

    def slope(make, step):
        above, below = (evaluator.counts(*make(sign * step)).array.copy() for sign in (1, -1))
        return (above - below) / (2 * step)

    spectral = evaluator.spectral_gradient(shape, crab)
    for k, (name, step) in enumerate((("index", 1e-3), ("amplitude", 1e-10))):
        value = getattr(crab, name)
        expected = slope(lambda change, name=name, value=value: (shape, crab.replaced(**{name: value + change})), step)
        np.testing.assert_allclose(spectral[k], expected, atol=1e-4 * np.abs(expected).max())
    spatial = evaluator.spatial_gradient(shape, crab)
    assert spatial.shape[0] == len(shape.parameters)
    for k, name in enumerate(list(shape.parameters)[:3]):
        value = getattr(shape, name)
        expected = slope(lambda change, name=name, value=value: (shape.replaced(**{name: value + change}), crab), 1e-3)
        np.testing.assert_allclose(spatial[k], expected, atol=2e-2 * np.abs(expected).max())
