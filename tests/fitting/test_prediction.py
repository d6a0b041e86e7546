"""Predicted counts: exact sums on an analytic cube, linearity, tiles, what is left out, what is refused."""

import numpy as np
import pytest
from astropy.io import fits

from survey.fitting.cutout import cut_dataset
from survey.fitting.prediction import predict
from survey.fitting.psf_kernels import kernel_matrix
from survey.fitting.settings import PredictionSettings
from survey.models import Disk, Gaussian, Point, PowerLaw
from survey.models.collection import Models
from survey.models.components import FoVBackgroundModel, SkyModel, TemplateNPredModel
from survey.models.spatial_disk import Shell
from survey.models.temporal import ConstantTime, LinearTime
from survey.sky.pixels import Window

WHOLE = PredictionSettings(psf_containment=1.0)
PLACES = pytest.mark.parametrize("place", [(40, 40), (40, 62), (25, 20)], ids=["centre", "right", "off"])


def signal(dataset, *models, settings=WHOLE, **options):
    return predict(dataset, models, background=False, settings=settings, **options).values


@PLACES
def test_point_source_on_uniform_responses(uniform_sky, crab, make_source, place):
    """Every bin is what exposure, dispersion and PSF give at the source."""
    found = signal(uniform_sky.dataset(), make_source(Point(**uniform_sky.place(*place)), crab))
    expected = uniform_sky.source(*place, crab)
    np.testing.assert_allclose(found.sum(axis=(1, 2)), expected.sum(axis=(1, 2)), rtol=1e-6)
    np.testing.assert_allclose(found, expected, atol=2e-3 * expected.max())


@PLACES
def test_gaussian_on_uniform_responses(uniform_sky, crab, make_source, place):
    found = signal(uniform_sky.dataset(), make_source(Gaussian(sigma=0.15, **uniform_sky.place(*place)), crab))
    expected = uniform_sky.source(*place, crab, width=0.15)
    np.testing.assert_allclose(found.sum(axis=(1, 2)), expected.sum(axis=(1, 2)), rtol=1e-5)
    np.testing.assert_allclose(found, expected, atol=1e-3 * expected.max())


@pytest.mark.parametrize(
    "shape",
    [Disk(r_0=0.4), Disk(r_0=0.4, e=0.8, phi=30), Shell(radius=0.3, width=0.1)],
    ids=["disk", "ellipse", "shell"],
)
def test_every_shape_is_whole(uniform_sky, crab, make_source, shape):
    """On uniform responses the counts do not depend on the shape, and lie around its centre."""
    shape = shape.replaced(**uniform_sky.place(38, 43))
    found = signal(uniform_sky.dataset(), make_source(shape, crab))
    expected = uniform_sky.source(38, 43, crab).sum(axis=(1, 2))
    np.testing.assert_allclose(found.sum(axis=(1, 2)), expected, rtol=3e-3)
    image = found.sum(axis=0)
    y, x = np.indices(image.shape)
    assert (y * image).sum() / image.sum() == pytest.approx(38, abs=0.02)
    assert (x * image).sum() / image.sum() == pytest.approx(43, abs=0.02)


@PLACES
def test_point_source_sees_the_responses_of_its_place(placed_sky, crab, make_source, place):
    """Where responses change, within what the interpolation between cells leaves."""
    found = signal(placed_sky.dataset(), make_source(Point(**placed_sky.place(*place)), crab))
    expected = placed_sky.source(*place, crab)
    np.testing.assert_allclose(found.sum(axis=(1, 2)), expected.sum(axis=(1, 2)), rtol=6e-3)


def test_point_source_keeps_its_centroid(uniform_sky, crab, make_source):
    found = signal(uniform_sky.dataset(), make_source(Point(**uniform_sky.place(40.3, 38.8)), crab)).sum(axis=0)
    y, x = np.indices(found.shape)
    assert (y * found).sum() / found.sum() == pytest.approx(40.3, abs=1e-3)
    assert (x * found).sum() / found.sum() == pytest.approx(38.8, abs=1e-3)


