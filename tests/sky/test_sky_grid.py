"""The grid: where pixels are, that a pixel's values do not depend on the window, seams and rims, round trips."""

import json
import math
import pickle
import time

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from survey.sky import frames
from survey.sky.grid import EMPTY, OFF_SKY, SkyGrid, Window

PROJECTIONS = ("CAR", "TAN", "AIT", "MOL")


def grid_of(proj: str, frame: str = "icrs", lon: float = 83.6, lat: float = 22.0, **changes) -> SkyGrid:
    values = {"binsize": 0.2, "width": (12, 8), "binsize_irf": 0.6, **changes}
    return SkyGrid.create(proj=proj, frame=frame, lon=lon, lat=lat, **values)


@pytest.mark.parametrize("frame", ["icrs", "galactic"])
@pytest.mark.parametrize("lat", [0.0, 22.0, -59.0, 89.9, 90.0, -90.0])
@pytest.mark.parametrize("proj", PROJECTIONS)
def test_pixel_centres_are_those_of_the_wcs(proj: str, lat: float, frame: str) -> None:
    grid = grid_of(proj, frame, 228.3, lat)
    y, x = np.mgrid[: grid.ny, : grid.nx]
    lon_pix, lat_pix = grid.wcs.wcs_pix2world(x.ravel(), y.ravel(), 0)
    sky = SkyCoord(lon_pix, lat_pix, unit="deg", frame=frame).icrs
    expected = sky.cartesian.xyz.value.reshape(3, *grid.shape)
    geometry = grid.geometry(grid.full_window)
    np.testing.assert_allclose(geometry.vectors, expected, atol=3e-14)
    back_y, back_x, inside = grid.pixel_index(*geometry.positions)
    assert inside.all()
    np.testing.assert_array_equal(back_y, y)
    np.testing.assert_array_equal(back_x, x)


@pytest.mark.parametrize("proj", ["CAR", "AIT", "MOL"])
def test_whole_sky_has_four_pi_and_no_pixel_beyond_the_rim(proj: str) -> None:
    grid = grid_of(proj, "galactic", 0, 0, binsize=1.0, width=(360, 180))
    geometry = grid.geometry(grid.full_window)
    np.testing.assert_allclose(geometry.solid_angle.sum(), 4 * math.pi, rtol=1e-12 if proj == "CAR" else 1e-3)
    y, x = np.mgrid[: grid.ny, : grid.nx]
    lon, _ = grid.wcs.wcs_pix2world(x.ravel(), y.ravel(), 0)
    np.testing.assert_array_equal(geometry.valid, np.isfinite(lon).reshape(grid.shape))
    np.testing.assert_array_equal(geometry.valid, np.isfinite(geometry.vectors[0]))
    np.testing.assert_array_equal(grid.has_pixels(y, x), geometry.valid)


@pytest.mark.parametrize("proj", PROJECTIONS)
def test_solid_angle_is_that_of_the_pixel_cut_finely(proj: str) -> None:
    """Against the sum over 15 x 15 parts of each pixel, their areas from the vectors of their corners."""
    grid = grid_of(proj, lon=10.0, lat=0.0, binsize=2.0, width=(40, 30), binsize_irf=2)
    parts = 15
    y, x = np.mgrid[: grid.ny * parts + 1, : grid.nx * parts + 1] / parts - 0.5
    corner = frames.unit_vectors(*grid.wcs.wcs_pix2world(x.ravel(), y.ravel(), 0)).reshape(3, *x.shape)
    diagonal = corner[:, 1:, 1:] - corner[:, :-1, :-1], corner[:, 1:, :-1] - corner[:, :-1, 1:]
    area = 0.5 * np.linalg.norm(np.cross(*diagonal, axis=0), axis=0)
    area = area.reshape(grid.ny, parts, grid.nx, parts).sum(axis=(1, 3))
    np.testing.assert_allclose(grid.geometry(grid.full_window).solid_angle, area, rtol=3e-5)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(PROJECTIONS), st.data())
