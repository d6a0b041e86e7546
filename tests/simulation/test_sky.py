"""Where the sky of a simulation comes from."""

import numpy as np
import pytest

from survey.catalog.hgps import LARGE_SCALE_FILE, LARGE_SCALE_NAME, models_of_hgps
from survey.models.collection import Models
from survey.models.components import SkyModel
from survey.models.power_laws import PowerLaw
from survey.models.spatial import Point
from survey.simulation.sky import check_emission, read_sky, template_files


@pytest.fixture(scope="module")
def table(survey_data):
    path = survey_data / "catalogs" / "hgps_catalog_v1.fits.gz"
    if not path.is_file():
        pytest.skip("no HGPS catalogue")
    return path


@pytest.mark.data
def test_catalogue_has_all_sources_and_the_band(table):
    models = models_of_hgps(table)
    assert len(models) == 97
    assert list(models)[-1] == LARGE_SCALE_NAME
    assert len(models_of_hgps(table, large_scale=False)) == 96
    total = sum(float(model.spectral.integral(1.0, 1e6)) for model in models.values()) * 1e-4
    assert 3e-10 < total < 6e-10


@pytest.mark.data
def test_sky_with_its_template_is_read_back(table, tmp_path):
    sky = read_sky({"hgps": {"path": str(table)}})
    files = template_files(sky)
    assert list(files) == [LARGE_SCALE_FILE]
    (tmp_path / LARGE_SCALE_FILE).write_bytes(files[LARGE_SCALE_FILE])
    again = Models.from_yaml(Models(sky).to_yaml(), folder=tmp_path)
    assert list(again) == [model.name for model in sky]
    band, copy = sky[-1], again[LARGE_SCALE_NAME]
    np.testing.assert_allclose(copy.spatial.value(340.0, -0.1), band.spatial.value(340.0, -0.1), rtol=1e-9)


def test_population_and_nothing():
    sky = read_sky({"population": {"size": 50, "flux_min": 0.0}}, seed=2)
    assert len(sky) == 50
    assert sky == read_sky({"population": {"size": 50, "flux_min": 0.0}}, seed=2)
    assert read_sky({}) == ()


def test_what_cannot_be_a_sky_is_named(tmp_path):
    with pytest.raises(ValueError, match="stars"):
        read_sky({"stars": {}})
    with pytest.raises(ValueError, match=r"population\.shape"):
        read_sky({"population": {"shape": 1}})
    with pytest.raises(ValueError, match="no file"):
        read_sky({"hgps": {"path": str(tmp_path / "none.fits")}})
    (tmp_path / "bad.fits").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="no FITS file"):
        read_sky({"hgps": {"path": str(tmp_path / "bad.fits")}})


def test_models_that_no_photon_can_be_drawn_from_are_refused_with_their_key():
    below = SkyModel("below", PowerLaw(index=2.0, amplitude=-1e-8), Point(lon_0=0.0, lat_0=0.0))
    nowhere = SkyModel("nowhere", PowerLaw(index=2.0, amplitude=1e-8))
    with pytest.raises(ValueError, match=r"below\.spectral: has the flux -") as caught:
        check_emission([below, nowhere])
    assert "nowhere.spatial: is missing" in str(caught.value)
