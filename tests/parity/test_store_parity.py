"""Stores of the writer beside Gammapy 2.1: it opens them without a warning and finds what was written."""

from __future__ import annotations

import numpy as np
import pytest

from survey.events.gadf_writer import write_store
from survey.events.synthetic import SyntheticSource, make_observation
from survey.events.synthetic_response import MEV_PER_TEV, SyntheticInstrument

ENERGY = np.geomspace(0.2, 20.0, 7)
VARIANTS = (
    ("icrs", SyntheticInstrument(background_gradient=(0.1, -0.05), n_energy=60, n_offset=13)),
    ("altaz", SyntheticInstrument(fov_alignment="ALTAZ", psf_form="psf_3gauss", n_energy=60, n_offset=13)),
    ("table", SyntheticInstrument(bkg_form="bkg_2d", psf_form="psf_king", n_energy=60, n_offset=13, lo_thres=0.3)),
)


@pytest.mark.parametrize("compress", [False, True])
def test_peer_opens_written_stores_without_a_warning(peer_once, tmp_path, compress) -> None:
    observations = [
        make_observation(
            number, 83.6, -22.0, pointing=pointing, instrument=instrument, sources=[SyntheticSource(83.6, -22.0)]
        )
        for number, (pointing, instrument) in enumerate(VARIANTS, start=1)
    ]
    write_store(tmp_path / "store", observations, compress=compress)
    peer_once("peer_store.py", tmp_path / "out", str(tmp_path / "store"))
    with np.load(tmp_path / "out" / "store.npz") as archive:
        found = dict(archive)
    for observation, (_, instrument) in zip(observations, VARIANTS, strict=True):
        dump = {name: found[f"{observation.obs_id}_{name}"] for name in ("ra", "dec", "energy", "livetime", "gti")}
        np.testing.assert_allclose(dump["ra"], observation.events["RA"], rtol=1e-14)
        np.testing.assert_array_equal(dump["dec"], observation.events["DEC"])
        np.testing.assert_array_equal(dump["energy"], observation.events["ENERGY"])
        mjd = observation.reference.mjdrefi + observation.events["TIME"] / 86400.0
        np.testing.assert_allclose(found[f"{observation.obs_id}_time"], mjd, rtol=0, atol=1e-9)
        assert dump["livetime"] == pytest.approx(observation.livetime, rel=1e-9)
        assert dump["gti"] == pytest.approx(observation.ontime, rel=1e-9)
        assert observation.location is not None
        place = [x.value for x in observation.location.geocentric]
        np.testing.assert_allclose(found[f"{observation.obs_id}_location"], place, rtol=1e-9)
        offset = np.full(ENERGY.size, 0.75)
        aeff = instrument.effective_area(ENERGY, offset, round(observation.zenith / 10) * 10)
        np.testing.assert_allclose(found[f"{observation.obs_id}_aeff"], aeff, rtol=0.02)
        radius = 1.0 if instrument.bkg_form == "bkg_2d" else np.hypot(1.0, 0.2)
        peak = 1 / (2 * np.pi * np.radians(instrument.background_width) ** 2)
        slope = 1 + instrument.background_gradient[0] - 0.2 * instrument.background_gradient[1]
        shape = peak * np.exp(-0.5 * (radius / instrument.background_width) ** 2) * slope
        background = shape * instrument.background_density(ENERGY) / MEV_PER_TEV
        np.testing.assert_allclose(found[f"{observation.obs_id}_bkg"], background, rtol=0.01)
        assert np.all(np.diff(found[f"{observation.obs_id}_psf"]) > 0)
