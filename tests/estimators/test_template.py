"""Templates: contained fraction, shapes, widths."""

import numpy as np
import pytest
from scipy.special import erf

from survey.estimators.settings import TSMapSettings
from survey.estimators.template import half_width, make_template
from survey.estimators.ts import halo_of_ts_map
from survey.models import Disk, Gaussian, Point

EDGES = tuple(np.linspace(0, 0.66, 67))


def gaussian_psf(sigma):
    rad = np.radians(0.5 * (np.array(EDGES)[1:] + np.array(EDGES)[:-1]))
    solid_angle = 2 * np.pi * -np.diff(np.cos(np.radians(EDGES)))
    psf = np.exp(-0.5 * (rad / np.radians(sigma)) ** 2)
    return psf / (psf * solid_angle).sum()


def exact(sigma, half, binsize):
    edge = (np.arange(2 * half + 2) - half - 0.5) * binsize
    row = np.diff(0.5 * (1 + erf(edge / sigma / np.sqrt(2))))
    return row[:, None] * row


@pytest.mark.parametrize("sigma", [0.04, 0.08, 0.15])
@pytest.mark.parametrize("binsize", [0.02, 0.05])
@pytest.mark.parametrize("half", [2, 10])
def test_point_template_is_the_psf_in_pixels(sigma, binsize, half):
    template = make_template(Point(), binsize, half, EDGES)
    values, sums, maxima = template.apply(gaussian_psf(sigma)[None])
    np.testing.assert_allclose(values[..., 0], exact(sigma, half, binsize), rtol=0.02, atol=2e-5)
    # between bins of a quarter of its width a profile is linear within half a per cent
    assert sums[0] == pytest.approx(exact(sigma, half, binsize).sum(), rel=6e-3)
    assert sums[0] == pytest.approx(values.sum())
    assert maxima[0] == values.max()


def test_wide_window_contains_everything_whatever_the_pixels():
    for binsize in (0.01, 0.03, 0.1):
        template = make_template(Point(), binsize, int(0.7 / binsize) + 1, EDGES)
        assert template.apply(gaussian_psf(0.05)[None])[1][0] == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("shape", [Gaussian(sigma=0.1), Gaussian(sigma=0.01), Gaussian(sigma=0.12, e=0.6, phi=90)])
def test_gaussian_template_is_wider_in_quadrature(shape):
    values = make_template(shape, 0.04, 14, EDGES).apply(gaussian_psf(0.06)[None])[0][..., 0]
    minor = shape.sigma * np.sqrt(1 - shape.e**2)
    offset = 0.04 * (np.arange(29) - 14)
    variance_y = (values.sum(axis=1) * offset**2).sum() / values.sum()
    variance_x = (values.sum(axis=0) * offset**2).sum() / values.sum()
    pixel = 0.04**2 / 12
    assert variance_y == pytest.approx(0.06**2 + minor**2 + pixel, rel=0.03)
    assert variance_x == pytest.approx(0.06**2 + shape.sigma**2 + pixel, rel=0.03)
    assert values.sum() == pytest.approx(1, abs=0.01)


def test_disk_template_is_flat_within_and_falls_at_the_edge():
    values = make_template(Disk(r_0=0.3), 0.02, 30, EDGES).apply(gaussian_psf(0.03)[None])[0][..., 0]
    flat = (0.02 / 0.3) ** 2 / np.pi
    assert values[30, 30] == pytest.approx(flat, rel=0.01)
    assert values[30, 38] == pytest.approx(flat, rel=0.01)
    assert values[30, 45] == pytest.approx(0.5 * flat, rel=0.08)
    assert values.sum() == pytest.approx(1, abs=1e-3)


def test_position_angle_counts_from_the_y_axis_to_smaller_x():
    values = make_template(Gaussian(sigma=0.2, e=0.95, phi=45), 0.05, 6, EDGES).apply(gaussian_psf(0.04)[None])[0]
    assert values[9, 3, 0] > 3 * values[9, 9, 0]


def test_halo_is_known_from_the_settings_alone():
    assert half_width(TSMapSettings(kernel_width=0.4), 0.02) == 10
    assert half_width(TSMapSettings(kernel_width=0.42), 0.02) == 10
    assert half_width(TSMapSettings(kernel_width=0.43), 0.02) == 11
    assert half_width(TSMapSettings(), 0.02) == 25
    assert half_width(TSMapSettings(spatial_model=Gaussian(sigma=0.1)), 0.02) == 50
    assert halo_of_ts_map(TSMapSettings(kernel_width=0.4), 0.02, 10) == 10
    assert halo_of_ts_map(TSMapSettings(kernel_width=0.5), 0.02, 10) == 20
    assert halo_of_ts_map(TSMapSettings(kernel_width=0.02), 0.02, 10) == 10
