"""A simulated store beside Gammapy 2.1: it opens it without a warning, and finds events and responses as they were made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import survey
from survey.events.datastore import open_datastore
from survey.simulation.array import MEV_PER_TEV, ParametrisedArray
from survey.simulation.responses import ResponseChoice

ENERGY = np.geomspace(0.2, 20.0, 7)
FIELD = {"frame": "icrs", "lon": "83.63 deg", "lat": "-22 deg"}


@pytest.mark.parametrize("alignment", ["radec", "altaz"])
@pytest.mark.parametrize("compress", [False, True])
def test_peer_opens_a_simulated_store_without_a_warning(peer_once, tmp_path, alignment: str, compress: bool) -> None:
    config: dict[str, Any] = {
        "observations": {"datastore": "nowhere"},
        "datasets": {"geom": {"wcs": {"skydir": FIELD}}},
        "simulation": {
            "pointings": [
                {"pattern": "wobble", **FIELD, "runs": 2},
                {"pattern": "drift", "alt": "70 deg", "az": "30 deg"},
            ],
            "ontime": "10 min",
            "responses": {"array": {"alignment": alignment}},
            "output": {"compress": compress},
        },
        "cluster": {"kind": "none"},
    }
    survey.simulate(config, tmp_path / "store", listeners=[])
    peer_once("peer_store.py", tmp_path / "out", str(tmp_path / "store"))
    with np.load(tmp_path / "out" / "store.npz") as archive:
        found = dict(archive)
    array = ParametrisedArray(alignment=alignment.upper())  # type: ignore[arg-type]
    for source in open_datastore(tmp_path / "store").sources:
        ours = source.load()
        peers = {
            name.partition("_")[2]: values for name, values in found.items() if name.startswith(f"{source.obs_id}_")
        }
        np.testing.assert_allclose(peers["ra"], ours.events["RA"], rtol=1e-14)
        np.testing.assert_array_equal(peers["energy"], ours.events["ENERGY"])
        mjd = ours.reference.mjdrefi + ours.events["TIME"] / 86400.0
        np.testing.assert_allclose(peers["time"], mjd, rtol=0, atol=1e-9)
        assert peers["livetime"] == pytest.approx(ours.livetime, rel=1e-9)
        assert peers["gti"] == pytest.approx(600.0, rel=1e-9)
        assert ours.location is not None
        np.testing.assert_allclose(peers["location"], [x.value for x in ours.location.geocentric], rtol=1e-9)
        band = ResponseChoice().band(ours.zenith)
        np.testing.assert_allclose(peers["aeff"], array.effective_area(ENERGY, 0.75, band), rtol=0.02)
        background = array.background(ENERGY, 1.0, -0.2, band) / MEV_PER_TEV
        np.testing.assert_allclose(peers["bkg"], background, rtol=0.03)
        radius = array.psf_width(ENERGY, 0.75, band)
        assert np.all((peers["psf"] > 0.68) == (radius < 0.1))
