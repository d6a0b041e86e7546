"""Asimov sources: our TS map, with its own kernels, gives back the flux of sources that the peer predicted.

The counts are our background plus what Gammapy 2.1 predicts observation by observation for a point source, with the PSF
and dispersion at the source and each observation's own safe range. Near the centre of the field and 1.5 degrees off.
"""

from __future__ import annotations

import numpy as np
import parity_ours as ours
import pytest
from parity_fields import ASIMOV, ASIMOV_HALF, FIELDS, PREDICTION_AMPLITUDE, PREDICTION_INDEX

from survey.estimators.excess import Core
from survey.estimators.settings import TSMapSettings
from survey.estimators.ts import ts_map
from survey.models import PowerLaw

KERNEL_WIDTH = 1.0


@pytest.fixture(scope="module", params=list(ASIMOV))
def asimov(request, peer, data):
    """Field, our cube, the peer's predictions (place, energy, y, x), and the places."""
    field = FIELDS[request.param]
    obs_ids, places = ASIMOV[request.param]
    with np.load(peer("peer_asimov.py") / f"{field.name}.npz") as archive:
        predicted = archive["predicted"]
    dataset = ours.cube(field, [ours.prepared(field, ours.read(data, obs_id)) for obs_id in obs_ids])
    return dataset, predicted, places


@pytest.mark.parametrize("number", [0, 1], ids=["centre", "1.5-deg-off"])
def test_asimov_flux(asimov, number):
    """Within 1 %, and the error of the norm is that of the counts."""
    dataset, predicted, places = asimov
    y, x = places[number]
    half = ASIMOV_HALF
    around = {"y": slice(y - half, y + half + 1), "x": slice(x - half, x + half + 1)}
    counts = dataset["background"].copy()
    counts[around] = counts[around] + predicted[number]
    settings = TSMapSettings(
        spectral_model=PowerLaw(index=PREDICTION_INDEX, amplitude=PREDICTION_AMPLITUDE * 1e4), kernel_width=KERNEL_WIDTH
    )
    maps = ts_map(dataset.assign(counts=counts), settings, Core(y, y + 1, x, x + 1))
    assert float(maps["success"].item()) == 1
    assert float(maps["sqrt_ts"].item()) > 10
    np.testing.assert_allclose(maps["norm"].item(), 1.0, rtol=0.01)


def test_expected_counts(asimov):
    """What our map takes for the expected counts of the source, before the fit: within 1 % of the peer's in total."""
    dataset, predicted, places = asimov
    for number, place in enumerate(places):
        found = ours.predicted_counts(dataset, *place)
        np.testing.assert_allclose(found.sum(), predicted[number].sum(), rtol=0.01)
