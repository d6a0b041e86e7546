"""Components and collections: names, parts, vectors, links, covariance, selection."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import survey
from survey.models import (
    CompoundSpectrum,
    Disk,
    ExpCutoffPowerLaw,
    FoVBackgroundModel,
    Gaussian,
    Models,
    ModelsError,
    Parameter,
    Point,
    PowerLaw,
    PowerLawNorm,
    SkyModel,
)


def _linked(value=2.3):
    return Parameter("index", value, link="index@abc", scale=0.1)


@pytest.fixture
def models():
    """A point and a Gaussian with one index, a disk with a product, a background."""
    product = CompoundSpectrum(ExpCutoffPowerLaw(), PowerLawNorm(), "mul")
    return Models(
        [
            SkyModel("point", PowerLaw(index=_linked()), Point(lon_0=83.6, lat_0=22.0)),
            SkyModel("gauss", PowerLaw(index=_linked()), Gaussian(sigma=0.2, frame="galactic"), datasets_names="hess"),
            SkyModel("disk", product, Disk(r_0=0.3)).freeze("spatial"),
            FoVBackgroundModel.for_dataset("hess"),
        ]
    )


def test_mapping_by_name_in_order(models):
    assert list(models) == ["point", "gauss", "disk", "hess-bkg"]
    assert models["gauss"].spatial.sigma == 0.2
    with pytest.raises(KeyError, match=r"no component 'gaus'; nearest: gauss"):
        models["gaus"]
    assert survey.Models is Models


def test_vector_names_are_paths_and_links_count_once(models):
    assert models.vector.names == (
        "index@abc",
        "point.spectral.amplitude",
        "point.spatial.lon_0",
        "point.spatial.lat_0",
        "gauss.spectral.amplitude",
        "gauss.spatial.lon_0",
        "gauss.spatial.lat_0",
        "gauss.spatial.sigma",
        "disk.spectral.model1.index",
        "disk.spectral.model1.amplitude",
        "disk.spectral.model1.lambda_",
        "disk.spectral.model2.norm",
        "hess-bkg.spectral.norm",
    )
    assert "point.spectral.reference" in models.parameter_names


def test_result_of_a_fit_comes_back(models):
    rng = np.random.default_rng(1)
    size = len(models.vector.names)
    root = rng.normal(size=(size, size)) * models.vector.steps[:, None]
    matrix = root @ root.T
    values = models.vector.values * 1.01
    fitted = models.with_vector(values, matrix)
    np.testing.assert_array_equal(fitted.vector.values, values)
    np.testing.assert_array_equal(fitted.vector_covariance, matrix)
    assert fitted["point"].spectral.index == fitted["gauss"].spectral.index == values[0]
    np.testing.assert_allclose(fitted["gauss"].spectral.parameters["index"].error, matrix[0, 0] ** 0.5)
    names = list(fitted.parameter_names)
    one, two = names.index("point.spectral.index"), names.index("gauss.spectral.index")
    np.testing.assert_array_equal(fitted.covariance[one], fitted.covariance[two])
    assert not fitted.covariance[names.index("disk.spatial.r_0")].any()
    assert models["point"].spectral.index == 2.3


def test_errors_are_the_covariance_without_one(models):
    changed = models.with_parameters({"gauss.spatial.sigma": Parameter("sigma", 0.2, "deg", error=0.01)})
    place = changed.parameter_names.index("gauss.spatial.sigma")
    assert changed.covariance[place, place] == 0.01**2
    assert np.count_nonzero(changed.covariance) == 1


def test_value_goes_to_linked_parameters(models):
    changed = models.with_parameters({"gauss.spectral.index": 2.7, "point.spatial.lon_0": 84.0})
    assert changed["point"].spectral.index == changed["gauss"].spectral.index == 2.7
    assert changed["point"].spatial.lon_0 == 84.0
    with pytest.raises(ModelsError, match=r"gauss.spectral.indx: no such parameter; nearest: gauss.spectral.index"):
        models.with_parameters({"gauss.spectral.indx": 2.0})


def test_freeze_and_unfreeze_are_copies(models):
    frozen = models.freeze()
    assert frozen.vector.names == ()
    assert models.vector.names
    assert frozen.unfreeze("spectral").vector.names[0] == "index@abc"
    assert "disk.spatial.r_0" in frozen.unfreeze().vector.names
    assert not any("reference" in name for name in frozen.unfreeze().vector.names)
    assert not any("tilt" in name for name in frozen.unfreeze().vector.names)


def test_selection(models):
    assert list(models.select("s")) == ["gauss", "disk", "hess-bkg"]
    assert list(models.select(tag="pl")) == ["point", "gauss"]
    assert list(models.select(tag="gauss", kind="spatial")) == ["gauss"]
    assert list(models.select(tag="sky-model")) == ["point", "gauss", "disk"]
    assert list(models.select(dataset="magic")) == ["point", "disk"]
    assert list(models.freeze("spectral").select(frozen=True)) == ["disk", "hess-bkg"]


def test_a_part_keeps_its_covariance(models):
    size = len(models.parameter_names)
    matrix = np.arange(size * size, dtype=float).reshape(size, size)
    models = Models(models.values(), covariance=matrix + matrix.T)
    part = models.only(["disk"])
    rows = [k for k, name in enumerate(models.parameter_names) if name.startswith("disk.")]
    np.testing.assert_array_equal(part.covariance, models.covariance[np.ix_(rows, rows)])
    whole = part.added(models["point"].renamed("other"))
    np.testing.assert_array_equal(whole.covariance[: len(rows), : len(rows)], part.covariance)


def test_plain_data_is_lossless(models):
    size = len(models.vector.names)
    models = models.with_vector(models.vector.values / 3, np.eye(size) / 7)
    assert Models.from_dict(json.loads(json.dumps(models.as_dict()))) == models
    assert pickle.loads(pickle.dumps(models)) == models
    json.dumps(models.key())


@settings(deadline=None, max_examples=30)
@given(st.floats(1e-20, 1e3), st.floats(0, 1e3), st.sampled_from([0.0, 0.1, 0.7]))
def test_any_value_is_lossless(amplitude, error, scale):
    parameter = Parameter("amplitude", amplitude, "TeV-1 s-1 m-2", error=error, scale=scale)
    models = Models([SkyModel("a", PowerLaw(amplitude=parameter))])
    assert Models.from_dict(json.loads(json.dumps(models.as_dict()))) == models


def test_key_changes_with_values_alone(models):
    assert models.key() == models.with_parameters({}).key()
    assert models.key() != models.with_parameters({"disk.spatial.r_0": 0.31}).key()
    assert models["disk"].key()["spatial"]["r_0"] == 0.3
