"""Laws that every spectrum obeys: integrals, derivatives, propagation, copies."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from survey.models import Parameter, SpectralModel
from tests.models.spectra_cases import SPECTRA

EDGES = np.array([0.35, 0.5, 1.1, 2.9, 11.0, 33.0])
QUANTITIES = {
    "value": (lambda m, low, high: m.value(low), lambda m, low, high: m.gradient(low)),
    "integral": (lambda m, low, high: m.integral(low, high), lambda m, low, high: m.integral_gradient(low, high)),
    "energy flux": (
        lambda m, low, high: m.energy_flux(low, high),
        lambda m, low, high: m.energy_flux_gradient(low, high),
    ),
}
every_spectrum = pytest.mark.parametrize("model", SPECTRA.values(), ids=list(SPECTRA))


def changed(model: SpectralModel, factors: list[float]) -> SpectralModel:
    """The model with its parameters times factors near one."""
    return model.replaced(
        **{name: model.parameters[name].value * f for name, f in zip(model.parameters, factors, strict=False)}
    )


def nearby(size: int = 8) -> st.SearchStrategy[list[float]]:
    return st.lists(st.floats(0.93, 1.07), min_size=size, max_size=size)


def exact(model: SpectralModel, low: float, high: float, order: int) -> float:
    """Adaptive quadrature between the kinks, in the logarithm of energy."""
    breaks = np.log([energy for energy in np.unique(model.breaks) if low < energy < high])
    ends = [np.log(low), *breaks, np.log(high)]
    return sum(
        quad(
            lambda x: np.exp(x * (1 + order)) * float(model.value(np.exp(x))), a, b, epsabs=0, epsrel=1e-11, limit=200
        )[0]
        for a, b in pairwise(ends)
    )


@every_spectrum
@settings(max_examples=5, deadline=None)
@given(factors=nearby(), low=st.floats(0.1, 5.0), width=st.floats(1.05, 40.0))
def test_integrals_are_those_of_the_value(model, factors, low, width):
    model = changed(model, factors)
    assert model.integral(low, low * width) == pytest.approx(exact(model, low, low * width, 0), rel=1e-9)
    assert model.energy_flux(low, low * width) == pytest.approx(exact(model, low, low * width, 1), rel=1e-9)


@every_spectrum
@pytest.mark.parametrize("quantity", list(QUANTITIES))
@settings(max_examples=5, deadline=None)
@given(factors=nearby())
def test_derivatives_are_analytic(model, quantity, factors):
    model = changed(model, factors)
    function, gradient = QUANTITIES[quantity]
    low, high = EDGES[:-1], EDGES[1:]
    found = gradient(model, low, high)
    assert found.shape == (len(model.parameters), low.size)
    for row, (name, parameter) in zip(found, model.parameters.items(), strict=True):
        step = 1e-5 * abs(parameter.value)
        up, down = (function(model.replaced(**{name: parameter.value + s * step}), low, high) for s in (1, -1))
        scale = np.abs(function(model, low, high)) / abs(parameter.value)
        np.testing.assert_array_less(np.abs(row - (up - down) / (2 * step)), 2e-6 * scale + 1e-6 * np.abs(row))


@every_spectrum
@settings(max_examples=10, deadline=None)
@given(st.lists(st.floats(0.02, 200.0), min_size=3, max_size=3, unique=True))
def test_integrals_over_adjoining_ranges_add_up(model, energies):
    low, middle, high = sorted(energies)
    for integral in (model.integral, model.energy_flux, model.integral_gradient, model.energy_flux_gradient):
        parts = np.array([integral(low, middle), integral(middle, high)])
        scale = np.abs(parts).sum(axis=0)
        np.testing.assert_array_less(np.abs(integral(low, high) - parts.sum(axis=0)), 1e-9 * scale + 1e-290)


@every_spectrum
def test_shapes_follow_those_of_the_energies(model):
    low, high = np.full((3, 1), 0.5), np.array([2.0, 5.0])
    assert np.shape(model.value(1.0)) == ()
    assert np.shape(model.integral(1.0, 3.0)) == ()
    assert model.value(low).shape == (3, 1)
    assert model.gradient(1.0).shape == (len(model.parameters),)
    assert model.integral(low, high).shape == (3, 2)
    assert model.integral(np.empty(0), np.empty(0)).shape == (0,)
    assert model.energy_flux_gradient(low, high).shape == (len(model.parameters), 3, 2)
    np.testing.assert_allclose(model.integral(low, high)[2], [model.integral(0.5, 2.0), model.integral(0.5, 5.0)])


@every_spectrum
def test_propagation_is_what_samples_say(model):
    rng = np.random.default_rng(7)
    values = model.parameters.vector
    size = values.size
    mixed = rng.normal(size=(size, size)) + 2 * np.eye(size)
    spread = 1e-3 * np.abs(values)
    covariance = mixed @ mixed.T / (size + 4) * np.outer(spread, spread)
    low, high = EDGES[:-1], EDGES[1:]
    # samples of the standard normal that have no mean and unit covariance, so that few of them will do
    normal = rng.normal(size=(600, size))
    normal -= normal.mean(axis=0)
    if size:
        normal @= np.linalg.inv(np.linalg.cholesky(np.cov(normal.T).reshape(size, size))).T
        normal @= np.linalg.cholesky(covariance).T
    found = [
        [m.value(low), m.integral(low, high), m.energy_flux(low, high)]
        for m in (model.replaced(**dict(zip(model.parameters, values + shift, strict=True))) for shift in normal)
    ]
    expected = [
        model.value_error(low, covariance),
        model.integral_error(low, high, covariance),
        model.energy_flux_error(low, high, covariance),
    ]
    scale = 1e-9 * np.abs(np.array(found[0]))
    np.testing.assert_array_less(np.abs(np.std(found, axis=0) - expected), 0.02 * np.array(expected) + scale)


@every_spectrum
def test_errors_of_parameters_count_as_independent(model):
    erred = model.with_parameters(
        model.parameters.replaced(
            **{name: p.with_value(p.value, 0.01 * abs(p.value)) for name, p in model.parameters.items()}
        )
    )
    terms = model.gradient(2.0) * 0.01 * model.parameters.vector
    assert erred.value_error(2.0) == pytest.approx(np.sqrt(np.sum(terms**2)), rel=1e-12)


@every_spectrum
def test_copies_are_equal_and_changed_ones_are_not(model):
    again = pickle.loads(pickle.dumps(model))
    assert again == model
    assert hash(again) == hash(model)
    assert again.key() == model.key()
    assert model.with_parameters(model.parameters) == model
    for name, parameter in model.parameters.items():
        other = model.replaced(**{name: parameter.value * 1.5})
        assert other != model
        assert other.key() != model.key()
        assert other.replaced(**{name: parameter.value}) == model
        assert model.replaced(**{name: Parameter(name, parameter.value, parameter.unit, frozen=True)}).value(1.0) > 0


@every_spectrum
def test_a_norm_has_no_unit(model):
    assert model.is_norm == (model.unit == "")
    assert model.unit in ("", "TeV-1 s-1 m-2")
    if "Norm" in type(model).__name__:
        assert model.is_norm
