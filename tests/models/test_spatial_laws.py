"""Laws of every shape: the sphere holds one, gradients are those of the integral, samples follow it, places are true."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from survey.models import (
    ConstantSpatial,
    Disk,
    Gaussian,
    GeneralizedGaussian,
    Parameter,
    Point,
    Shell,
    Shell2,
)
from survey.sky.grid import SkyGrid

EXTENDED = [
    Gaussian(sigma=0.2),
    Gaussian(sigma=0.25, e=0.8, phi=35),
    GeneralizedGaussian(r_0=0.3, eta=0.2),
    GeneralizedGaussian(r_0=0.3, eta=0.5, e=0.7, phi=-60),
    GeneralizedGaussian(r_0=0.1, eta=1.0),
    Disk(r_0=0.4),
    Disk(r_0=0.4, e=0.8, phi=20, edge_width=0.3),
    Shell(radius=0.3, width=0.1),
    Shell(radius=0.4, width=0.001),
    Shell2(r_0=0.4, eta=0.3),
    Shell2(r_0=0.4, eta=1.0),
]
PLACES = [(83.6, 22.0, "TAN"), (0.02, -30.0, "TAN"), (120.0, 89.7, "TAN"), (359.97, 1.0, "CAR")]


def pixels_at(lon, lat, *, proj="TAN", frame="icrs", binsize=0.02, width=4.0):
    grid = SkyGrid.create(proj=proj, frame=frame, lon=lon, lat=lat, binsize=binsize, width=width)
    return grid.geometry(grid.full_window)


def on_sphere(shape):
    """Integral of the profile over the sphere."""
    size = shape.evaluation_radius
    nodes, weights = np.polynomial.legendre.leggauss(24)
    edges = np.linspace(0, min(2.2 * size, 180), 400)
    if isinstance(shape, Shell | Shell2):
        inner, width = shape.radii
        edges = np.unique(
            np.concatenate([inner * (1 - np.linspace(0, 1, 80) ** 3), inner + width * np.linspace(0, 1, 80)])
        )
    angle = np.linspace(0, 360, 720, endpoint=False)
    total = 0.0
    for low, high in pairwise(edges):
        sep = 0.5 * (low + high) + 0.5 * (high - low) * nodes
        ring = np.atleast_2d(shape.profile(sep[:, None], angle)).mean(axis=1)
        total += np.sum(weights * ring * 2 * np.pi * np.sin(np.radians(sep))) * np.radians(high - low) / 2
    return total


@settings(deadline=None, max_examples=40)
@given(
    size=st.floats(0.01, 3.0),
    e=st.sampled_from([0.0, 0.5, 0.95]),
    eta=st.floats(0.05, 1.0),
    kind=st.sampled_from(["gauss", "general", "disk", "shell", "shell2"]),
)
def test_sphere_holds_one(size, e, eta, kind):
    shape = {
        "gauss": lambda: Gaussian(sigma=size, e=e),
        "general": lambda: GeneralizedGaussian(r_0=size, eta=eta, e=e),
        "disk": lambda: Disk(r_0=size, e=e, edge_width=0.2 * eta),
        "shell": lambda: Shell(radius=size, width=eta * size),
        "shell2": lambda: Shell2(r_0=size, eta=eta),
    }[kind]()
    # what is normalised on the tangent plane misses the curvature: the mean squared radius over six
    curvature = {"gauss": 2.0, "general": 20.0, "disk": 0.0, "shell": 4.0, "shell2": 1.0}[kind] / 6
    assert on_sphere(shape) == pytest.approx(shape.total, abs=3e-5 + curvature * np.radians(size) ** 2)


def test_whole_sky_in_pixels():
    """All of the sky on a grid: what is normalised on the sphere holds one there, too."""
    grid = SkyGrid.create(proj="CAR", frame="galactic", lon=0, lat=0, binsize=2.0, width=(360.0, 180.0))
    pixels = grid.geometry(grid.full_window)
    assert Gaussian(lon_0=40, lat_0=-70, sigma=20, frame="galactic").integral(pixels).sum() == pytest.approx(
        1, abs=1e-3
    )
    sky = ConstantSpatial(value=0.5)
    assert sky.integral(pixels).sum() == pytest.approx(sky.total, rel=1e-3)


@pytest.mark.parametrize("shape", EXTENDED, ids=repr)
@pytest.mark.parametrize("place", PLACES, ids=str)
def test_pixels_hold_one_anywhere(shape, place):
    """At poles, across longitude zero, elongated or thin."""
    lon, lat, proj = place
    pixels = pixels_at(lon, lat, proj=proj)
    fraction = shape.replaced(lon_0=lon + 0.013, lat_0=min(lat + 0.021, 90)).integral(pixels)
    assert fraction.min() >= 0
    assert fraction.sum() == pytest.approx(shape.total, abs=4e-3)


@pytest.mark.parametrize("shape", EXTENDED, ids=repr)
def test_shape_is_the_same_at_the_pole(shape):
    """Position angles count from the shape's own north; across longitude zero nothing happens."""
    rng = np.random.default_rng(5)
    offset, angle = 0.6 * np.sqrt(rng.random(50)), rng.uniform(0, 2 * np.pi, 50)
    expected = shape.profile(offset, np.degrees(angle))
    for lon, lat in ((0.0, 0.0), (359.99, 60.0), (200.0, 89.9)):
        moved = shape.replaced(lon_0=lon, lat_0=lat)
        center, east, north = moved._basis()[:, :, None]
        away = np.radians(offset)
        vectors = np.cos(away) * center + np.sin(away) * (np.sin(angle) * east + np.cos(angle) * north)
        np.testing.assert_allclose(moved.value_at(vectors), expected, rtol=1e-6, atol=1e-6 * expected.max())


