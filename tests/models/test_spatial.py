"""Shapes: normalised on the sphere, whole on the pixels, centroid kept."""

from types import SimpleNamespace

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS

from survey.models import Disk, Gaussian, Point


def pixels(binsize=0.02, size=101, lon=228.0, lat=-59.0, frame="icrs"):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"] if frame == "icrs" else ["GLON-TAN", "GLAT-TAN"]
    wcs.wcs.crval = [lon, lat]
    wcs.wcs.crpix = [(size + 1) / 2] * 2
    wcs.wcs.cdelt = [-binsize, binsize]
    y, x = np.indices((size, size))
    sky = wcs.pixel_to_world(x, y).icrs
    return SimpleNamespace(
        vectors=sky.cartesian.xyz.value,
        solid_angle=np.full((size, size), np.radians(binsize) ** 2)
        * np.cos(np.radians(binsize * np.hypot(y - size // 2, x - size // 2))) ** 3,
        wcs=wcs,
    )


SHAPES = [
    Gaussian(lon_0=228.1, lat_0=-59.05, sigma=0.15),
    Gaussian(lon_0=228.1, lat_0=-59.05, sigma=0.15, e=0.9, phi=30),
    Gaussian(lon_0=228.1, lat_0=-59.05, sigma=0.004),
    Gaussian(lon_0=228.1, lat_0=-59.05, sigma=1e-6),
    Disk(lon_0=228.1, lat_0=-59.05, r_0=0.3),
    Disk(lon_0=228.1, lat_0=-59.05, r_0=0.3, e=0.8, phi=-40, edge_width=0.2),
    Disk(lon_0=228.1, lat_0=-59.05, r_0=0.01),
    Point(lon_0=228.1, lat_0=-59.05),
]


@pytest.mark.parametrize("shape", SHAPES, ids=repr)
def test_pixels_hold_the_whole_source_at_its_place(shape):
    grid = pixels()
    fraction = shape.integral(grid)
    # a smooth edge adds to the area in second order
    assert fraction.sum() == pytest.approx(
        1, abs=5e-3 if "edge_width" in shape.parameters and shape.edge_width > 0.1 else 3e-3
    )
    y, x = np.indices(fraction.shape)
    center = grid.wcs.world_to_pixel(SkyCoord(shape.lon_0, shape.lat_0, unit="deg"))
    # what is narrower than a pixel and no point falls into whole pixels
    tolerance = 0.5 if 0 < shape.evaluation_radius < 0.03 and shape.resolution > 1e-4 else 0.02
    assert (x * fraction).sum() / fraction.sum() == pytest.approx(float(center[0]), abs=tolerance)
    assert (y * fraction).sum() / fraction.sum() == pytest.approx(float(center[1]), abs=tolerance)


@pytest.mark.parametrize("lon", [228.1, 226.0])
def test_round_gaussian_on_fine_pixels_is_its_brightness(lon):
    """In one pass over the pixels, some without sky and some outside the evaluation radius."""
    grid = pixels()
    grid.vectors[:, 40, 50:] = np.nan
    shape = Gaussian(lon_0=lon, lat_0=-59.05, sigma=0.15)
    fraction = shape.integral(grid)
    expected = np.nan_to_num(shape.value_at(grid.vectors) * grid.solid_angle)
    assert (fraction[40, 50:] == 0).all()
    inside = fraction > 0
    np.testing.assert_allclose(fraction[inside], expected[inside], rtol=1e-9)
    assert (expected[~inside] <= np.exp(-0.5 * 5.0**2) * shape.profile(0.0) * grid.solid_angle.max()).all()


@pytest.mark.parametrize(
    "shape", [Gaussian(sigma=8.0), Gaussian(sigma=3, e=0.7), Disk(r_0=20.0), Disk(r_0=5, e=0.9)], ids=repr
)
def test_brightness_is_normalised_on_the_sphere(shape):
    separation = np.radians(np.linspace(0, 60, 6001))
    angle = np.arange(0, 360, 1.0)
    brightness = shape.profile(np.degrees(separation)[:, None], angle)
    total = np.trapezoid(brightness.mean(axis=1) * 2 * np.pi * np.sin(separation), separation)
    assert total == pytest.approx(1, abs=1e-3 if not shape.e else 5e-3)


def test_value_uses_true_angles_near_the_pole():
    shape = Gaussian(lon_0=10, lat_0=89.5, sigma=0.5)
    assert shape.value(190, 89.5) == pytest.approx(float(shape.profile(1.0)))


def test_position_angle_counts_from_north_through_east():
    shape = Gaussian(lon_0=50, lat_0=20, sigma=0.4, e=0.95, phi=60)
    center = SkyCoord(50, 20, unit="deg")
    along = center.directional_offset_by(60 * u.deg, 0.3 * u.deg)
    across = center.directional_offset_by(-30 * u.deg, 0.3 * u.deg)
    assert shape.value(along.ra.deg, along.dec.deg) > 3 * shape.value(across.ra.deg, across.dec.deg)


def test_frame_of_the_shape_and_of_the_grid_may_differ():
    sky = SkyCoord(228.0, -59.0, unit="deg").galactic
    shape = Gaussian(lon_0=sky.l.deg, lat_0=sky.b.deg, sigma=0.1, frame="galactic")
    same = Gaussian(lon_0=228.0, lat_0=-59.0, sigma=0.1)
    np.testing.assert_allclose(shape.integral(pixels(size=51)), same.integral(pixels(size=51)), rtol=1e-9, atol=1e-15)


def test_source_off_the_grid_adds_nothing():
    assert Gaussian(lon_0=10, lat_0=10, sigma=0.1).integral(pixels(size=11)).sum() == 0
    assert Point(lon_0=10, lat_0=10).integral(pixels(size=11)).sum() == 0


def test_pixels_without_sky_stay_zero():
    grid = pixels(size=31)
    grid.vectors[:, :, :10] = np.nan
    fraction = Gaussian(lon_0=228.0, lat_0=-59.0, sigma=0.1).integral(grid)
    assert np.isfinite(fraction).all()
    assert (fraction[:, :10] == 0).all()
    assert (fraction[:, 10] > 0).any()