def test_large_source_is_the_sum_of_points(placed_sky, crab, make_source):
    """Responses by cell: a source over many cells is exactly what its pixels are as sources of their own."""
    dataset = placed_sky.dataset()
    size = 9
    pixels = [(36 + y, 50 + x) for y in range(size) for x in range(size)]
    points = [
        make_source(Point(**placed_sky.place(*place)), crab.replaced(amplitude=crab.amplitude / size**2), f"{place}")
        for place in pixels
    ]
    expected = signal(dataset, *points)

    class Square(Disk):
        """All flux in equal parts on the pixels of the points."""

        evaluation_radius = 0.05 * size

        def integral(self, pixels):
            place = [np.array(placed_sky.grid.pixel_to_world(y, x)) for y, x in ((35.5, 49.5), (44.5, 58.5))]
            ra, dec = (
                np.degrees(angle) for angle in (np.arctan2(*pixels.vectors[1::-1]), np.arcsin(pixels.vectors[2]))
            )
            inside = (ra < place[0][0]) & (ra > place[1][0]) & (dec > place[0][1]) & (dec < place[1][1])
            return inside / size**2

    square = Square(**placed_sky.place(40, 54))
    found = signal(dataset, make_source(square, crab))
    np.testing.assert_allclose(found, expected, atol=1e-7 * expected.max())


def test_norm_is_linear_and_components_add(placed_sky, crab, make_source):
    dataset = placed_sky.dataset()
    first = make_source(Gaussian(sigma=0.2, **placed_sky.place(30, 40)), crab, "first")
    second = make_source(Point(**placed_sky.place(50, 44)), crab.replaced(index=2.0), "second")
    both = predict(dataset, [first, second], components=True, settings=WHOLE)
    assert list(both.data_vars) == ["background", "first", "second"]
    total = predict(dataset, [first, second], settings=WHOLE)
    np.testing.assert_allclose(total, sum(both.data_vars.values()), rtol=1e-12)
    double = make_source(first.spatial, crab.replaced(amplitude=2 * crab.amplitude))
    expected = 2 * both["first"].values
    np.testing.assert_allclose(signal(dataset, double), expected, atol=1e-12 * expected.max())
    assert (total.dims, total.attrs["long_name"]) == (("energy", "y", "x"), "predicted counts")


def test_tiles_are_the_whole(placed_sky, crab, make_source):
    """A tile with its halo predicts what the whole grid does there, to 1e-9."""
    dataset = placed_sky.dataset()
    models = [
        make_source(Gaussian(sigma=0.31, **placed_sky.place(39, 41)), crab, "large"),
        make_source(Point(**placed_sky.place(40.2, 39.7)), crab, "point"),
        make_source(Disk(r_0=0.6, **placed_sky.place(22, 55)), crab, "disk"),
    ]
    settings = PredictionSettings(psf_radius_max=0.45)
    whole = predict(dataset, models, settings=settings)
    halo = settings.halo(placed_sky.binsize, placed_sky.cell)
    for tile in (Window(0, 40, 0, 40), Window(0, 40, 40, 80), Window(40, 80, 0, 40), Window(40, 80, 40, 80)):
        grown = tile.grown(halo).intersection(placed_sky.grid.full_window)
        part = cut_dataset(dataset, grown).assign_attrs(y_first=grown.y0, x_first=grown.x0)
        found = predict(part, models, settings=settings).values[:, *tile.relative_to(grown).slices]
        expected = whole.values[:, *tile.slices]
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * expected.max())


def test_bins_that_are_not_safe_are_left_out(placed_sky, crab, make_source):
    safe = np.ones((placed_sky.energy.size - 1, placed_sky.ny, placed_sky.nx))
    safe[0, :, 42:] = 0
    found = signal(placed_sky.dataset(safe=safe), make_source(Point(**placed_sky.place(40, 41)), crab))
    assert (found[0, :, 42:] == 0).all()
    assert (found[0, :, 40] > 0).any()
    assert (found[1, :, 42] > 0).any()