@pytest.mark.parametrize("small", [1e-7, 1e-5])
@pytest.mark.parametrize(
    "make",
    [
        lambda r: Gaussian(sigma=r),
        lambda r: GeneralizedGaussian(r_0=r, eta=0.4),
        lambda r: Disk(r_0=r),
        lambda r: Shell(radius=r, width=0.1 * r),
        lambda r: Shell2(r_0=r),
        lambda r: Point(),
    ],
)
def test_tiny_sources_keep_their_centroid(make, small):
    pixels = pixels_at(10.0, 40.0, width=0.4)
    shape = make(small).replaced(lon_0=10.0123, lat_0=40.0077)
    fraction = shape.integral(pixels)
    assert fraction.sum() == pytest.approx(1)
    mean = np.sum(fraction * pixels.vectors, axis=(1, 2))
    assert np.degrees(np.linalg.norm(mean / np.linalg.norm(mean) - shape.center)) < 1e-4


@pytest.mark.parametrize("width", [0.0, 1e-6, 1e-3, 0.05])
def test_thin_shells_are_bright_at_the_limb(width):
    pixels = pixels_at(83.6, 22.0, width=1.6)
    shape = Shell(lon_0=83.6, lat_0=22.0, radius=0.5, width=width)
    fraction = shape.integral(pixels)
    assert fraction.sum() == pytest.approx(1, abs=3e-3)
    # half of a thin surface's light is outside sqrt(3/4) of its radius
    separation = np.degrees(np.arccos(np.clip(np.tensordot(shape.center, pixels.vectors, 1), -1, 1)))
    inside = fraction[separation < np.sqrt(0.75) * 0.5].sum()
    assert inside == pytest.approx(0.5, abs=0.02 + width)


@pytest.mark.parametrize("shape", [*EXTENDED, Point(), Gaussian(sigma=1e-6)], ids=repr)
def test_gradient_is_that_of_the_integral(shape):
    """Against a difference of a coarse step, over blocks of pixels: edges are sampled, so pixels alone are noisy."""
    pixels = pixels_at(83.6, 22.0, width=3.0)
    shape = shape.replaced(lon_0=83.613, lat_0=22.027)
    gradient = shape.gradient(pixels)
    assert gradient.shape == (len(shape.parameters), 150, 150)
    assert np.isfinite(gradient).all()
    steps = {"lon_0": 0.02, "lat_0": 0.02, "phi": 3.0, "e": 0.03, "eta": 0.02, "edge_width": 0.03}
    for k, (name, parameter) in enumerate(shape.parameters.items()):
        step = steps.get(name, max(0.05 * parameter.value, 0.004))
        if not parameter.minimum < parameter.value - step < parameter.value + step < parameter.maximum:
            continue
        above, below = (shape.replaced(**{name: parameter.value + sign * step}) for sign in (1, -1))
        wanted = (above.integral(pixels) - below.integral(pixels)) / (2 * step)
        wanted, found = (image.reshape(15, 10, 15, 10).sum(axis=(1, 3)) for image in (wanted, gradient[k]))
        scale = max(np.abs(wanted).max(), 1e-9)
        assert np.abs(found - wanted).max() <= 0.12 * scale, name
        if scale > 1e-6:
            assert np.sum(found * wanted) / np.sum(wanted**2) == pytest.approx(1, abs=0.08), name


