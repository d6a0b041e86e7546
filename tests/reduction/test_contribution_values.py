"""Values of a contribution against their definitions, written out with NumPy."""

from dataclasses import replace

import numpy as np
import pytest
from reduction_cases import AXES, GRID, INSTRUMENT, SETTINGS, center, observation, prepared

from survey.reduction.contribution import BackgroundNorm, contribution
from survey.reduction.prepare import prepare
from survey.response.effective_area import effective_area
from survey.response.psf import annuli
from survey.sky.frames import separation

FULL = GRID.geometry(GRID.full_window)
RA, DEC = FULL.positions


def interpolated(nodes, values, offset):
    """Linear in offset between nodes (o,), zero outside; (..., *offset.shape)."""
    low = np.clip(np.searchsorted(nodes, offset, side="right") - 1, 0, nodes.size - 2)
    weight = (offset - nodes[low]) / (nodes[low + 1] - nodes[low])
    rest = values.reshape(nodes.size, -1).T
    result = (1 - weight) * rest[:, low] + weight * rest[:, low + 1]
    inside = (offset >= nodes[0]) & (offset <= nodes[-1])
    return (result * inside).reshape(*values.shape[1:], *offset.shape)


def by_cell(values):
    """Mean over the pixels that every cell has, of (..., y, x)."""
    size = GRID.cell
    rows = np.add.reduceat(values, np.arange(0, GRID.ny, size), axis=-2)
    total = np.add.reduceat(rows, np.arange(0, GRID.nx, size), axis=-1)
    height = np.add.reduceat(np.ones(GRID.ny), np.arange(0, GRID.ny, size))
    width = np.add.reduceat(np.ones(GRID.nx), np.arange(0, GRID.nx, size))
    return total / (height[:, None] * width)


@pytest.fixture(scope="module")
def one():
    return prepared(1, east=0.4, north=0.3)


@pytest.fixture(scope="module")
def sums(one):
    return contribution(one, FULL, AXES)


def test_exposure_is_area_times_livetime_where_any_bin_is_safe(one, sums):
    offset = separation(RA, DEC, one.ra, one.dec)
    area = interpolated(one.aeff_offset, one.aeff, offset).clip(min=0)
    expected = area * one.livetime * (offset < 2.0)
    np.testing.assert_allclose(sums["exposure"], expected, rtol=1e-7, atol=1)
    assert one.livetime < one.ontime


def test_the_area_is_that_of_the_table(one):
    _, aeff = effective_area(observation(1).responses["aeff"], AXES.energy_true)
    np.testing.assert_array_equal(one.aeff, aeff)


def test_background_is_rate_times_ontime_and_solid_angle(one, sums):
    table = observation(1, east=0.4, north=0.3).responses["bkg"]
    energy, x = table.axis("energy"), table.axis("detx").nodes
    lon, lat = np.radians(RA - one.ra), np.radians(DEC)
    dec = np.radians(one.dec)
    front = np.cos(lat) * np.cos(lon) * np.cos(dec) + np.sin(lat) * np.sin(dec)
    east = np.degrees(np.arctan2(np.cos(lat) * np.sin(lon), front))
    north = np.degrees(np.arcsin(np.sin(lat) * np.cos(dec) - np.cos(lat) * np.cos(lon) * np.sin(dec)))
    # near a node of the table the rate is the table's: DETX grows to the west
    i = np.rint((-east - x[0]) / (x[1] - x[0])).astype(int)
    j = np.rint((north - x[0]) / (x[1] - x[0])).astype(int)
    near = (separation(RA, DEC, one.ra, one.dec) < 1.5) & (
        np.hypot(-east - x[i % x.size], north - x[j % x.size]) < 0.03
    )
    assert near.any()
    values = table.values["BKG"][j[near], i[near]] * 1e6
    fine = np.geomspace(*AXES.energy.edges[2:4], 2000)
    logs = np.log(energy.nodes)
    rate = np.array([np.trapezoid(np.exp(np.interp(np.log(fine), logs, np.log(value))), fine) for value in values])
    expected = rate * one.ontime * FULL.solid_angle[near]
    np.testing.assert_allclose(sums["background"][2][near], expected, rtol=0.03)


def test_cells_hold_mean_exposure_times_the_response_at_their_centres(one, sums):
    ra, dec = FULL.cell_positions
    mean = by_cell(sums["exposure"])
    offset = separation(ra, dec, one.ra, one.dec)
    used = mean.max(axis=0) > 0
    np.testing.assert_allclose(sums["irf_exposure"], mean, rtol=1e-6, atol=1)
    psf = interpolated(one.psf_offset, one.psf, offset)
    np.testing.assert_allclose(sums["psf_exposure"][:, :, used], (mean[:, None] * psf)[:, :, used], rtol=1e-5, atol=3e6)
    edisp = interpolated(one.edisp_offset, one.edisp, offset)
    safe = one.safe_energy[None, :, None]
    np.testing.assert_allclose(
        sums["edisp_exposure"][:, :, used], (mean[:, None] * edisp)[:, :, used] * safe, rtol=1e-5, atol=10
    )


def test_the_ratio_of_the_numerators_is_a_psf(sums):
    seen = sums["irf_exposure"] > 0
    profile = sums["psf_exposure"] / np.where(seen, sums["irf_exposure"], 1.0)[:, None]
    within = np.einsum("trvu,r->tvu", profile, annuli(AXES.rad_edges))[seen]
    assert within.min() > 0.9
    assert within.max() < 1.0001


