"""Templates: read as they are written, interpolated, moved, sampled."""

import pickle

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from scipy.stats import chisquare

from survey.models import Gaussian, SkyTemplate, TemplateSpatial
from survey.sky.grid import SkyGrid

GRID = SkyGrid.create(proj="CAR", frame="galactic", lon=359.8, lat=0.5, binsize=0.05, width=(4.0, 3.0))
SHAPE = Gaussian(lon_0=0.1, lat_0=0.6, sigma=0.3, e=0.6, phi=30, frame="galactic")


def image():
    pixels = GRID.geometry(GRID.full_window)
    return SHAPE.value_at(pixels.vectors), pixels


def write(path, data, *, unit="sr-1", extra=()):
    header = GRID.fits_header()
    header["BUNIT"] = unit
    fits.HDUList([fits.PrimaryHDU(data.astype(">f4"), header=header), *extra]).writeto(path)
    return path


@pytest.fixture
def file(tmp_path):
    return write(tmp_path / "image.fits", 7 * image()[0])


def test_image_is_read_with_its_frame_and_place(file, monkeypatch):
    monkeypatch.setenv("SOMEWHERE", str(file.parent))
    shape = TemplateSpatial.read("$SOMEWHERE/image.fits")
    assert (shape.frame, shape.filename, shape.is_energy_dependent) == ("galactic", "$SOMEWHERE/image.fits", False)
    assert (shape.lon_0, shape.lat_0) == pytest.approx((359.8, 0.5))
    assert shape.total == pytest.approx(1)
    assert 2.4 < shape.evaluation_radius < 2.6
    again = pickle.loads(pickle.dumps(shape))
    assert again == shape
    assert hash(again) == hash(shape)
    assert shape.replaced(lon_0=359.9) != shape
    assert shape.key()["data"] == shape.source.digest


def test_values_are_those_of_the_pixels_and_between_them(file):
    data, pixels = image()
    shape = TemplateSpatial.read(file, normalize=False)
    np.testing.assert_allclose(shape.value_at(pixels.vectors), 7 * data, rtol=1e-6)
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-0.8, 1.0, 100), rng.uniform(-0.2, 1.4, 100)
    expected = 7 * SHAPE.value(lon, lat)
    np.testing.assert_allclose(shape.value(lon, lat), expected, rtol=0.02)
    assert shape.value(20.0, 0.0) == 0
    away = 0.3 * np.sin(np.radians(50)), 0.3 * np.cos(np.radians(50))
    np.testing.assert_allclose(shape.profile(0.3, 50.0), shape.value(359.8 + away[0], 0.5 + away[1]), rtol=1e-3)


def test_integral_on_its_own_and_on_other_pixels(file):
    shape = TemplateSpatial.read(file)
    data, pixels = image()
    np.testing.assert_allclose(shape.integral(pixels), data / data.sum(), rtol=1e-5, atol=1e-9)
    for binsize in (0.02, 0.11):
        other = SkyGrid.create(proj="TAN", frame="icrs", lon=266.4, lat=-28.6, binsize=binsize, width=5.0)
        assert shape.integral(other.geometry(other.full_window)).sum() == pytest.approx(1, abs=0.01)


def test_moving_the_centre_moves_the_image(file):
    shape = TemplateSpatial.read(file)
    moved = shape.replaced(lon_0=359.9, lat_0=0.4)
    np.testing.assert_allclose(moved.value(0.3, 0.7), shape.value(0.2, 0.8))
    _, pixels = image()
    gradient = shape.gradient(pixels)
    step = 0.02
    wanted = (
        shape.replaced(lat_0=0.5 + step).integral(pixels) - shape.replaced(lat_0=0.5 - step).integral(pixels)
    ) / step
    assert np.sum(gradient[1] * wanted / 2) / np.sum((wanted / 2) ** 2) == pytest.approx(1, abs=0.02)
    assert gradient.shape == (2, 60, 80)


def test_samples_follow_the_integral(file):
    shape = TemplateSpatial.read(file, lon_0=359.85)
    lon, lat = shape.sample(np.random.default_rng(2), 30_000)
    other = SkyGrid.create(proj="CAR", frame="galactic", lon=359.8, lat=0.5, binsize=0.01, width=(4.0, 3.0))
    fraction = shape.integral(other.geometry(other.full_window)).reshape(30, 10, 40, 10).sum(axis=(1, 3))
    counts = np.histogram2d(lat, (lon + 180) % 360 - 180, [np.linspace(-1, 2, 31), np.linspace(-2.2, 1.8, 41)])[0]
    fraction = fraction[:, ::-1] / fraction.sum()
    some = fraction * 30_000 > 10
    observed, wanted = counts[some], fraction[some]
    assert chisquare(observed, wanted / wanted.sum() * observed.sum()).pvalue > 1e-4


