"""The synthetic population: the same for the same seed, on the arms, in the plane, with the laws that it is told."""

import numpy as np
import pytest

from survey.simulation.population import (
    SUN,
    PopulationSettings,
    from_the_sun,
    galactic_places,
    make_population,
    power_law,
)
from survey.simulation.sky_index import SkyIndex


def flux(models):
    """Above 1 TeV, s-1 m-2."""
    return np.array([float(model.spectral.integral(1.0, 1000.0)) for model in models.values()])


def test_same_seed_same_population():
    one, two, other = (make_population(PopulationSettings(size=200), seed) for seed in (3, 3, 4))
    assert one == two
    assert one != other


def test_sources_are_in_order_of_brightness_and_above_the_limit():
    settings = PopulationSettings(size=500, flux_min=1e-9)
    found = flux(make_population(settings, 1))
    assert np.all(np.diff(found) <= 0.05 * found[:-1])
    # power laws have their flux to infinity, the integral here ends at 1000 TeV
    assert found.min() > 0.95e-9


def test_population_is_like_the_published_ones():
    """Some hundreds of sources within reach, (3 to 15)e-10 s-1 cm-2 in all within a factor of two, in the plane."""
    models = make_population(PopulationSettings(size=1000), 0)
    total = 1e-4 * flux(models).sum()
    assert 1.5e-10 < total < 3e-9
    lat = np.array([model.spatial.lat_0 for model in models.values()])
    assert np.median(np.abs(lat)) < 0.7
    lon = np.array([model.spatial.lon_0 for model in models.values()])
    inner = np.abs((lon + 180.0) % 360.0 - 180.0) < 60.0
    assert 0.5 < inner.mean() < 0.95
    assert len(SkyIndex(models)) == len(models)
    assert {type(model.spatial).__name__ for model in models.values()} == {"Point", "Gaussian", "Shell"}


def test_places_seen_from_the_sun():
    lon, lat, distance = from_the_sun(np.array([0.0, 3.0]), np.array([0.0, SUN]), np.array([0.0, 0.0]))
    np.testing.assert_allclose(lon, [0.0, 90.0], atol=1e-12)
    np.testing.assert_allclose(lat, 0.0)
    np.testing.assert_allclose(distance, [SUN, 3.0])


def test_heights_and_radii():
    x, y, z = galactic_places(np.random.default_rng(0), 20_000, 0.05)
    np.testing.assert_allclose(np.abs(z).mean(), 0.05, rtol=0.03)
    radius = np.hypot(x, y)
    assert 5.0 < np.median(radius) < 8.0


@pytest.mark.parametrize("index", [1.0, 1.7, 2.5])
def test_power_law_between_limits(index):
    values = power_law(np.random.default_rng(1), 50_000, 2.0, 200.0, index)
    assert values.min() >= 2.0
    assert values.max() <= 200.0
    exponent = 1.0 - index
    share = (
        np.log(10) / np.log(100)
        if index == 1.0
        else (20.0**exponent - 2.0**exponent) / (200.0**exponent - 2.0**exponent)
    )
    np.testing.assert_allclose(np.mean(values < 20.0), share, atol=0.01)


def test_settings_that_cannot_be_are_named():
    with pytest.raises(ValueError, match=r"population\.luminosity_max"):
        PopulationSettings(luminosity_min=1e36, luminosity_max=1e33)
    with pytest.raises(ValueError, match=r"population\.cutoff_part"):
        PopulationSettings(cutoff_part=2.0)
