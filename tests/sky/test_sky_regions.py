"""Exclusion: shapes on the sphere, masks, files; what is refused says where, what was found, what was expected."""

import gzip

import astropy.units as u
import numpy as np
import pytest
import regions
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from survey.sky.frames import from_icrs, separation
from survey.sky.grid import SkyGrid
from survey.sky.regions import ExclusionSpec, exclusion_mask

GRID = SkyGrid.create(proj="TAN", frame="icrs", lon=83.6, lat=22.0, binsize=0.05, width=(6, 5), binsize_irf=0.2)
GALACTIC = SkyGrid.create(proj="CAR", frame="galactic", lon=0, lat=0, binsize=0.5, width=(360, 60), binsize_irf=2)


def mask(grid: SkyGrid, exclusion) -> np.ndarray:
    return exclusion_mask(grid.geometry(grid.full_window), exclusion)


def test_nothing_is_excluded_without_exclusion() -> None:
    assert not mask(GRID, None).any()


@pytest.mark.parametrize("grid", [GRID, GALACTIC], ids=["tan", "ring"])
def test_circle_is_the_angular_distance(grid: SkyGrid) -> None:
    ra, dec = (84.0, 22.5) if grid is GRID else (266.4, -29.0)
    ra_pix, dec_pix = grid.geometry(grid.full_window).positions
    expected = separation(ra_pix, dec_pix, ra, dec) <= 1.1
    assert expected.sum() > 10
    for region in (
        f"icrs;circle({ra},{dec},1.1)",
        {"type": "circle", "frame": "icrs", "lon": ra, "lat": dec, "radius": 1.1},
        {"shape": "circle", "frame": "icrs", "lon": f"{ra} deg", "lat": f"{dec} deg", "radius": "66 arcmin"},
    ):
        np.testing.assert_array_equal(mask(grid, [region]), expected)


def test_a_circle_across_the_seam_excludes_both_sides() -> None:
    found = mask(GALACTIC, ["galactic;circle(180,0,3)"])
    assert found[:, 0].any()
    assert found[:, -1].any()
    lon, lat = from_icrs(*GALACTIC.geometry(GALACTIC.full_window).positions, "galactic")
    np.testing.assert_array_equal(found, separation(lon, lat, 180, 0) <= 3)


def test_annulus_is_what_lies_between_two_circles() -> None:
    large, small = mask(GRID, ["icrs;circle(83.6,22,1)"]), mask(GRID, ["icrs;circle(83.6,22,0.5)"])
    np.testing.assert_array_equal(mask(GRID, ["icrs;annulus(83.6,22,0.5,1)"]), large & ~small)
    values = {"type": "annulus", "frame": "icrs", "lon": 83.6, "lat": 22, "inner_radius": 0.5, "outer_radius": 1}
    np.testing.assert_array_equal(mask(GRID, [values]), large & ~small)


CENTER = SkyCoord(83.6, 22.0, unit="deg")
SHAPES = [
    regions.EllipseSkyRegion(CENTER, 2 * u.deg, 0.8 * u.deg, 30 * u.deg),
    regions.RectangleSkyRegion(CENTER, 2 * u.deg, 0.8 * u.deg, -20 * u.deg),
    regions.EllipseAnnulusSkyRegion(CENTER, 1 * u.deg, 2 * u.deg, 0.5 * u.deg, 1 * u.deg, 70 * u.deg),
    regions.RectangleAnnulusSkyRegion(CENTER, 1 * u.deg, 2 * u.deg, 0.5 * u.deg, 1 * u.deg, 10 * u.deg),
    regions.RectangleSkyRegion(CENTER.galactic, 2 * u.deg, 0.8 * u.deg, 15 * u.deg),
    regions.PolygonSkyRegion(SkyCoord([82.5, 84.5, 84.0, 83.2], [21.0, 21.3, 23.1, 22.0], unit="deg")),
]


@pytest.mark.parametrize("region", SHAPES, ids=lambda region: type(region).__name__)
def test_shapes_are_those_of_the_regions_package(region, tmp_path) -> None:
    """In its tangent plane at the shape's own centre, up to pixels on the outline."""
    frame = "galactic" if "center" in dir(region) and region.center.frame.name == "galactic" else "icrs"
    plane = SkyGrid.create(proj="TAN", frame=frame, **_lonlat(frame), binsize=0.02, width=4)
    geometry = plane.geometry(plane.full_window)
    ra, dec = geometry.positions
    expected = region.contains(SkyCoord(ra, dec, unit="deg"), plane.wcs)
    path = tmp_path / "excluded.reg"
    regions.Regions([region]).write(path, format="ds9")
    found = exclusion_mask(geometry, str(path))
    assert 300 < expected.sum() < 0.9 * expected.size
    assert (found != expected).sum() < 0.02 * expected.sum()