def test_values_of_a_pixel_do_not_depend_on_the_window(proj: str, data) -> None:
    frame = data.draw(st.sampled_from(["icrs", "galactic"]))
    width = (12.0, 8.0) if proj == "TAN" else data.draw(st.sampled_from([(12.0, 8.0), (360.0, 180.0)]))
    grid = grid_of(proj, frame, 12.0, -20.0, binsize=width[0] / 60, width=width, binsize_irf=width[0] / 60 * 7)
    whole = grid.geometry(grid.full_window)
    y0 = data.draw(st.integers(0, grid.ny - 1))
    x0 = data.draw(st.integers(0, grid.nx - 1))
    window = Window(y0, data.draw(st.integers(y0 + 1, grid.ny)), x0, data.draw(st.integers(x0 + 1, grid.nx)))
    part = grid.geometry(window)
    assert part.vectors.tobytes() == np.ascontiguousarray(whole.vectors[:, *window.slices]).tobytes()
    assert part.solid_angle.tobytes() == np.ascontiguousarray(whole.solid_angle[window.slices]).tobytes()
    cells = grid.cell_window(window)
    assert part.cells == cells
    assert part.cell_vectors.tobytes() == np.ascontiguousarray(whole.cell_vectors[:, *cells.slices]).tobytes()


def test_values_beyond_the_grid_and_across_the_seam_are_those_of_the_same_sky() -> None:
    small = grid_of("TAN", binsize=0.25, width=(12, 8))
    large = grid_of("TAN", binsize=0.25, width=(24, 16))
    inner = small.geometry(Window(-16, small.ny + 16, -24, small.nx + 24), margin=True)
    outer = large.geometry(large.full_window)
    np.testing.assert_array_equal(inner.vectors, outer.vectors)
    np.testing.assert_array_equal(inner.solid_angle, outer.solid_angle)

    ring = grid_of("CAR", "galactic", 0, 0, width=(360, 8), binsize=0.5)
    across = ring.geometry(Window(0, ring.ny, -6, 6), margin=True)
    whole = ring.geometry(ring.full_window)
    np.testing.assert_array_equal(across.vectors, whole.vectors[:, :, np.arange(-6, 6)])
    with pytest.raises(ValueError, match="not a part of the grid"):
        ring.geometry(Window(0, ring.ny, -6, 6))


def test_cells_at_the_edge_look_to_the_centre_of_the_pixels_they_have() -> None:
    grid = grid_of("TAN", binsize=0.2, width=(2.6, 1.0), binsize_irf=1.0)
    assert (grid.shape, grid.cell, grid.cells) == ((5, 13), 5, (1, 3))
    geometry = grid.geometry(grid.full_window)
    center = geometry.vectors[:, :, 10:13].sum(axis=(1, 2))
    np.testing.assert_allclose(geometry.cell_vectors[:, 0, 2], center / np.linalg.norm(center), atol=1e-15)


def test_events_are_on_one_pixel_each_and_never_beyond_the_rim() -> None:
    rng = np.random.default_rng(5)
    ra, dec = rng.uniform(0, 360, 40_000), np.degrees(np.arcsin(rng.uniform(-1, 1, 40_000)))
    for proj in ("AIT", "MOL", "CAR"):
        grid = grid_of(proj, "galactic", 0, 0, binsize=1.0, width=(360, 180))
        y, x, inside = grid.pixel_index(ra, dec)
        geometry = grid.geometry(grid.full_window)
        assert geometry.valid[y[inside], x[inside]].all()
        assert inside.all() if proj == "CAR" else inside.mean() > 0.99
        near = (geometry.vectors[:, y[inside], x[inside]] * frames.unit_vectors(ra[inside], dec[inside])).sum(axis=0)
        # distorted pixels at the rim are long, elsewhere an event is within half a diagonal
        assert np.mean(near > np.cos(np.radians(1.0))) > 0.95


def test_the_seam_of_a_ring_loses_no_event() -> None:
    grid = grid_of("CAR", "galactic", 0, 0, width=(360, 8), binsize=0.5)
    ra, dec = frames.to_icrs([180.0, 180.0 - 1e-9, 180.0 + 1e-9], [0.0, 0.0, 0.0], "galactic")
    _, x, inside = grid.pixel_index(ra, dec)
    assert inside.all()
    assert set(x.tolist()) <= {0, grid.nx - 1}
    window = grid.window_around(ra[0], dec[0], 2.0, margin=True)
    assert window.shape[1] < 20
    _, column, inside = grid.index_in(window, *grid.pixel_index(ra, dec)[:2])
    assert inside.all()
    assert np.ptp(column) <= 1


def test_the_far_side_of_a_tangent_plane_is_nowhere() -> None:
    grid = grid_of("TAN", lon=0, lat=0)
    y, x, inside = grid.pixel_index([180.0, np.nan, 0.0, 6.5], [0.0, 0.0, np.nan, 0.0])
    assert not inside.any()
    assert (y[:3] == OFF_SKY).all()
    assert (x[:3] == OFF_SKY).all()
    assert -5 < x[3] < 0, "just outside, columns count on"
    empty = grid.pixel_index([], [])
    assert [part.size for part in empty] == [0, 0, 0]


