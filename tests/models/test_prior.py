"""Priors: densities, slopes, and their place in parameters and vectors."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from survey.models import (
    GaussianPrior,
    GeneralizedGaussianPrior,
    LogUniformPrior,
    Parameter,
    ParameterVector,
    PowerLaw,
    UniformPrior,
)

PRIORS = [
    (GaussianPrior(mu=2, sigma=0.3), stats.norm(2, 0.3)),
    (UniformPrior(min=1, max=4), stats.uniform(1, 3)),
    (LogUniformPrior(min=0.5, max=20), stats.loguniform(0.5, 20)),
    (GeneralizedGaussianPrior(mu=2, sigma=0.4, eta=0.7), stats.gennorm(1 / 0.7, 2, 0.4 * 2**0.5)),
    (GeneralizedGaussianPrior(mu=2, sigma=0.4, eta=1.0), stats.gennorm(1.0, 2, 0.4 * 2**0.5)),
]


@pytest.mark.parametrize(("prior", "density"), PRIORS, ids=lambda one: repr(one)[:40])
def test_value_is_minus_two_log_density(prior, density):
    x = np.array([1.1, 1.7, 2.2, 3.9])
    np.testing.assert_allclose(prior.value(x), -2 * density.logpdf(x), rtol=1e-10)
    np.testing.assert_allclose(replace(prior, weight=3.0).value(x), -6 * density.logpdf(x), rtol=1e-10)


@pytest.mark.parametrize(("prior", "density"), PRIORS, ids=lambda one: repr(one)[:40])
def test_gradient_is_that_of_the_value(prior, density):
    x = np.array([1.1, 1.7, 2.2, 3.9])
    wanted = (prior.value(x + 1e-6) - prior.value(x - 1e-6)) / 2e-6
    np.testing.assert_allclose(prior.gradient(x), wanted, rtol=1e-6, atol=1e-8)
    assert np.isfinite(prior.gradient(2.0))


def test_what_is_excluded_is_infinite():
    assert UniformPrior().value(1.5) == np.inf
    assert LogUniformPrior().value(-1.0) == np.inf
    assert LogUniformPrior().gradient(-1.0) == 0


def test_wrong_values_are_refused():
    with pytest.raises(ValueError, match=r"GaussianPrior: sigma 0, expected a positive value"):
        GaussianPrior(sigma=0)
    with pytest.raises(ValueError, match=r"LogUniformPrior: min 0 and max 1"):
        LogUniformPrior(min=0, max=1)
    with pytest.raises(ValueError, match=r"UniformPrior: mu|UniformPrior: min nan"):
        UniformPrior(min=float("nan"))


def test_priors_travel_with_parameters_and_count_once_when_linked():
    prior = GaussianPrior(mu=2.2, sigma=0.1)
    index = Parameter("index", 2.0, link="shared", prior=prior)
    model = PowerLaw(index=index)
    assert pickle.loads(pickle.dumps(model)) == model
    assert hash(model) != hash(PowerLaw(index=replace(index, prior=None)))
    assert model.replaced(index=2.5).parameters["index"].prior == prior
    amplitude = Parameter("amplitude", 1e-8, prior=LogUniformPrior(min=1e-9, max=1e-7))
    vector = ParameterVector({"a": model.parameters, "b": PowerLaw(index=index, amplitude=amplitude).parameters})
    values = vector.values
    expected = float(prior.value(2.0)) + float(amplitude.prior.value(1e-8))
    assert vector.prior_stat(values) == pytest.approx(expected)
    np.testing.assert_allclose(vector.prior_gradient(values), [-40.0, 0, 2e8])
    assert ParameterVector({"a": PowerLaw().parameters}).prior_stat(np.array([2.0, 1e-8])) == 0