def test_lone_pixels_are_sampled_by_their_contents(tmp_path):
    data = np.zeros((60, 80))
    data[20, 30], data[40, 60] = 1, 3
    shape = TemplateSpatial.read(write(tmp_path / "points.fits", data))
    _, lat = shape.sample(np.random.default_rng(2), 10_000)
    high = lat > 0.5
    assert high.mean() == pytest.approx(0.75, abs=0.02)
    assert np.std(lat[high]) == pytest.approx(0.05 / 12**0.5, rel=0.05)


def cube(tmp_path, *, unit="cm-2 s-1 MeV-1 sr-1"):
    narrow, _ = image()
    data = np.stack([1e-9 * narrow + 1e-12, 1e-11 * np.ones_like(narrow), 1e-13 * narrow + 1e-15])
    table = fits.table_to_hdu(Table({"Energy": [1e4, 1e5, 1e6]}, units={"Energy": "MeV"}))
    table.name = "ENERGIES"
    return write(tmp_path / "cube.fits", data, unit=unit, extra=[table]), data


def test_cube_is_interpolated_in_the_logarithms(tmp_path):
    path, data = cube(tmp_path)
    shape = TemplateSpatial.read(path, normalize=False)
    assert shape.is_energy_dependent
    assert shape.unit == "TeV-1 s-1 m-2 sr-1"
    _, pixels = image()
    np.testing.assert_allclose(shape.integral(pixels, [0.01, 1.0]), 1e10 * data[[0, 2]] * pixels.solid_angle, rtol=1e-5)
    middle = shape.value(0.1, 0.6, energy=10**-1.5)
    np.testing.assert_allclose(middle**2, shape.value(0.1, 0.6, 0.01) * shape.value(0.1, 0.6, 0.1), rtol=1e-5)
    np.testing.assert_allclose(shape.at_energy(10**-1.5).value(0.1, 0.6), middle, rtol=1e-9)
    assert shape.value(0.1, 0.6, energy=100.0) == 0
    with pytest.raises(ValueError, match="a cube; give the energy"):
        shape.value(0.1, 0.6)
    normalised = TemplateSpatial.read(path)
    np.testing.assert_allclose(normalised.integral(pixels, [0.01, 0.1]).sum(axis=(1, 2)), 1, rtol=1e-4)
    assert normalised.gradient(pixels, [0.01, 0.1]).shape == (2, 2, 60, 80)


def test_samples_of_a_cube_follow_their_energies(tmp_path):
    shape = TemplateSpatial.read(cube(tmp_path)[0])
    rng = np.random.default_rng(4)
    energy = np.repeat([0.01, 0.05, 0.1], 4000)
    lon, lat = shape.sample(rng, energy.size, energy=energy)
    for one in (0.01, 0.05, 0.1):
        lon_one, lat_one = shape.at_energy(one).sample(rng, 4000)
        assert np.std(lat[energy == one]) == pytest.approx(np.std(lat_one), rel=0.08)
        assert np.std((lon[energy == one] + 180) % 360) == pytest.approx(np.std((lon_one + 180) % 360), rel=0.08)


def test_bad_files_are_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"no file .*absent\.fits"):
        TemplateSpatial.read(tmp_path / "absent.fits")
    path = write(tmp_path / "wrong.fits", image()[0], unit="ct")
    with pytest.raises(ValueError, match=r"wrong\.fits, HDU PRIMARY: BUNIT 'ct', expected sr-1"):
        TemplateSpatial.read(path)
    path = write(tmp_path / "flat.fits", np.stack([image()[0]] * 2))
    with pytest.raises(ValueError, match="no table of energies"):
        TemplateSpatial.read(path)
    path = write(tmp_path / "empty.fits", 0 * image()[0])
    with pytest.raises(ValueError, match="holds no positive value"):
        TemplateSpatial.read(path)


def test_solid_angle_is_that_of_the_grid():
    data, pixels = image()
    header = "\n".join(card.rstrip() for card in GRID.header().split("\n"))
    np.testing.assert_allclose(SkyTemplate(data, header).solid_angle, pixels.solid_angle, rtol=1e-6)