def test_sizes_follow_the_design() -> None:
    grid = SkyGrid.create(proj="CAR", frame="icrs", lon=-10, lat=1, binsize=0.02, width=8, binsize_irf=0.2)
    assert (grid.shape, grid.cell, grid.chunk, grid.tile, grid.lon) == ((400, 400), 10, 50, 250, 350.0)
    assert grid.tile_shape == (2, 2)
    assert [tile.name for tile in grid.tiles()] == ["y000x000", "y000x001", "y001x000", "y001x001"]
    assert grid.window(grid.tiles()[3]) == Window(250, 400, 250, 400)
    assert grid.cell_window(grid.window(grid.tiles()[3])) == Window(25, 40, 25, 40)
    coarse = grid_of("CAR", binsize=0.5, binsize_irf=0.2)
    assert (coarse.cell, coarse.chunk) == (1, 50)
    odd = grid_of("CAR", binsize=0.02, binsize_irf=0.14, width=3)
    assert (odd.cell, odd.chunk, odd.tile) == (7, 49, 245)


def test_grid_survives_json_pickle_and_its_header() -> None:
    grid = SkyGrid.create(proj="TAN", frame="galactic", lon=320.33 + 1e-13, lat=-1.19 / 3, binsize=0.02, width=(3, 2))
    assert SkyGrid.from_key(json.loads(json.dumps(grid.key()))) == grid
    assert pickle.loads(pickle.dumps(grid)) == grid
    assert hash(SkyGrid.from_key(grid.key())) == hash(grid)
    header = fits.Header.fromstring(grid.header(), sep="\n")
    assert (header["NAXIS2"], header["NAXIS1"]) == grid.shape
    again = WCS(header)
    assert tuple(again.wcs.crval) == (grid.lon, grid.lat)
    assert tuple(again.wcs.cdelt) == (-grid.binsize, grid.binsize)
    np.testing.assert_array_equal(again.wcs.crpix, grid.wcs.wcs.crpix)
    assert again.wcs.ctype[0] == "GLON-TAN"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"proj": "HPX"}, "'HPX', expected one of CAR, TAN, AIT, MOL"),
        ({"frame": "fk5"}, "'fk5', expected one of icrs, galactic"),
        ({"width": 400}, "at most 360 x 180"),
        ({"width": (10, 0)}, "at least a pixel"),
        ({"lat": 91.0}, "91"),
        ({"binsize": -0.1}, "positive"),
        ({"proj": "TAN", "width": 170}, "at most 160"),
    ],
)
def test_refusals_say_what_was_found(changes, message) -> None:
    proj = changes.pop("proj", "CAR")
    with pytest.raises(ValueError, match=message):
        grid_of(proj, **changes)


def test_frames_agree_with_astropy() -> None:
    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(0, 360, 100), rng.uniform(-90, 90, 100)
    sky = SkyCoord(ra, dec, unit="deg")
    lon, lat = frames.from_icrs(ra, dec, "galactic")
    np.testing.assert_allclose(lon, sky.galactic.l.deg, atol=1e-11)
    np.testing.assert_allclose(lat, sky.galactic.b.deg, atol=1e-12)
    back = frames.to_icrs(lon, lat, "galactic")
    np.testing.assert_allclose(frames.separation(ra, dec, *back), 0, atol=1e-12)
    np.testing.assert_allclose(
        frames.separation(ra[:, None], dec[:, None], ra, dec), sky[:, None].separation(sky).deg, atol=1e-12
    )


def test_window_arithmetic() -> None:
    window = Window(-3, 12, 5, 21)
    assert window.shape == (15, 16)
    assert window.snapped(10) == Window(-10, 20, 0, 30)
    assert window.intersection(Window(0, 10, 0, 10)) == Window(0, 10, 5, 10)
    assert window.intersection(Window(20, 30, 0, 10)) is EMPTY
    assert window.grown(2).contains(window)
    assert not window.contains(window.grown(1))
    assert window.relative_to(Window(-10, 20, 0, 30)) == Window(7, 22, 5, 21)


def test_geometry_of_a_tile_is_quick() -> None:
    grid = grid_of("AIT", "galactic", 0, 0, binsize=0.1, width=(60, 60), binsize_irf=1)
    window = Window(0, 250, 0, 250)
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        grid.geometry(window)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.03
