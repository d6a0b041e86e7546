"""``.sky``: pictures are of what means something, and cut-outs know where they are."""

import astropy.units as u
import numpy as np
import pytest
import xarray as xr
from astropy.coordinates import SkyCoord

from survey.report.accessor import SkyAccessor
from survey.sky.grid import SkyGrid

CENTRE = SkyCoord(83.63, 22.01, unit="deg")


def make_maps(bands):
    grid = SkyGrid.create(
        proj="TAN", frame="icrs", lon=83.63, lat=22.01, binsize=0.1, width=(4.0, 3.0), binsize_irf=0.5
    )
    shape = (len(bands), *grid.shape)
    values = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    return xr.Dataset(
        {name: (("energy", "y", "x"), values) for name in ("counts", "sqrt_ts")},
        coords={"energy_edges": (("energy", "bound"), np.asarray(bands, dtype=np.float64))},
        attrs={"wcs": grid.header(), "cell": grid.cell},
    )


def shown(figure):
    return np.asarray(figure.axes[0].images[0].get_array())


def test_counts_of_adjoining_bands_are_added():
    maps = make_maps([(1, 2), (2, 4)])
    np.testing.assert_array_equal(shown(SkyAccessor(maps).plot("counts")), maps["counts"].sum("energy"))


def test_one_bin_can_be_chosen():
    maps = make_maps([(1, 2), (2, 4)])
    np.testing.assert_array_equal(shown(SkyAccessor(maps).plot("sqrt_ts", energy=1)), maps["sqrt_ts"][1])


@pytest.mark.parametrize(("name", "bands"), [("sqrt_ts", [(1, 2), (2, 4)]), ("counts", [(1, 4), (2, 4)])])
def test_bins_that_do_not_add_up_are_not_added(name, bands):
    with pytest.raises(ValueError, match=rf"{name} has 2 bins of energy, .* energy=0 to 1"):
        SkyAccessor(make_maps(bands)).plot(name)


def test_cutouts_of_cutouts_stay_where_they_are():
    maps = make_maps([(1, 4)])
    part = SkyAccessor(maps).cutout(CENTRE, 2 * u.deg)
    part = SkyAccessor(part).cutout(CENTRE, (1 * u.deg, 0.5 * u.deg))
    y, x = part["counts"].sizes["y"] // 2, part["counts"].sizes["x"] // 2
    where = SkyAccessor(part).wcs.pixel_to_world(x, y)
    row, column = map(round, map(float, SkyAccessor(maps).wcs.world_to_pixel(where)[::-1]))
    assert float(maps["counts"][0, row, column]) == float(part["counts"][0, y, x])
    assert part["counts"].shape == (1, 10, 10)


def test_a_position_off_the_grid_is_refused():
    with pytest.raises(ValueError, match="is not on the grid"):
        SkyAccessor(make_maps([(1, 4)])).cutout(SkyCoord(90, 22, unit="deg"), 1 * u.deg)
