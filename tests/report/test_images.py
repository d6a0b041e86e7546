"""FITS images: what astropy's own WCS reads from them is what was written."""

import io
from itertools import product

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS

from survey.report.images import ImageFile
from survey.sky.pixels import Window
from survey.store.urls import writing


def to_fits(values, wcs, *, unit, name, bands=None, tile=4):
    """Bytes of an image that is written tile by tile, the last one first."""
    stream = io.BytesIO()
    ny, nx = values.shape[-2:]
    with ImageFile(stream, values.shape, values.dtype, wcs, unit=unit, name=name, bands=bands) as file:
        for y, x in product(reversed(range(0, ny, tile)), reversed(range(0, nx, tile))):
            window = Window(y, min(y + tile, ny), x, min(x + tile, nx))
            file.put(values[(..., *window.slices)], window)
    return stream.getvalue()


@pytest.fixture
def wcs():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["GLON-CAR", "GLAT-CAR"]
    wcs.wcs.crval = [320.0, 0.0]
    wcs.wcs.crpix = [5.5, 4.5]
    wcs.wcs.cdelt = [-0.02, 0.02]
    wcs.wcs.set()
    return wcs


def test_image_keeps_values_unit_and_positions(wcs):
    values = np.arange(80.0).reshape(8, 10)
    values[0, 0] = np.nan
    with fits.open(io.BytesIO(to_fits(values, wcs, unit="cm-2 s-1", name="flux"))) as hdus:
        np.testing.assert_array_equal(hdus[0].data, values.astype(np.float32))
        assert u.Unit(hdus[0].header["BUNIT"]) == u.Unit("cm-2 s-1")
        read = WCS(hdus[0].header)
    np.testing.assert_allclose(read.wcs_pix2world([[3, 2]], 0), wcs.wcs_pix2world([[3, 2]], 0), atol=1e-10)


def test_adjoining_bands_are_a_logarithmic_energy_axis(wcs):
    edges = np.geomspace(1, 100, 5)
    bands = np.stack([edges[:-1], edges[1:]], axis=1)
    values = np.arange(320.0).reshape(4, 8, 10)
    with fits.open(io.BytesIO(to_fits(values, wcs, unit="", name="excess", bands=bands))) as hdus:
        np.testing.assert_array_equal(hdus[0].data, values)
        hdus.verify("exception")
        assert b"EXTEND  =                    T" in to_fits(values, wcs, unit="", name="excess", bands=bands)[:2880]
        axis = WCS(hdus[0].header)
        energy = (axis.wcs_pix2world([[0, 0, i] for i in range(4)], 0)[:, 2] * u.Unit(axis.wcs.cunit[2])).to_value(
            "TeV"
        )
        table = hdus["EBOUNDS"].data
        # wcslib converts TeV with an older value of the elementary charge: 3e-7
        np.testing.assert_allclose(energy, np.sqrt(edges[:-1] * edges[1:]), rtol=1e-6)
        np.testing.assert_allclose(table["E_MIN"], edges[:-1])
        np.testing.assert_allclose(table["E_MAX"], edges[1:])


def test_overlapping_bands_are_numbered(wcs):
    bands = np.array([[1.0, 10.0], [1.0, 2.0]])
    with fits.open(io.BytesIO(to_fits(np.zeros((2, 8, 10)), wcs, unit="", name="excess", bands=bands))) as hdus:
        assert hdus[0].header["CTYPE3"] == "BAND"
        np.testing.assert_allclose(hdus["EBOUNDS"].data["E_MAX"], [10.0, 2.0])


def test_counts_stay_whole_numbers(wcs):
    with fits.open(io.BytesIO(to_fits(np.full((8, 10), 2**25 + 1), wcs, unit="", name="counts"))) as hdus:
        assert hdus[0].data[0, 0] == 2**25 + 1


def test_a_cube_without_bands_is_refused(wcs):
    with pytest.raises(ValueError, match="'excess' has an energy axis"):
        to_fits(np.zeros((2, 8, 10)), wcs, unit="", name="excess")


def test_a_file_that_is_left_with_an_error_is_not_there(wcs, tmp_path):
    target = tmp_path / "counts.fits"
    with (
        pytest.raises(RuntimeError, match="no more"),
        writing(str(target)) as stream,
        ImageFile(stream, (8, 10), np.int32, wcs, unit="", name="counts"),
    ):
        raise RuntimeError("no more")
    assert list(tmp_path.iterdir()) == []
