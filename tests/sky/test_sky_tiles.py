"""What a circle covers: the windows hold all of it, the tiles are exactly those it reaches, on both sides of a seam."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from survey.sky import frames
from survey.sky.grid import SkyGrid, Tile, Window
from survey.sky.tiles import tiles_touching, window_with_halo

GRIDS = (
    SkyGrid.create(proj="CAR", frame="icrs", lon=83.6, lat=22, binsize=0.5, width=(60, 40), tile_chunks=1),
    SkyGrid.create(proj="TAN", frame="galactic", lon=320, lat=-1, binsize=0.5, width=(50, 60), tile_chunks=1),
    SkyGrid.create(proj="CAR", frame="galactic", lon=0, lat=0, binsize=1.0, width=(360, 180), tile_chunks=1),
    SkyGrid.create(proj="CAR", frame="icrs", lon=10, lat=0, binsize=0.7, width=(360, 100), tile_chunks=1),
    SkyGrid.create(proj="AIT", frame="galactic", lon=0, lat=0, binsize=1.0, width=(360, 180), tile_chunks=1),
    SkyGrid.create(proj="MOL", frame="icrs", lon=120, lat=0, binsize=1.0, width=(360, 180), tile_chunks=1),
    SkyGrid.create(proj="AIT", frame="icrs", lon=300, lat=-40, binsize=1.0, width=(300, 120), tile_chunks=1),
    SkyGrid.create(proj="CAR", frame="icrs", lon=30, lat=-60, binsize=1.0, width=(200, 100), tile_chunks=1),
)
FULL = {grid: grid.geometry(grid.full_window).vectors for grid in GRIDS}


def within(grid: SkyGrid, ra: float, dec: float, radius: float) -> np.ndarray:
    """Brute force: (ny, nx), whether a pixel centre is within the circle."""
    cosine = np.tensordot(frames.unit_vectors(ra, dec), FULL[grid], 1)
    return cosine >= np.cos(np.radians(radius))


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(GRIDS), st.floats(0, 360), st.floats(-90, 90), st.floats(0.3, 30))
@example(GRIDS[2], 86.4, 28.9, 5.0)
@example(GRIDS[4], 86.4, 28.9, 5.0)
@example(GRIDS[4], 192.86, 27.13, 4.0)
@example(GRIDS[5], 300.0, 0.0, 8.0)
@example(GRIDS[5], 0.0, 90.0, 8.0)
@example(GRIDS[0], 83.6, 22.0, 2.5)
def test_windows_hold_the_circle_and_tiles_are_exactly_those_it_reaches(grid, ra, dec, radius) -> None:
    rows, columns = np.nonzero(within(grid, ra, dec, radius))
    tiles = grid.tiles_near(ra, dec, radius)
    assert tiles == sorted({Tile(int(y) // grid.tile, int(x) // grid.tile) for y, x in zip(rows, columns, strict=True)})

    window = grid.window_around(ra, dec, radius)
    if rows.size:
        assert window.y0 <= rows.min()
        assert window.y1 > rows.max()
        assert window.x0 <= columns.min()
        assert window.x1 > columns.max()
    assert grid.full_window.contains(window)
    assert window.y0 % grid.cell == window.x0 % grid.cell == 0


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(GRIDS[:4]), st.floats(-12, 12), st.floats(-12, 12), st.floats(0.5, 6))
def test_windows_with_margin_hold_the_whole_circle(grid, dy, dx, radius) -> None:
    """A circle at the grid's rim or seam: positions all over it are in the window, on pixels that look there."""
    ra, dec = grid.pixel_to_world(grid.ny / 2 + dy, (grid.nx if grid.is_cyclic else grid.nx * 0.9) + dx - 0.5)
    ra, dec = float(ra), float(dec)
    window = grid.window_around(ra, dec, radius, margin=True)
    rng = np.random.default_rng(3)
    east, angle = rng.uniform(0, 2 * np.pi, 400), radius * np.sqrt(rng.uniform(0, 1, 400))
    around = np.stack([np.cos(np.radians(angle)), *(np.sin(np.radians(angle)) * f(east) for f in (np.cos, np.sin))])
    ra_in, dec_in = frames.positions(frames.basis_to_icrs("icrs", ra, dec) @ around)
    y, x, inside = grid.index_in(window, *grid.pixel_index(ra_in, dec_in)[:2])
    # half a pixel beyond the last centre may fall off the window, which holds centres
    deep = angle < radius - grid.binsize
    assert inside[deep].all()
    vectors, _ = grid.fill(window)
    cosine = (vectors[:, y[inside], x[inside]] * frames.unit_vectors(ra_in, dec_in)[:, inside]).sum(axis=0)
    assert (cosine > np.cos(np.radians(grid.binsize))).all()


