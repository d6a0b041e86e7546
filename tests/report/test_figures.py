"""Pictures: they can be drawn for every projection, and show what was given."""

import warnings
from itertools import product

import numpy as np
import pytest
from astropy.wcs import WCS

from survey.report.figures import draw_map, draw_significance_histogram, to_png
from survey.report.panels import Panels
from survey.sky.pixels import Window


def make_wcs(proj, shape, frame):
    wcs = WCS(naxis=2)
    names = ("GLON-", "GLAT-") if frame == "galactic" else ("RA---", "DEC--")
    wcs.wcs.ctype = [name + proj for name in names]
    wcs.wcs.crval = [83.6, 0.0]
    wcs.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    scale = 360 / shape[1] if proj in ("AIT", "MOL") else 0.05
    wcs.wcs.cdelt = [-scale, scale]
    wcs.wcs.set()
    return wcs


@pytest.mark.parametrize("proj", ["CAR", "TAN", "AIT", "MOL"])
@pytest.mark.parametrize("frame", ["icrs", "galactic"])
def test_maps_have_a_coordinate_grid_a_colour_bar_and_units(proj, frame):
    values = np.random.default_rng(1).normal(size=(30, 60))
    figure = draw_map(values, make_wcs(proj, values.shape, frame), name="sqrt_ts", title="Significance", unit="sigma")
    assert to_png(figure).startswith(b"\x89PNG")
    sky, colour_bar = figure.axes
    assert sky.get_title() == "Significance"
    assert colour_bar.get_ylabel() == "sigma"
    np.testing.assert_array_equal(sky.images[0].get_array(), values)


def test_significance_has_as_much_colour_below_zero_as_above():
    values = np.linspace(-6, 40, 200).reshape(10, 20)
    figure = draw_map(values, make_wcs("CAR", values.shape, "icrs"), name="sqrt_ts", title="", unit="")
    sky, colour_bar = figure.axes
    image = sky.images[0]

    def strength(value):
        return 1 - min(image.cmap(image.norm(value))[:3])

    assert colour_bar.get_ylabel() == "standard deviations"
    assert strength(0.0) < 0.05
    assert strength(-2.5) == pytest.approx(strength(2.5), abs=0.1)
    assert strength(15.0) > strength(5.0) > strength(2.5)


def test_notebooks_show_pictures():
    figure = draw_map(np.ones((5, 5)), make_wcs("CAR", (5, 5), "icrs"), name="counts", title="", unit="")
    assert figure._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["counts", "exposure", "flux", "unknown"])
def test_empty_and_constant_maps_are_drawn(name):
    for values in (np.full((10, 10), np.nan), np.zeros((10, 10))):
        figure = draw_map(values, make_wcs("CAR", values.shape, "icrs"), name=name, title="", unit="")
        assert to_png(figure).startswith(b"\x89PNG")


def test_histogram_shows_the_fit_beside_the_normal_distribution():
    centers = np.arange(-4.875, 5, 0.25)
    counts = np.round(1000 * np.exp(-0.5 * centers**2)).astype(int)
    figure = draw_significance_histogram(centers, counts, mean=0.01, width=1.02, counts_all=counts + 3)
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert "fit: mean 0.010, width 1.020" in labels
    assert to_png(figure).startswith(b"\x89PNG")


def test_the_histogram_of_a_map_without_data_is_drawn_without_a_warning():
    centers, none = np.arange(-4.875, 5, 0.25), np.zeros(40, int)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = draw_significance_histogram(centers, none, mean=np.nan, width=np.nan, counts_all=none)
        assert to_png(figure).startswith(b"\x89PNG")


def test_a_long_band_is_drawn_in_strips_that_show_every_column_once_at_one_scale():
    values = np.arange(20.0 * 401).reshape(20, 401)
    wcs = make_wcs("CAR", values.shape, "galactic")
    figure = draw_map(values, wcs, name="counts", title="counts", unit="")
    assert to_png(figure).startswith(b"\x89PNG")
    *strips, colour_bar = figure.axes
    assert len(strips) == 3
    assert colour_bar.get_ylabel() == "counts"
    np.testing.assert_array_equal(np.hstack([axes.images[0].get_array() for axes in strips]), values)
    assert len({axes.get_xlim() for axes in strips}) == 1
    assert len({axes.images[0].get_clim() for axes in strips}) == 1
    # a pixel of the last strip has the coordinates that it has in the map
    first = sum(axes.images[0].get_array().shape[1] for axes in strips[:-1])
    np.testing.assert_allclose(strips[-1].wcs.wcs_pix2world(3, 4, 0), wcs.wcs_pix2world(first + 3, 4, 0))


def test_colour_bars_of_counts_have_round_ticks():
    values = np.random.default_rng(2).poisson(3.0, (30, 60)).astype(float)
    figure = draw_map(values, make_wcs("CAR", values.shape, "galactic"), name="counts", title="Counts", unit="")
    ticks = figure.axes[-1].get_yticks()
    assert len(ticks) >= 3
    assert ticks[0] == 0
    assert all(float(f"{tick:.1g}") == tick for tick in ticks)


def test_a_map_of_more_pixels_than_its_picture_is_thinned_and_stays_in_place():
    values = np.zeros((603, 802))
    values[100:120, 400:440] = 5.0
    figure = draw_map(values, make_wcs("CAR", values.shape, "icrs"), name="sqrt_ts", title="", unit="", dpi=10)
    sky = figure.axes[0]
    shown = np.asarray(sky.images[0].get_array())
    step = values.shape[1] // 190
    assert shown.size < values.size / step**2 * 1.02
    left, right, bottom, top = sky.images[0].get_extent()
    rows, columns = np.nonzero(shown)
    assert step * rows.min() + bottom <= 100 <= step * (rows.min() + 1) + bottom
    assert step * (columns.max() + 1) + left == pytest.approx(439.5, abs=step)
    assert abs(right - 801.5) <= step
    assert abs(top - 602.5) <= step
    assert sky.get_xlim() == (-0.5, 801.5)
    assert sky.get_ylim() == (-0.5, 602.5)


@pytest.mark.parametrize("shape", [(603, 802), (100, 3001), (41, 40)])
@pytest.mark.parametrize("dpi", [5, 110])
def test_what_is_drawn_of_a_map_in_parts_is_what_is_drawn_of_the_whole(shape, dpi):
    values = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    panels = Panels.of(shape, make_wcs("CAR", shape, "galactic"), dpi=dpi)
    samples = panels.blank()
    for y, x in product(range(0, shape[0], 37), range(0, shape[1], 37)):
        window = Window(y, min(y + 37, shape[0]), x, min(x + 37, shape[1]))
        panels.put(samples, values[window.slices], window)
    np.testing.assert_array_equal(samples, panels.sample(values))
    # every sample belongs to one strip
    drawn = [panels.drawn(strip) for strip in panels.strips]
    np.testing.assert_array_equal(np.concatenate([samples[:, one] for one in drawn], axis=1), samples)
