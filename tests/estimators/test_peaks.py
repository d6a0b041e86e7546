"""Peaks: each source once, greatest first, nothing where there is nothing."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from survey.estimators.peaks import find_peaks, nearest_names
from survey.sky.grid import SkyGrid

GRID = SkyGrid.create(proj="CAR", frame="galactic", lon=10.0, lat=1.0, binsize=0.05, width=(6.0, 4.0), binsize_irf=0.5)


def bump(y0, x0, height, width=2.0):
    y, x = np.indices(GRID.shape)
    return height * np.exp(-0.5 * ((y - y0) ** 2 + (x - x0) ** 2) / width**2)


def test_sources_are_found_once_greatest_first():
    image = bump(20, 30, 8.0) + bump(60, 90, 12.0) + bump(40, 60, 4.0)
    image[0, 0] = np.nan
    table = find_peaks(image, GRID.wcs, threshold=5.0)
    assert list(zip(table["y"], table["x"], strict=True)) == [(60, 90), (20, 30)]
    assert table["value"][0] == pytest.approx(12.0, rel=1e-3)
    lon, lat = GRID.wcs.wcs_pix2world([[90, 60]], 0)[0]
    assert table["position"][0].l.deg == pytest.approx(lon % 360)
    assert table["position"][0].b.deg == pytest.approx(lat)


def test_of_two_near_peaks_the_greater_is_kept():
    image = np.maximum(bump(40, 60, 9.0, 1.0), bump(40, 63, 8.0, 1.0))
    assert len(find_peaks(image, GRID.wcs, separation=0.3)) == 1
    assert len(find_peaks(image, GRID.wcs, separation=0.1)) == 2


def test_an_empty_map_has_no_peak():
    assert len(find_peaks(np.full(GRID.shape, np.nan), GRID.wcs)) == 0
    with pytest.raises(ValueError, match="found a separation of 0 deg"):
        find_peaks(np.zeros(GRID.shape), GRID.wcs, separation=0.0)


def test_names_of_what_is_near():
    found = SkyCoord([10.0, 12.0], [1.0, 0.0], unit="deg", frame="galactic")
    places = SkyCoord([10.1, 30.0], [1.0, 0.0], unit="deg", frame="galactic")
    assert nearest_names(found, ["a", "b"], places) == ["a", ""]
    assert nearest_names(found, [], places[:0]) == ["", ""]