def _lonlat(frame: str) -> dict[str, float]:
    if frame == "icrs":
        return {"lon": 83.6, "lat": 22.0}
    return {"lon": float(CENTER.galactic.l.deg), "lat": float(CENTER.galactic.b.deg)}


def test_inline_ellipse_and_rectangle_are_those_of_ds9() -> None:
    common = {"frame": "icrs", "lon": 83.6, "lat": 22, "width": 2, "height": 1, "angle": 40}
    # DS9 writes semi-axes of an ellipse
    np.testing.assert_array_equal(
        mask(GRID, [{"type": "ellipse", **common}]), mask(GRID, ["icrs;ellipse(83.6,22,1,0.5,40)"])
    )
    np.testing.assert_array_equal(
        mask(GRID, [{"type": "rectangle", **common}]), mask(GRID, ["icrs;box(83.6,22,2,1,40)"])
    )
    assert not np.array_equal(
        mask(GRID, [{"type": "rectangle", **common}]), mask(GRID, [{"type": "rectangle", **common, "angle": 0}])
    )


def test_several_regions_add_up_and_a_minus_cuts_a_hole(tmp_path) -> None:
    path = tmp_path / "excluded.reg"
    path.write_text("# Region file\nfk5\n-circle(83.6,22,0.3)\ncircle(83.6,22,1)\ntext(83,22) # text={a label}\n")
    ra, dec = GRID.geometry(GRID.full_window).positions
    away = separation(ra, dec, 83.6, 22.0)
    found = mask(GRID, str(path))
    unsure = (np.abs(away - 1) < 1e-4) | (np.abs(away - 0.3) < 1e-4)
    np.testing.assert_array_equal(found | unsure, ((away <= 1) & (away > 0.3)) | unsure)
    two = mask(GRID, ["icrs;circle(83,22,0.3)", "icrs;circle(84.5,22,0.3)"])
    np.testing.assert_array_equal(
        two, mask(GRID, ["icrs;circle(83,22,0.3)"]) | mask(GRID, ["icrs;circle(84.5,22,0.3)"])
    )


@pytest.mark.parametrize("suffix", ["fits", "fits.gz"])
def test_fits_mask_keeps_ones_and_everything_outside_it(tmp_path, suffix: str) -> None:
    small = SkyGrid.create(proj="CAR", frame="galactic", lon=184.6, lat=-5.8, binsize=0.1, width=2)
    keep = np.ones(small.shape, dtype=np.int16)
    keep[5:9, 3:12] = 0
    path = tmp_path / f"mask.{suffix}"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(keep[np.newaxis], _three_axes(small))]).writeto(path)
    y, x, inside = small.pixel_index(*GRID.geometry(GRID.full_window).positions)
    expected = np.zeros(GRID.shape, dtype=bool)
    expected[inside] = keep[y[inside], x[inside]] == 0
    assert expected.any()
    np.testing.assert_array_equal(mask(GRID, str(path)), expected)


def _three_axes(grid: SkyGrid) -> fits.Header:
    header = grid.fits_header()
    header["NAXIS"] = 3
    header.insert("NAXIS2", ("NAXIS3", 1), after=True)
    return header


def test_mask_of_the_whole_sky_that_starts_at_longitude_zero(tmp_path) -> None:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "GLON-CAR", "GLAT-CAR"
    wcs.wcs.crpix, wcs.wcs.crval, wcs.wcs.cdelt = (0.5, 90.5), (0.0, 0.0), (1.0, 1.0)
    keep = np.ones((180, 360), dtype=np.uint8)
    keep[:, 350:] = 0
    path = tmp_path / "mask.fits"
    fits.PrimaryHDU(keep, wcs.to_header()).writeto(path)
    lon, _ = from_icrs(*GALACTIC.geometry(GALACTIC.full_window).positions, "galactic")
    np.testing.assert_array_equal(mask(GALACTIC, str(path)), lon >= 350)


