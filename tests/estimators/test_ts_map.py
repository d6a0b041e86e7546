"""The TS map: what an Asimov source gives back, tiles and wholes, edges, and a plain minimisation beside it."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from survey.estimators.excess import Core
from survey.estimators.settings import TSMapSettings
from survey.estimators.ts import halo_of_ts_map, ts_map, ts_map_from_kernel, ts_map_variables
from survey.fitting.cash import cash_sum
from survey.models import Disk, Gaussian, PowerLaw

WIDTH = 1.05


def add(dataset, values):
    dataset["counts"] = dataset.counts.copy(data=dataset.counts.values + values)


def settings_for(spectrum, **options):
    return TSMapSettings(**({"spectral_model": spectrum.replaced(amplitude=1e-8), "kernel_width": WIDTH} | options))


@pytest.mark.parametrize("offset", [0, 30], ids=["center", "1.5 deg off"])
@pytest.mark.parametrize("width", [0.0, 0.12], ids=["point", "gaussian"])
def test_asimov_source_gives_back_its_flux(sky, crab, offset, width):
    y, x = 40, 40 + offset
    dataset = sky.dataset()
    add(dataset, sky.source(y, x, crab, width))
    options = {"spatial_model": Gaussian(sigma=width)} if width else {}
    maps = ts_map(dataset, settings_for(crab, **options))
    assert float(maps.flux[0, y, x]) == pytest.approx(float(crab.integral(0.5, 20)), rel=0.01)
    assert int(maps.ts.values[0].argmax()) == y * sky.nx + x
    assert maps.success.all()


def test_flux_is_that_of_the_whole_source_in_a_narrow_window(sky, crab):
    dataset = sky.dataset()
    add(dataset, sky.source(40, 40, crab))
    maps = ts_map(dataset, settings_for(crab, kernel_width=0.25))
    assert maps.attrs["template_half_width"] == 2
    assert float(maps.flux[0, 40, 40]) == pytest.approx(float(crab.integral(0.5, 20)), rel=0.01)


def test_source_at_the_edge_of_the_grid_keeps_its_flux(sky, crab):
    dataset = sky.dataset()
    add(dataset, sky.source(40, 79, crab))
    flux = ts_map(dataset, settings_for(crab)).flux[0, 40, 79]
    # half of it is on the grid, in the last pixels the response is that of the last cell's centre
    assert float(flux) == pytest.approx(float(crab.integral(0.5, 20)), rel=0.05)


def test_flux_does_not_step_at_the_borders_of_cells(make_sky, crab):
    sky = make_sky(ny=32, nx=64, cell=8)
    dataset = sky.dataset()
    flat = ts_map(dataset, settings_for(crab, kernel_width=0.35))
    curvature = np.abs(np.diff(np.log(flat.norm_err.values[0, 16, 4:-4]), 2))
    border = np.zeros(curvature.size, dtype=bool)
    border[[k for k in range(curvature.size) if (k + 5) % 8 in (0, 7)]] = True
    assert curvature[border].max() < 3 * curvature[~border].max()


def test_tiles_agree_with_the_whole(sky, crab):
    rng = np.random.default_rng(4)
    safe = np.ones((4, 80, 80))
    safe[0, :, 50:] = 0
    safe[:, :20, :20] = 0
    dataset = sky.dataset(safe=safe)
    mean = dataset.background.values + sky.source(30, 42, crab.replaced(amplitude=3e-9)) * safe
    dataset["counts"] = (("energy", "y", "x"), rng.poisson(mean).astype(float))
    settings = settings_for(crab, selection_optional={"all"})
    whole = ts_map(dataset, settings)
    halo = halo_of_ts_map(settings, sky.binsize, sky.cell)
    for y0, y1, x0, x1 in ((0, 40, 0, 40), (20, 60, 40, 80)):
        window = [max(y0 - halo, 0), min(y1 + halo, 80), max(x0 - halo, 0), min(x1 + halo, 80)]
        cells = [edge // sky.cell for edge in window]
        part = dataset.isel(
            y=slice(*window[:2]), x=slice(*window[2:]), y_irf=slice(*cells[:2]), x_irf=slice(*cells[2:])
        )
        core = Core(y0 - window[0], y1 - window[0], x0 - window[2], x1 - window[2])
        tile = ts_map(part, settings, core)
        for name in whole:
            np.testing.assert_allclose(
                tile[name].values, whole[name].values[:, y0:y1, x0:x1], rtol=1e-9, atol=1e-12, err_msg=str(name)
            )


def test_nan_is_for_pixels_without_data_alone(sky, crab):
    safe = np.ones((4, 80, 80))
    safe[:, :, 60:] = 0
    safe[2:, 70:] = 0
    maps = ts_map(sky.dataset(safe=safe), settings_for(crab, selection_optional={"all"}))
    assert set(maps) == {variable.name for variable in ts_map_variables(settings_for(crab, selection_optional={"all"}))}
    for name in maps:
        assert np.isnan(maps[name].values[:, :, 60:]).all(), name
        assert np.isfinite(maps[name].values[:, :, :60]).all(), name


def test_sign_of_ts_is_that_of_the_norm(sky, crab):
    rng = np.random.default_rng(1)
    dataset = sky.dataset()
    dataset["counts"] = (("energy", "y", "x"), rng.poisson(dataset.background).astype(float))
    maps = ts_map(dataset, settings_for(crab))
    assert (maps.flux < 0).any()
    assert (np.sign(maps.ts) == np.sign(maps.norm)).where(maps.norm != 0, True).all()
    np.testing.assert_allclose(maps.sqrt_ts**2, abs(maps.ts))
    # an empty sky: the significance is nearly standard normal
    assert abs(float(maps.sqrt_ts.mean())) < 0.3
    assert 0.7 < float(maps.sqrt_ts.std()) < 1.3


def test_bands_are_joint_fits_of_their_bins(sky, crab):
    dataset = sky.dataset()
    add(dataset, sky.source(40, 40, crab))
    maps = ts_map(dataset, settings_for(crab, bands=((0.5, 3.2), (3.2, 20))))
    np.testing.assert_allclose(maps.energy_edges, [[0.5, sky.energy[2]], [sky.energy[2], 20]])
    for k, (low, high) in enumerate(maps.energy_edges.values):
        assert float(maps.flux[k, 40, 40]) == pytest.approx(float(crab.integral(low, high)), rel=0.01)


def test_band_without_a_bin_is_refused(sky, crab):
    with pytest.raises(ValueError, match=r"energy band 1 to 1.1 TeV has no bin"):
        ts_map(sky.dataset(), settings_for(crab, bands=((1.0, 1.1),)))


def test_window_that_does_not_end_at_cells_is_refused(sky, crab):
    with pytest.raises(ValueError, match="windows must start and end at borders of cells"):
        ts_map(sky.dataset().isel(y=slice(0, 76)), settings_for(crab))


def _random_maps(seed, level):
    rng = np.random.default_rng(seed)
    y, x = np.indices((7, 7)) - 3
    kernel = np.stack([np.exp(-0.5 * (y**2 + x**2) / width**2) for width in (1.5, 1.0, 0.8)])
    kernel *= 0.9 / kernel.sum(axis=(1, 2), keepdims=True)
    background = level * rng.uniform(0.5, 1.5, (3, 12, 13)) * np.array([1, 0.1, 0.01])[:, None, None]
    exposure = rng.uniform(5, 10, (3, 12, 13)) * np.array([1, 0.5, 0.2])[:, None, None]
    mask = np.ones((3, 12, 13), dtype=bool)
    mask[0, :, 9:] = False
    mask[:, :2, :4] = False
    counts = rng.poisson(background).astype(float)
    return counts, background, mask, exposure, kernel


@pytest.mark.parametrize("exposure_at", ["pixel", "source"])
@pytest.mark.parametrize("level", [0.05, 0.5, 20.0])
def test_every_pixel_agrees_with_plain_minimisation(level, exposure_at):
    counts, background, mask, exposure, kernel = _random_maps(7, level)
    settings = TSMapSettings(rtol=1e-10, selection_optional=frozenset(["all"]), n_sigma_ul=3)
    maps = ts_map_from_kernel(counts, background, mask, exposure, kernel, settings, exposure_at=exposure_at)
    for y, x in np.ndindex(12, 13):
        if not mask[:, y, x].any():
            assert np.isnan(maps["ts"][y, x])
            continue
        rows, columns = slice(max(y - 3, 0), y + 4), slice(max(x - 3, 0), x + 4)
        local = kernel[:, 3 - y + rows.start : 3 - y + min(y + 4, 12), 3 - x + columns.start : 3 - x + min(x + 4, 13)]
        scale = exposure[:, rows, columns] if exposure_at == "pixel" else exposure[:, y, x][:, None, None]
        use = mask[:, rows, columns]
        c, b, m = counts[:, rows, columns][use], background[:, rows, columns][use], (local * scale)[use]
        lowest = -(b / m).min()
        best = minimize_scalar(
            lambda n, c=c, b=b, m=m: cash_sum(c, b + n * m),
            bounds=(lowest, lowest + 3 + 3 * (c.sum() + 1) / m.sum()),
            method="bounded",
            options={"xatol": 1e-10},
        )
        ts = cash_sum(c, b) - best.fun
        assert abs(maps["ts"][y, x]) == pytest.approx(ts, abs=2e-5), (y, x)
        assert maps["norm"][y, x] == pytest.approx(best.x, abs=2e-5), (y, x)
        assert maps["excess"][y, x] == pytest.approx(maps["norm"][y, x] * m.sum())
        assert maps["npred"][y, x] == pytest.approx(maps["norm"][y, x] * m.sum() + b.sum())
        assert maps["stat_null"][y, x] == pytest.approx(cash_sum(c, b))
        for name, n_sigma, sign in (("norm_errp", 1, 1), ("norm_errn", 1, -1), ("norm_ul", 3, 1)):
            distance = maps[name][y, x] - (maps["norm"][y, x] if name == "norm_ul" else 0)
            norm = maps["norm"][y, x] + sign * distance
            if c.sum() == 0 and sign < 0:
                assert distance == maps["norm_errp"][y, x]
                continue
            if sign < 0 and distance >= 99.99 * maps["norm_err"][y, x]:
                # the least norm that is allowed, and nothing below it rises: the search ends
                assert maps["norm"][y, x] == pytest.approx(lowest, rel=1e-9)
                continue
            rise = cash_sum(c, b + norm * m) - cash_sum(c, b + maps["norm"][y, x] * m)
            assert rise == pytest.approx(n_sigma**2, rel=1e-5), (y, x, name)
        expected = b + maps["norm_sensitivity"][y, x] * m
        assert cash_sum(expected, b) - cash_sum(expected, expected) == pytest.approx(25, rel=1e-6)


def test_limits_exist_without_counts():
    counts, background, mask, exposure, kernel = _random_maps(7, 0.5)
    settings = TSMapSettings(selection_optional=frozenset(["all"]))
    maps = ts_map_from_kernel(0 * counts, background, mask, exposure, kernel, settings)
    for name, values in maps.items():
        assert np.isfinite(values[mask.any(axis=0)]).all(), name
    assert (maps["norm"][mask.any(axis=0)] <= 0).all()


def test_threshold_leaves_out_the_fit_of_faint_pixels():
    counts, background, mask, exposure, kernel = _random_maps(3, 0.5)
    full = ts_map_from_kernel(counts, background, mask, exposure, kernel, TSMapSettings())
    some = ts_map_from_kernel(counts, background, mask, exposure, kernel, TSMapSettings(threshold=1.0))
    bright = abs(full["ts"]) > 1.5
    np.testing.assert_array_equal(some["norm"][bright], full["norm"][bright])
    faint = (full["norm"] > 0) & (full["ts"] < 0.9)
    assert (some["niter"][faint] <= 1).all()


def test_disk_template_finds_a_disk(sky, crab):
    settings = settings_for(crab, spatial_model=Disk(r_0=0.2), kernel_width=None)
    assert halo_of_ts_map(settings, 0.05, 4) == 16
    assert np.isfinite(ts_map(sky.dataset(), settings).ts).all()


def test_settings_are_checked_and_have_a_key():
    with pytest.raises(ValueError, match="found bright; expected of errn-errp, ul, sensitivity, or all"):
        TSMapSettings(selection_optional=frozenset(["bright"]))
    with pytest.raises(ValueError, match="energy band 2 to 1 TeV is empty"):
        TSMapSettings(bands=((2.0, 1.0),))
    key = TSMapSettings(spectral_model=PowerLaw(index=2.5), selection_optional=frozenset(["all"])).key()
    assert key["spectral_model"]["index"] == 2.5
    assert key["selection_optional"] == ["errn-errp", "sensitivity", "ul"]


def test_errors_stay_finite_where_the_norm_is_at_its_bound():
    """Counts in the faint wing of a template only: the norm ends at its bound, where the statistic has no curvature."""
    y, x = np.indices((21, 21)) - 10
    kernel = np.exp(-0.5 * (y**2 + x**2) / 1.2**2)[None]
    kernel /= kernel.sum()
    background = np.full((1, 31, 31), 0.05)
    counts = np.zeros_like(background)
    counts[0, 24, 15] = 2.0
    mask = np.ones(background.shape, dtype=bool)
    settings = TSMapSettings(selection_optional=frozenset(["errn-errp", "ul"]))
    maps = ts_map_from_kernel(counts, background, mask, np.ones_like(background), kernel, settings)
    norm, errp, errn = (maps[name][15, 15] for name in ("norm", "norm_errp", "norm_errn"))
    assert norm < 0
    local, b, c = kernel[0], background[0, 5:26, 5:26], counts[0, 5:26, 5:26]
    assert norm == pytest.approx(-(b / local).min())
    rise = cash_sum(c, b + (norm + errp) * local) - cash_sum(c, b + norm * local)
    assert rise == pytest.approx(1.0, rel=1e-3)
    assert maps["norm_err"][15, 15] == pytest.approx(errp, rel=1e-3)
    assert errn == pytest.approx(100 * errp, rel=1e-3)
    for name in ("norm_err", "norm_errn", "norm_errp", "norm_ul"):
        assert np.abs(maps[name]).max() < 1e4, name
