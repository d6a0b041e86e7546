"""The excess map: the same pixels as an astropy top hat, exact sums, flux, edges, ON/OFF."""

import numpy as np
import pytest
from astropy.convolution import Tophat2DKernel
from scipy.ndimage import correlate

from survey.estimators.excess import Core, disc_half_widths, excess_map, excess_map_variables, halo_of_excess_map
from survey.estimators.kernels_excess import disc_sum
from survey.estimators.settings import ExcessMapSettings
from survey.models import PowerLaw


@pytest.mark.parametrize("radius", [0.4, 1.0, 1.5, 2.9999999999999996, 3.0, 4.47, 5.0, 10.3, 0.3 / 0.02, 0.1 / 0.02])
def test_disc_has_the_pixels_of_a_top_hat(radius):
    kernel = Tophat2DKernel(radius).array > 0
    widths = disc_half_widths(radius)
    half = kernel.shape[0] // 2
    for dy in range(-half, half + 1):
        expected = kernel[half + dy].sum()
        assert expected == (2 * widths[abs(dy)] + 1 if abs(dy) < widths.size else 0), dy


@pytest.mark.parametrize("radius", [0.5, 3.0, 6.2])
def test_disc_sums_are_exact_and_tiles_agree_to_the_bit(radius):
    rng = np.random.default_rng(2)
    image = rng.random((31, 43))
    widths = disc_half_widths(radius)
    whole = np.empty(image.shape)
    disc_sum(image, widths, 0, 31, 0, 43, whole)
    kernel = (np.hypot(*(np.indices((15, 15)) - 7)) <= radius).astype(float)
    np.testing.assert_allclose(whole, correlate(image, kernel, mode="constant"), rtol=1e-13)
    part = np.empty((10, 20))
    disc_sum(image[5:, 3:], widths, 7, 17, 10, 30, part)
    np.testing.assert_array_equal(part, whole[12:22, 13:33])


def settings_for(**options):
    return ExcessMapSettings(**({"correlation_radius": 0.25, "spectral_model": PowerLaw(index=2.3)} | options))


def poisson_sky(sky, seed=0):
    safe = np.ones((4, 80, 80))
    safe[0, :, 50:] = 0
    safe[:, :20, :20] = 0
    dataset = sky.dataset(safe=safe)
    counts = np.random.default_rng(seed).poisson(dataset.background.values).astype(float)
    dataset["counts"] = dataset.counts.copy(data=counts)
    return dataset