def test_source_off_the_grid_adds_nothing(placed_sky, crab, make_source):
    assert not signal(placed_sky.dataset(), make_source(Gaussian(lon_0=100, lat_0=30, sigma=0.1), crab)).any()


def test_responses_may_be_switched_off(uniform_sky, crab, make_source):
    dataset = uniform_sky.dataset()
    shape = Point(**uniform_sky.place(40, 41))
    found = signal(dataset, make_source(shape, crab, apply_irf={"psf": False}))
    np.testing.assert_allclose(found[:, 40, 41], uniform_sky.source(40, 41, crab).sum(axis=(1, 2)), rtol=1e-4)
    assert np.count_nonzero(found.sum(axis=0) > 1e-6 * found.max()) == 1
    found = signal(dataset, make_source(shape, crab, apply_irf={"psf": False, "edisp": False}))
    edges = uniform_sky.energy_true
    flux = crab.integral(edges[:-1], edges[1:]) * uniform_sky.exposure(40, 40)
    inside = np.clip(
        np.minimum(edges[1:], uniform_sky.energy[-1]) - np.maximum(edges[:-1], uniform_sky.energy[0]), 0, None
    )
    assert found.sum() == pytest.approx((flux * inside / np.diff(edges)).sum(), rel=1e-6)


def test_background_model_scales_and_tilts(placed_sky):
    dataset = placed_sky.dataset()
    model = FoVBackgroundModel.for_dataset("stacked")
    model = model.with_parts(spectral=model.spectral.replaced(norm=1.3, tilt=0.2))
    found = predict(dataset, [model])
    centers = np.sqrt(placed_sky.energy[1:] * placed_sky.energy[:-1])[:, None, None]
    np.testing.assert_allclose(found, 1.3 * dataset["background"] * centers**-0.2, rtol=1e-12)
    assert predict(dataset, [model], name="another").equals(predict(dataset, []))
    with pytest.raises(ValueError, match="stacked-bkg, other-bkg: all correct the background"):
        predict(dataset, [model, FoVBackgroundModel.for_dataset("other")])


def test_time_dependence_is_a_mean_over_good_times(placed_sky, crab, make_source):
    dataset = placed_sky.dataset()
    shape = Point(**placed_sky.place(40, 41))
    steady = signal(dataset, make_source(shape, crab))
    with pytest.raises(ValueError, match="source: it changes with time, but the dataset has no good times"):
        signal(dataset, make_source(shape, crab, temporal=ConstantTime()))
    reference = {"mjdrefi": 55000, "mjdreff": 0.0, "timesys": "tt"}
    dataset["gti_start"] = ("gti", np.array([0.0, 86400.0]), reference)
    dataset["gti_stop"] = ("gti", np.array([43200.0, 172800.0]), reference)
    rising = LinearTime(alpha=1.0, beta=0.5, t_ref=55000.0, scale="tt")
    # 1.125 over half a day and 1.75 over a day
    found = signal(dataset, make_source(shape, crab, temporal=rising))
    np.testing.assert_allclose(found, steady * (0.5 * 1.125 + 1.75) / 1.5, rtol=1e-9, atol=1e-12)


def test_template_of_counts(placed_sky, tmp_path):
    dataset = placed_sky.dataset()
    values = np.random.default_rng(1).random((placed_sky.energy.size - 1, 10, 12))
    header = placed_sky.grid.fits_header()
    header["CRPIX1"] -= 30
    header["CRPIX2"] -= 20
    header["BANDSHDU"] = "SKYMAP_BANDS"
    for key in ("NAXIS", "NAXIS1", "NAXIS2"):
        header.remove(key, ignore_missing=True)
    columns = [
        fits.Column("E_MIN", "D", unit="TeV", array=placed_sky.energy[:-1]),
        fits.Column("E_MAX", "D", unit="TeV", array=placed_sky.energy[1:]),
    ]
    path = tmp_path / "template.fits"
    fits.HDUList(
        [
            fits.PrimaryHDU(),
            fits.ImageHDU(values, header, name="SKYMAP"),
            fits.BinTableHDU.from_columns(columns, name="SKYMAP_BANDS"),
        ]
    ).writeto(path)
    model = TemplateNPredModel("extra", str(path))
    model = model.with_parts(spectral=model.spectral.replaced(norm=2.0))
    found = predict(dataset, [model], background=False).values
    np.testing.assert_allclose(found[:, 20:30, 30:42], 2 * values)
    assert found.sum() == pytest.approx(2 * values.sum())
    with pytest.raises(ValueError, match=r"extra\.filename: .* expected the cube's own grid"):
        predict(dataset.assign_attrs(grid=dataset.attrs["grid"] | {"lon": 10.003}), [model])


