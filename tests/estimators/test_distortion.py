"""Grids whose pixels differ are refused for maps that are convolved."""

import pytest

from survey.estimators.distortion import check_distortion, pixel_distortion
from survey.sky.grid import SkyGrid


def grid(proj, width, lat=0.0, binsize=0.1, frame="galactic"):
    return SkyGrid.create(proj=proj, frame=frame, lon=320.0, lat=lat, binsize=binsize, width=width)


@pytest.mark.parametrize(
    ("proj", "width", "lat"),
    [("TAN", (8, 8), -59), ("CAR", (8, 8), -59), ("CAR", (200, 7), 0), ("TAN", (20, 5), 30), ("AIT", (5, 5), 0)],
)
def test_fields_and_planes_are_fine(proj, width, lat):
    check_distortion(grid(proj, width, lat))


@pytest.mark.parametrize("binsize", [0.1, 0.11, 0.07, 0.13])
def test_a_plane_that_comes_round_is_fine(binsize):
    """Also where its last columns end a little beyond 360 degrees."""
    check_distortion(grid("CAR", (360, 7), binsize=binsize))


@pytest.mark.parametrize(
    ("proj", "width", "words"),
    [
        ("AIT", (360, 180), "parts without sky"),
        ("MOL", (360, 180), "parts without sky"),
        ("AIT", (120, 60), "off their nominal size"),
        ("CAR", (60, 60), "off their nominal size"),
        ("TAN", (60, 60), "off their nominal size"),
    ],
)
def test_distorted_grids_are_refused_in_words(proj, width, words):
    with pytest.raises(ValueError, match=f"the {proj} grid of {width[0]} x {width[1]} deg has .*{words}"):
        check_distortion(grid(proj, width, binsize=0.5))


def test_distortion_grows_from_the_reference_point():
    distortion = pixel_distortion(grid("TAN", (20, 20)))
    assert distortion[8, 8] < 1e-4
    assert distortion.max() == distortion[0, 0] == pytest.approx(0.06, abs=0.02)