def test_tiles_agree_with_the_whole_to_the_bit(sky):
    dataset = poisson_sky(sky)
    settings = settings_for(selection_optional={"all"})
    whole = excess_map(dataset, settings)
    halo = halo_of_excess_map(settings, sky.binsize, sky.cell)
    assert halo == 8
    y0, y1, x0, x1 = 20, 60, 40, 80
    window = [y0 - halo, y1 + halo, x0 - halo, 80]
    cells = [edge // 4 for edge in window]
    part = dataset.isel(y=slice(*window[:2]), x=slice(*window[2:]), y_irf=slice(*cells[:2]), x_irf=slice(*cells[2:]))
    tile = excess_map(part, settings, Core(halo, halo + 40, halo, halo + 40))
    for name in whole:
        exact = name not in {"exposure"} and not str(name).startswith("flux")
        np.testing.assert_allclose(
            tile[name].values, whole[name].values[:, y0:y1, x0:x1], rtol=0 if exact else 1e-12, err_msg=str(name)
        )


def test_nan_is_for_pixels_without_data_alone(sky):
    settings = settings_for(selection_optional={"all"})
    maps = excess_map(poisson_sky(sky), settings)
    assert set(maps) == {variable.name for variable in excess_map_variables(settings)}
    for name in maps:
        values = maps[name].values
        assert np.isnan(values[:, :20, :20]).all(), name
        assert np.isnan(values[0, :, 50:]).all(), name
        assert np.isfinite(values[1:, 20:]).all(), name


def test_flux_of_an_even_sky_is_even_up_to_the_edges(sky):
    # every pixel holds the counts that a flux of one source would leave before the PSF
    spectrum = PowerLaw(index=2.3, amplitude=1e-8)
    dataset = sky.dataset()
    y, x = np.indices((80, 80))
    edges = sky.energy_true
    predicted = np.einsum(
        "t,tyx,teyx->eyx", spectrum.integral(edges[:-1], edges[1:]), sky.exposure(y, x), sky.edisp(y, x)
    )
    dataset["counts"] = dataset.counts.copy(data=dataset.background.values + predicted)
    maps = excess_map(dataset, settings_for(sum_over_energy_groups=True))
    pixels = 1 + 2 * disc_half_widths(0.25 / sky.binsize)[0]
    assert pixels == 11
    inside = (np.hypot(*(np.indices((11, 11)) - 5)) <= 5).sum()
    flux = maps.flux.values[0, 10:70, 10:70] / inside
    np.testing.assert_allclose(flux, float(spectrum.integral(0.5, 20)), rtol=0.01)
    exposure = maps.exposure.values[0, 40, 40] * float(spectrum.integral(0.5, 20))
    assert exposure == pytest.approx(predicted[:, 40, 40].sum(), rel=0.01)


def test_bands_may_overlap_and_are_sums_of_bins(sky):
    dataset = poisson_sky(sky)
    one = excess_map(dataset, settings_for())
    maps = excess_map(dataset, settings_for(bands=((0.5, 20), (3.2, 20))))
    np.testing.assert_allclose(maps.energy_edges.values, [[0.5, 20], [sky.energy[2], 20]])
    np.testing.assert_allclose(maps.counts.values[1], one.counts.values[2:].sum(axis=0))
    np.testing.assert_allclose(maps.counts.values[0, 30:, 56:], one.counts.values[1:, 30:, 56:].sum(axis=0))


def test_masked_bins_do_not_enter(sky):
    dataset = poisson_sky(sky)
    maps = excess_map(dataset, settings_for())
    spoilt = dataset.copy(deep=True)
    outside = dataset.n_safe.values == 0
    spoilt.counts.values[outside] = 1000
    spoilt.background.values[outside] = np.nan
    for name in maps:
        np.testing.assert_array_equal(maps[name], excess_map(spoilt, settings_for())[name], err_msg=str(name))


def test_sensitivity_applies_its_thresholds(sky):
    dataset = poisson_sky(sky)
    plain = excess_map(dataset, settings_for(selection_optional={"sensitivity"}))
    least = excess_map(
        dataset,
        settings_for(
            selection_optional={"sensitivity"},
            apply_threshold_sensitivity=True,
            gamma_min_sensitivity=30,
            bkg_syst_fraction_sensitivity=2,
        ),
    )
    expected = np.maximum(np.maximum(plain.excess_sensitivity, 30), 2 * plain.background)
    np.testing.assert_allclose(least.excess_sensitivity, expected)


def test_on_off_data_take_the_background_from_the_off_counts(sky):
    dataset = poisson_sky(sky)
    rng = np.random.default_rng(5)
    shape = ("energy", "y", "x")
    off = rng.poisson(10 * dataset.background.values).astype(float)
    dataset["counts_off"] = shape, off
    dataset["background_off"] = shape, 0.1 * off
    dataset["acceptance"] = shape, np.ones(off.shape)
    dataset["acceptance_off_sum"] = shape, np.full(off.shape, 10.0)
    maps = excess_map(dataset, settings_for(selection_optional={"all"}))
    assert {"alpha", "acceptance_on", "acceptance_off"} <= set(maps)
    safe = maps.counts.notnull().values
    np.testing.assert_allclose(maps.alpha.values[safe], 0.1)
    known = excess_map(poisson_sky(sky), settings_for())
    # a known background is the limit of many OFF counts
    difference = (maps.sqrt_ts - known.sqrt_ts).values[safe]
    assert abs(difference.mean()) < 0.05
    apart = excess_map(dataset, settings_for(correlate_off=False))
    assert np.isfinite(apart.sqrt_ts.values[safe]).all()