def test_key_is_that_of_the_content_not_of_the_place(tmp_path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.reg").write_text("icrs;circle(83.6,22,1)")
    first, second = (ExclusionSpec(path=str(tmp_path / folder / "x.reg")) for folder in ("a", "b"))
    assert first.content_key() == second.content_key()
    before = mask(GRID, first)
    (tmp_path / "a" / "x.reg").write_text("icrs;circle(83.6,22,0.55)")
    assert first.content_key() != second.content_key()
    assert mask(GRID, first).sum() < before.sum(), "a changed file is read again"
    inline = ExclusionSpec(regions=("icrs;circle(83.6,22,1)", {"type": "circle", "frame": "icrs", "lon": 1, "lat": 2}))
    assert ExclusionSpec.from_dict(inline.as_dict()).content_key() == inline.content_key()


def test_a_window_is_a_cut_of_the_whole() -> None:
    exclusion = ["icrs;circle(83.6,22,1)", "icrs;ellipse(84,22,1,0.5,40)", "icrs;polygon(82,21,83,21,82.5,22)"]
    whole = mask(GRID, exclusion)
    window = GRID.window_around(83.0, 21.6, 1.0)
    np.testing.assert_array_equal(exclusion_mask(GRID.geometry(window), exclusion), whole[window.slices])


@pytest.mark.parametrize(
    ("exclusion", "message"),
    [
        (["galactic;circle(0,0"], "exclusion region 0 'galactic;circle\\(0,0'"),
        (["icrs;circle(83,22,1)", "icrs;panda(83,22,0,90,1,1,2,1)"], "exclusion region 1"),
        (["image;circle(10,10,5)"], "in pixels, expected a region in a sky frame"),
        (["icrs;point(83,22)"], "has no area"),
        (["icrs;circle(83,22,-1)"], "exclusion region 0"),
        ([{"type": "star", "frame": "icrs", "lon": 1, "lat": 2}], "shape 'star', expected one of circle, annulus"),
        ([{"frame": "icrs", "lon": 1, "lat": 2}], "circle with frame, lat, lon, expected frame, lat, lon, radius"),
        ([{"frame": "icrs", "lon": 1, "lat": 2, "radius": "wide"}], "radius: 'wide' .*, expected an angle"),
        (
            [{"frame": "icrs", "lon": 1, "lat": 2, "radius": 0}],
            "exclusion region 0: 'radius' must be strictly positive",
        ),
        ([{"frame": "icrs", "lon": 1, "lat": 92, "radius": 1}], "exclusion region 0"),
        ([{"frame": "moon", "lon": 1, "lat": 2, "radius": 1}], "exclusion region 0"),
        ("missing.fits", "exclusion missing.fits: there is no such file"),
    ],
)
def test_refusals_name_the_region_and_what_was_expected(exclusion, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mask(GRID, exclusion)


def test_all_bad_regions_are_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"region 0.*\n.*region 2"):
        mask(GRID, ["icrs;point(83,22)", "icrs;circle(83,22,1)", "image;circle(1,1,1)"])


def test_files_that_are_neither_masks_nor_regions_are_refused(tmp_path) -> None:
    def written(name: str, content: bytes) -> str:
        (tmp_path / name).write_bytes(content)
        return str(tmp_path / name)

    with pytest.raises(ValueError, match="neither FITS nor text"):
        mask(GRID, written("a.reg", b"\xff\xfe\x00binary"))
    with pytest.raises(ValueError, match="found no region"):
        mask(GRID, written("b.reg", b"# nothing\n"))
    with pytest.raises(ValueError, match="not readable as FITS"):
        mask(GRID, written("c.fits", b"SIMPLE but no more"))
    with pytest.raises(ValueError, match="not readable as a gzipped file"):
        mask(GRID, written("d.fits.gz", gzip.compress(b"cut short")[:-9]))
    with pytest.raises(ValueError, match="found no region"):
        mask(GRID, written("e.reg.gz", gzip.compress(b"# nothing")))
    flat = fits.PrimaryHDU(np.ones((4, 4)))
    flat.writeto(tmp_path / "d.fits")
    with pytest.raises(ValueError, match="no celestial WCS"):
        mask(GRID, str(tmp_path / "d.fits"))
    cube = fits.PrimaryHDU(np.ones((2, *GRID.shape)), GRID.fits_header())
    cube.writeto(tmp_path / "e.fits")
    with pytest.raises(ValueError, match="expected one image"):
        mask(GRID, str(tmp_path / "e.fits"))
    with pytest.raises(ValueError, match="found neither of a file and regions"):
        ExclusionSpec()
