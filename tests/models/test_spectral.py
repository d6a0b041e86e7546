"""The power law: integrals against quadrature, derivatives against differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from survey.models import Parameter, PowerLaw

INDEX = st.one_of(st.floats(-1, 5), st.sampled_from([1.0, 2.0, 1 + 1e-9, 2 - 1e-7]))


@settings(max_examples=40, deadline=None)
@given(INDEX, st.floats(0.3, 3.0))
def test_integrals_are_those_of_the_value(index, reference):
    model = PowerLaw(index=index, amplitude=3e-8, reference=reference)
    assert model.integral(0.5, 20.0) == pytest.approx(quad(model.value, 0.5, 20, epsrel=1e-11)[0], rel=1e-9)
    energy_flux = quad(lambda e: e * model.value(e), 0.5, 20, epsrel=1e-11)[0]
    assert model.energy_flux(0.5, 20.0) == pytest.approx(energy_flux, rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(INDEX, st.sampled_from(["index", "amplitude", "reference"]))
def test_derivatives_are_analytic(index, name):
    model = PowerLaw(index=index, amplitude=3e-8, reference=1.4)
    low, high = np.array([0.3, 1.0]), np.array([1.0, 30.0])
    place = list(model.parameters).index(name)
    step = 1e-3 * model.parameters[name].step
    up, down = (model.replaced(**{name: model.parameters[name].value + s * step}) for s in (1, -1))
    for gradient, function in (
        (model.gradient(low), lambda m: m.value(low)),
        (model.integral_gradient(low, high), lambda m: m.integral(low, high)),
        (model.energy_flux_gradient(low, high), lambda m: m.energy_flux(low, high)),
    ):
        scale = 1e-6 * np.abs(function(model)) / (1e3 * step)
        np.testing.assert_array_less(
            np.abs(gradient[place] - (function(up) - function(down)) / (2 * step)),
            scale + 1e-6 * np.abs(gradient[place]),
        )


def test_errors_propagate_with_and_without_covariance():
    model = PowerLaw(
        index=Parameter("index", 2.0, error=0.1), amplitude=Parameter("amplitude", 1e-8, "TeV-1 s-1 m-2", 1e-9)
    )
    assert model.value_error(1.0) == pytest.approx(1e-9)
    assert model.value_error(np.e) == pytest.approx(1e-8 * np.e**-2 * np.hypot(0.1, 0.1))
    covariance = np.array([[0.01, 1e-10, 0], [1e-10, 1e-18, 0], [0, 0, 0]])
    assert model.value_error(np.e, covariance) == pytest.approx(0, abs=1e-16)
    with pytest.raises(ValueError, match="covariance has shape"):
        model.integral_error(1, 10, np.eye(2))