def test_a_circle_across_the_seam_is_seen_from_both_sides() -> None:
    grid = GRIDS[2]
    ra, dec = frames.to_icrs(180.0, 0.0, "galactic")
    tiles = grid.tiles_near(float(ra), float(dec), 3.0)
    assert {tile.ix for tile in tiles} == {0, grid.tile_shape[1] - 1}
    assert grid.window_around(float(ra), float(dec), 3.0)[2:] == (0, grid.nx)
    assert grid.window_around(float(ra), float(dec), 3.0, margin=True).shape[1] < 12


@pytest.mark.parametrize("grid", [GRIDS[2], GRIDS[3]])
@pytest.mark.parametrize("lon", [179.2, 180.0, -178.5])
def test_every_pixel_of_a_circle_across_the_seam_is_in_its_window(grid: SkyGrid, lon: float) -> None:
    """Also where 360 degrees are not a whole number of pixels, and the grid comes round without being cyclic."""
    ra, dec = (float(value) for value in frames.to_icrs(grid.lon + lon, 3.0, grid.frame))
    rows, columns = np.nonzero(within(grid, ra, dec, 4.0))
    assert columns.min() < 9
    assert columns.max() > grid.nx - 9
    window = grid.window_around(ra, dec, 4.0, margin=True)
    y, x, inside = grid.index_in(window, rows, columns)
    assert inside.all()
    np.testing.assert_array_equal(grid.fill(window)[0][:, y, x], FULL[grid][:, rows, columns])


def test_a_circle_elsewhere_meets_nothing() -> None:
    grid = GRIDS[0]
    assert grid.tiles_near(263.6, -22.0, 3.0) == []
    assert grid.window_around(263.6, -22.0, 3.0).is_empty


def test_tile_names_go_both_ways_and_others_are_refused() -> None:
    assert Tile(3, 12).name == "y003x012"
    assert Tile.from_name("y003x012") == Tile(3, 12)
    assert Tile.from_name(Tile(1234, 0).name) == Tile(1234, 0)
    with pytest.raises(ValueError, match="expected one like"):
        Tile.from_name("3x12")
    with pytest.raises(ValueError, match="outside the grid"):
        GRIDS[0].window(Tile(9, 9))


def test_tiles_cut_the_grid_without_overlap() -> None:
    for grid in GRIDS:
        times = np.zeros(grid.shape, int)
        for tile in grid.tiles():
            window = grid.window(tile)
            assert isinstance(window, Window)
            times[window.slices] += 1
        assert (times == 1).all()


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(GRIDS), st.data(), st.integers(0, 40))
@example(GRIDS[2], None, 30)
def test_tiles_under_a_window_with_halo_are_those_of_its_pixels(grid, data, halo) -> None:
    tiles = list(grid.tiles())
    chosen = tiles if data is None else [data.draw(st.sampled_from(tiles))]
    for tile in chosen:
        window = window_with_halo(grid, grid.window(tile), halo)
        owners = {
            Tile(y // grid.tile, x % grid.nx // grid.tile)
            for y in range(window.y0, window.y1)
            for x in range(window.x0, window.x1)
        }
        assert tiles_touching(grid, window) == sorted(owners)
        assert tile in owners
