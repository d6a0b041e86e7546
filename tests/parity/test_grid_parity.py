"""Pixels beside Gammapy 2.1: an event lands in the same pixel on every projection, frame and width."""

from __future__ import annotations

import ast

import numpy as np
import pytest

from survey.sky.energy import EnergyAxis
from survey.sky.grid import SkyGrid


@pytest.fixture(scope="module")
def dump(peer):
    """What the peer's grids gave."""
    with np.load(peer("peer_grid.py") / "grid.npz") as archive:
        return dict(archive)


@pytest.fixture(params=range(13))
def grid(request, dump) -> tuple[int, SkyGrid]:
    """A grid as the peer's of that number."""
    proj, frame, lon, lat, width_x, width_y, binsize = ast.literal_eval(str(dump["grids"]))[request.param]
    made = SkyGrid.create(proj=proj, frame=frame, lon=lon, lat=lat, binsize=binsize, width=(width_x, width_y))
    return request.param, made


def test_positions_fall_on_the_same_pixels(dump, grid) -> None:
    """But for the rim of the ellipses: there the peer counts on pixels whose centre is not on the sky."""
    number, ours = grid
    assert ours.shape == tuple(dump[f"{number}_shape"])
    y, x, inside = ours.pixel_index(dump[f"{number}_ra"], dump[f"{number}_dec"])
    theirs_y, theirs_x = dump[f"{number}_y"], dump[f"{number}_x"]
    theirs = (theirs_y >= 0) & (theirs_x >= 0)
    np.testing.assert_array_equal(y[inside], theirs_y[inside])
    np.testing.assert_array_equal(x[inside], theirs_x[inside])
    more = theirs & ~inside
    valid = ours.geometry(ours.full_window).valid
    assert not valid[theirs_y[more], theirs_x[more]].any()
    if ours.proj in ("CAR", "TAN"):
        np.testing.assert_array_equal(inside, theirs)


def test_solid_angles_agree_on_most_pixels(dump, grid) -> None:
    """In the median: the peer takes plane triangles, which are per cents off on sheared pixels and at poles."""
    number, ours = grid
    theirs = dump[f"{number}_solid_angle"]
    geometry = ours.geometry(ours.full_window)
    good = geometry.valid & np.isfinite(theirs) & (theirs > 0)
    assert abs(np.median(geometry.solid_angle[good] / theirs[good]) - 1) < 1.5e-4


def test_edges_of_energy_axes_are_the_same_to_the_last_bit(dump) -> None:
    for number, (low, high, nbin) in enumerate(ast.literal_eval(str(dump["axes"]))):
        np.testing.assert_array_equal(EnergyAxis.from_bounds("energy", low, high, nbin).edges, dump[f"axis{number}"])
