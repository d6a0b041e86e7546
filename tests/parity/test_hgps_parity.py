"""The H.E.S.S. survey catalogue beside Gammapy 2.1's reading of it: fluxes and shapes of all sources at 1e-6."""

import json

import numpy as np
import pytest

from survey.catalog.hgps import LARGE_SCALE_NAME, models_of_hgps


@pytest.fixture(scope="module")
def both(peer, data):
    folder = peer("peer_hgps.py")
    return models_of_hgps(data / "catalogs" / "hgps_catalog_v1.fits.gz"), folder


def test_sources(both):
    """Names, spectra (flux from 1 to 100 TeV, errors of the parameters), shapes with errors."""
    models, folder = both
    theirs = json.loads((folder / "sources.json").read_text())
    assert theirs["n_sources"] == 78
    ours = {name: model for name, model in models.items() if name != LARGE_SCALE_NAME}
    assert list(ours) == list(theirs["models"])
    for name, expected in theirs["models"].items():
        model = ours[name]
        assert model.spectral.tag[1] == expected["spectral"]
        assert model.spatial.tag[1] == expected["spatial"]
        np.testing.assert_allclose(model.spectral.integral(1.0, 100.0), expected["flux"], rtol=1e-6)
        for key in ("index", "amplitude"):
            found = model.spectral.parameters[key].error
            np.testing.assert_allclose(found, expected[f"{key}_error"], rtol=1e-6, err_msg=f"{name} {key}")
        for key, value in expected["values"].items():
            found = model.spatial.parameters[key]
            np.testing.assert_allclose(found.value, value, rtol=1e-6, atol=1e-9, err_msg=f"{name} {key}")
            np.testing.assert_allclose(found.error, expected["errors"][key], rtol=1e-6, err_msg=f"{name} {key}")


def test_large_scale_emission(both):
    """Its image, where the band is bright; pixels are a part of its width, so it is no better than a few per cent."""
    models, folder = both
    model = models[LARGE_SCALE_NAME]
    with np.load(folder / "large_scale.npz") as archive:
        lon, lat, expected = archive["lon"], archive["lat"], archive["brightness"]
    flux = float(model.spectral.integral(1.0, 1e8))
    found = flux * model.spatial.value(lon, lat)
    bright = expected > 0.3 * expected.max()
    assert bright.sum() > 20
    np.testing.assert_allclose(found[bright], expected[bright], rtol=0.02)