def test_bins_without_background_are_not_safe_and_mix_cells():
    """A hole in the background takes its pixels out of the dispersion's numerator and out of nothing else."""
    source = observation(1, n_events=4000)
    table = source.responses["bkg"]
    values = np.array(table.values["BKG"])
    nodes = table.axis("detx").nodes
    hole = (np.abs(nodes) < 0.55)[:, None] & (np.abs(nodes) < 0.3)[None, :]
    values[hole, 5:] = 0.0  # from the sixth energy of the table on
    holed = replace(source, responses={**source.responses, "bkg": replace(table, values={"BKG": values})})
    one = prepare(holed, GRID, AXES, SETTINGS)
    sums = contribution(one, FULL, AXES)
    plain = contribution(prepared(1), FULL, AXES)
    assert one.ledger.safe_range > prepared(1, n_events=4000).ledger.safe_range
    lost = (plain["n_safe"] > 0) & (sums["n_safe"] == 0)
    assert lost.any(axis=(1, 2)).sum() >= 2
    assert not lost[:2].any()
    np.testing.assert_array_equal(sums["exposure"], plain["exposure"])
    np.testing.assert_array_equal(sums["psf_exposure"], plain["psf_exposure"])
    # written out: mean of exposure x m
    safe = (sums["n_safe"] > 0).astype(float)
    mean = by_cell(sums["exposure"][:, None] * safe[None])
    ra, dec = FULL.cell_positions
    edisp = interpolated(one.edisp_offset, one.edisp, separation(ra, dec, one.ra, one.dec))
    used = sums["irf_exposure"].max(axis=0) > 0
    np.testing.assert_allclose(sums["edisp_exposure"][:, :, used], (mean * edisp)[:, :, used], rtol=1e-5, atol=10)
    # the mask is the same without a look at the background's values
    alone = contribution(one, FULL, AXES, variables=("n_safe", "edisp_exposure"))
    np.testing.assert_array_equal(alone["n_safe"], sums["n_safe"])
    np.testing.assert_array_equal(alone["edisp_exposure"], sums["edisp_exposure"])
    kept = prepare(holed, GRID, AXES, replace(SETTINGS, mask_invalid_background=False))
    np.testing.assert_array_equal(contribution(kept, FULL, AXES)["n_safe"], plain["n_safe"])


def test_a_pixel_centre_on_the_circle_is_outside():
    grid = replace(GRID, frame="icrs", lon=20.0, lat=0.0, width_x=5.1, width_y=5.1)
    source = observation(1)
    source = replace(source, pointing=replace(source.pointing, ra=20.0, dec=0.0))
    one = prepare(source, grid, AXES, replace(SETTINGS, offset_max=1.5, safe_offset_max=9.0))
    seen = contribution(one, grid.geometry(grid.full_window), AXES)["n_observations"]
    assert seen[25, 25 + 14] == 1
    assert seen[25, 25 + 15] == 0
    assert seen[25 - 15, 25] == 0


def test_a_drift_scan_spreads_exposure_and_background_along_its_way():
    drift = prepared(5, pointing="altaz")
    still = prepared(5)
    assert drift.step_weight.size > 10
    assert drift.step_weight.sum() == pytest.approx(1.0)
    along = np.ptp(np.unwrap(drift.step_ra, period=360)) * np.cos(np.radians(center()[1]))
    assert along == pytest.approx(1600 / 0.95 / 86164 * 360 * np.cos(np.radians(center()[1])), rel=0.1)
    wide = replace(SETTINGS, safe_methods=(), offset_max=7.0, mask_invalid_background=False)
    grid = replace(GRID, width_x=15.0, width_y=15.0)
    geometry = grid.geometry(grid.full_window)
    moved, fixed = (
        contribution(prepare(observation(5, pointing=mode, n_events=30000), grid, AXES, wide), geometry, AXES)
        for mode in ("altaz", "icrs")
    )
    assert moved["exposure"].max() < 0.95 * fixed["exposure"].max()
    # the whole way is on the grid: the sums are those of the fixed pointing
    for name in ("exposure", "background"):
        totals = [sums[name].sum(axis=(1, 2)) for sums in (moved, fixed)]
        np.testing.assert_allclose(*totals, rtol=0.01)
    psf = [np.einsum("trvu,r->t", sums["psf_exposure"], annuli(AXES.rad_edges)) for sums in (moved, fixed)]
    np.testing.assert_allclose(*psf, rtol=0.01)
    # and the events follow the background
    both = moved["counts"].sum(axis=0) + 0.0, moved["background"].sum(axis=0)
    columns = np.arange(grid.nx)
    centroids = [np.average(columns, weights=image.sum(axis=0)) for image in both]
    spread = [np.sqrt(np.average((columns - centroids[1]) ** 2, weights=image.sum(axis=0))) for image in both]
    assert centroids[0] == pytest.approx(centroids[1], abs=1.0)
    assert spread[0] == pytest.approx(spread[1], rel=0.05)
    assert not still.pointing_moves


def test_the_norm_may_be_given_by_identity(one, sums):
    scaled = contribution(one, FULL, AXES, norm=BackgroundNorm(2.0), variables=("background",))
    np.testing.assert_allclose(scaled["background"], 2 * sums["background"], atol=1e-7)
    assert INSTRUMENT.lo_thres == pytest.approx(one.energy_min)
