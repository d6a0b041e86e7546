"""The TS map of an empty simulated sky: the square root of TS is a normal number."""

import numpy as np
import pytest
from sampler_cases import DEC, RA, array_responses, observation
from scipy.stats import norm
from test_closed_loop import stacked

from survey.estimators.settings import TSMapSettings
from survey.estimators.ts import ts_map
from survey.events.observation import Pointing
from survey.models.power_laws import PowerLaw


@pytest.fixture(scope="module")
def root_ts():
    """Square roots of TS of pixels without the rim, on a field with some hundred events in a PSF."""
    made = observation(
        pointing=Pointing("icrs", RA, DEC),
        tables=array_responses(),
        start=np.array([0.0]),
        stop=np.array([8e5]),
        livetime=7e5,
        obs_id=5,
    )
    maps = ts_map(stacked([made]), TSMapSettings(spectral_model=PowerLaw(index=2.3, amplitude=1e-8), kernel_width=0.8))
    assert np.all(maps["success"].values[0][20:-20, 20:-20] == 1)
    return maps["sqrt_ts"].values[0][20:-20, 20:-20]


def test_mean_and_width(root_ts):
    """Some hundred places are independent of each other, so that the mean is known to 0.05."""
    assert abs(root_ts.mean()) < 0.2
    assert abs(root_ts.std() - 1.0) < 0.12


@pytest.mark.parametrize("level", [1.0, 2.0, 3.0])
def test_excesses_are_half_a_chi2_distribution(root_ts, level):
    """As many pixels above a TS as half of a chi2 distribution with one degree of freedom has."""
    expected = norm.sf(level)
    # as many independent places as PSFs fit into the field
    error = np.sqrt(expected * (1.0 - expected) / 600.0)
    assert abs(np.mean(root_ts > level) - expected) < 4.0 * error
    assert abs(np.mean(root_ts < -level) - expected) < 4.0 * error


def test_no_place_stands_out(root_ts):
    assert root_ts.max() < 5.5