def test_refusals_name_the_model(placed_sky, crab):
    dataset = placed_sky.dataset()
    with pytest.raises(ValueError, match="model nowhere: no spatial model, expected one"):
        predict(dataset, [SkyModel("nowhere", crab)])
    with pytest.raises(ValueError, match="has no attribute 'grid'"):
        predict(dataset.drop_attrs(), [])
    with pytest.raises(ValueError, match="the cube has no irf_exposure"):
        predict(dataset.drop_vars("irf_exposure"), [SkyModel("point", crab, Point(**placed_sky.place(40, 41)))])


@pytest.mark.parametrize("sigma", [0.001, 0.01, 0.05], ids=lambda sigma: f"{sigma:g} deg")
@pytest.mark.parametrize("binsize", [0.02, 0.1], ids=lambda binsize: f"{binsize:g} deg pixels")
def test_kernel_sums_to_what_it_contains(sigma, binsize):
    """Also where the point spread function is far narrower than a pixel, and never to one if it is cut."""
    edges = np.linspace(0, 0.5, 101) if sigma > 0.005 else np.linspace(0, 0.02, 41)
    centers = 0.5 * (edges[1:] + edges[:-1])
    profile = np.exp(-0.5 * (centers / sigma) ** 2)
    matrix = kernel_matrix(binsize, 10, tuple(edges))
    profile /= profile @ matrix.contents
    kernel = matrix.images(matrix.distinct(profile), 10)
    reach = 10.5 * binsize
    inside = 1 - np.exp(-0.5 * (reach / sigma) ** 2)
    assert kernel.sum() == pytest.approx(1 if inside > 0.999 else inside, abs=3e-3)
    half = matrix.half_widths(0.8 * profile, 0.9)
    assert half == min(10, np.ceil(round(sigma * np.sqrt(2 * np.log(10)) / binsize, 3)))
    cut = matrix.distinct(profile, 0.9)
    assert cut @ matrix.multiplicity < 1 + 1e-9


def test_noise_does_not_blow_the_kernel_up():
    edges = tuple(np.linspace(0, 0.66, 67))
    centers = 0.005 + np.arange(66) * 0.01
    profile = np.exp(-0.5 * (centers / 0.05) ** 2)
    profile[60] = 0.05
    settings = PredictionSettings(psf_radius_max=0.4)
    matrix = kernel_matrix(0.02, settings.half_width(0.02), edges)
    assert matrix.half_widths(profile, 0.999) == 20
    assert settings.halo(0.02, 10) == 30


def test_flux_law(placed_sky, crab, make_source):
    """A steeper spectrum of the same flux at 1 TeV has more counts below and fewer above."""
    dataset = placed_sky.dataset()
    shape = Point(**placed_sky.place(40, 41))
    hard, soft = (
        signal(dataset, make_source(shape, PowerLaw(index=index, amplitude=3e-8))).sum(axis=(1, 2)) for index in (2, 3)
    )
    assert soft[0] > hard[0]
    assert soft[-1] < hard[-1]


def test_a_collection_is_its_components_and_names_are_no_models(uniform_sky, crab, make_source):
    dataset = uniform_sky.dataset()
    source = make_source(Point(**uniform_sky.place(40, 40)), crab)
    np.testing.assert_array_equal(predict(dataset, Models([source])), predict(dataset, [source]))
    with pytest.raises(TypeError, match="found 'source' of type str, expected components"):
        predict(dataset, ["source"])