@pytest.mark.parametrize("e", [0.0, 0.6, 0.9])
def test_gradient_of_a_gaussian_is_exact(e):
    pixels = pixels_at(83.6, 62.0, width=3.0)
    shape = Gaussian(lon_0=83.613, lat_0=62.027, sigma=0.2, e=e, phi=30)
    gradient = shape.gradient(pixels)
    for k, (name, parameter) in enumerate(shape.parameters.items()):
        if e == 0 and name in ("e", "phi"):
            assert (gradient[k] == 0).all()
            continue
        step = 1e-4 if name != "phi" else 0.01
        above, below = (shape.replaced(**{name: parameter.value + sign * step}) for sign in (1, -1))
        high, low = above.integral(pixels), below.integral(pixels)
        whole = (high > 0) & (low > 0) & (gradient[k] != 0)  # not at the evaluation radius, which moves
        wanted = np.where(whole, high - low, 0.0) / (2 * step)
        np.testing.assert_allclose(
            np.where(whole, gradient[k], 0.0), wanted, atol=1e-4 * np.abs(wanted).max(), err_msg=name
        )


@pytest.mark.parametrize("shape", [*EXTENDED, Gaussian(sigma=3.0, e=0.9, phi=70)], ids=repr)
@pytest.mark.parametrize("place", [(83.6, 22.0), (0.02, 89.6)], ids=str)
def test_samples_follow_the_pixel_integrals(shape, place):
    lon, lat = place
    shape = shape.replaced(lon_0=lon, lat_0=lat)
    binsize = 0.08 if shape.evaluation_radius < 5 else 0.5
    grid = SkyGrid.create(proj="TAN", frame="icrs", lon=lon, lat=lat, binsize=binsize, width=60 * binsize)
    fraction = shape.integral(grid.geometry(grid.full_window))
    n = 20_000
    ra, dec = shape.sample(np.random.default_rng(11), n)
    assert ra.shape == dec.shape == (n,)
    assert ((ra >= 0) & (ra < 360)).all()
    y, x, inside = grid.pixel_index(ra, dec)
    counts = np.zeros(fraction.shape)
    np.add.at(counts, (y[inside], x[inside]), 1)
    expected = n * fraction / shape.total
    some = expected > 10
    observed = np.append(counts[some], n - counts[some].sum())
    wanted = np.append(expected[some], n - expected[some].sum())
    if wanted[-1] < 10:
        observed, wanted = observed[:-1], wanted[:-1] * observed[:-1].sum() / wanted[:-1].sum()
    assert chisquare(observed, wanted * observed.sum() / wanted.sum()).pvalue > 1e-4


def test_samples_of_a_point_and_of_the_sky():
    lon, lat = Point(lon_0=359.9, lat_0=-89.0).sample(np.random.default_rng(0), 5)
    np.testing.assert_allclose(lon, 359.9)
    np.testing.assert_allclose(lat, -89.0)
    lon, lat = ConstantSpatial().sample(np.random.default_rng(0), 40_000)
    assert chisquare(np.histogram(np.sin(np.radians(lat)), 20, (-1, 1))[0]).pvalue > 1e-4
    assert chisquare(np.histogram(lon, 20, (0, 360))[0]).pvalue > 1e-4


def test_constant_sky_is_its_value():
    shape = ConstantSpatial(value=Parameter("value", 2.0, "sr-1"))
    pixels = pixels_at(10, 10, width=0.2)
    np.testing.assert_array_equal(shape.integral(pixels), 2 * pixels.solid_angle)
    np.testing.assert_array_equal(shape.gradient(pixels)[0], pixels.solid_angle)
    assert shape.value([1, 2], 3).tolist() == [2, 2]
    assert shape.evaluation_radius == 180
