"""Parameters: limits, links by name, vectors that leave the process."""

import pickle

import numpy as np
import pytest

from survey.models import Gaussian, Parameter, Parameters, ParameterVector, PowerLaw


def test_value_outside_limits_is_refused_by_name():
    with pytest.raises(ValueError, match=r"GaussianSpatialModel: parameter sigma: -1 deg is outside its limits"):
        Gaussian(sigma=-1)


def test_unknown_parameter_names_those_that_exist():
    with pytest.raises(ValueError, match=r"no parameter gamma; it has: index, amplitude, reference"):
        PowerLaw(gamma=2)


def test_model_attribute_is_the_value_and_replaced_leaves_the_first_alone():
    model = Gaussian(sigma=0.2, frame="galactic")
    other = model.replaced(sigma=0.3)
    assert (model.sigma, other.sigma, other.frame) == (0.2, 0.3, "galactic")
    assert pickle.loads(pickle.dumps(model)) == model
    assert other.key() == {
        "type": "gauss", "lon_0": 0, "lat_0": 0, "sigma": 0.3, "e": 0, "phi": 0, "frame": "galactic",
    }  # fmt: skip


def test_vector_joins_links_and_leaves_out_frozen_ones():
    index = Parameter("index", 2.3, link="shared", minimum=0)
    free = Parameter("index", 2.3, link="shared", maximum=5)
    vector = ParameterVector({"a": PowerLaw(index=index).parameters, "b": PowerLaw(index=free).parameters})
    assert vector.names == ("shared", "a.amplitude", "b.amplitude")
    np.testing.assert_array_equal(vector.limits[0], [0, 5])
    back = pickle.loads(pickle.dumps(vector)).assign(np.array([2.0, 1e-8, 3e-8]), np.diag([0.01, 0, 0]))
    assert back["a"]["index"].value == back["b"]["index"].value == 2.0
    assert back["b"]["amplitude"].value == 3e-8
    assert back["a"]["index"].error == pytest.approx(0.1)


def test_links_of_different_values_or_units_are_refused():
    one, two = Parameter("x", 1.0, "deg", link="l"), Parameter("y", 2.0, "deg", link="l")
    with pytest.raises(ValueError, match=r"different values: c\.x, c\.y"):
        ParameterVector({"c": Parameters([one, two])})
    with pytest.raises(ValueError, match="different units"):
        ParameterVector({"c": Parameters([one, Parameter("y", 1.0, "TeV", link="l")])})


def test_first_step_is_the_natural_scale():
    assert Gaussian(lon_0=320).parameters["lon_0"].step == 0.01
