"""DL3 to DL4 beside Gammapy 2.1, observation by observation: counts, exposure, background, norms, PSF, dispersion.

The peer's sums over observations are not used where thresholds differ (see docs/parity.md); its background is
integrated with ``background_oversampling=10``.
"""

from __future__ import annotations

import numpy as np
import parity_ours as ours
import pytest
from parity_fields import FIELDS
from parity_windows import blocks, crop, load_dump

from survey.reduction.background_fit import field_of_view, field_of_view_totals, fit_background
from survey.sky.regions import ExclusionSpec, exclusion_mask

RUNS = [(name, obs_id) for name, field in FIELDS.items() for obs_id in field.obs_ids]


@pytest.fixture(scope="module")
def dumps(peer):
    """Folder of the peer's reductions."""
    return peer("peer_reduction.py")


@pytest.fixture(scope="module", params=RUNS, ids=[f"{name}-{obs_id}" for name, obs_id in RUNS])
def run(request, dumps, data):
    """One observation: field, the peer's dump, ours, and its window."""
    name, obs_id = request.param
    field = FIELDS[name]
    dump = load_dump(dumps / f"{name}-{obs_id}.npz")
    prepared = ours.prepared(field, ours.read(data, obs_id))
    window, variables = ours.of_observation(field, prepared)
    return field, dump, prepared, window, variables


def test_bins_are_the_same(run):
    """Energy edges to the last bit: an event on an edge lands alike."""
    field, dump, *_ = run
    np.testing.assert_array_equal(ours.axes(field).energy.edges, dump["energy_edges"])
    np.testing.assert_array_equal(ours.axes(field).energy_true.edges, dump["energy_true_edges"])


def test_times(run):
    """Livetime and ontime."""
    _, dump, prepared, *_ = run
    np.testing.assert_allclose(prepared.livetime, dump["livetime"], rtol=1e-6)
    np.testing.assert_allclose(prepared.ontime, dump["ontime"], rtol=1e-6)


def test_safe_range(run):
    """The mask of every bin and pixel, but for bins in which the table of the background is empty.

    The peer's maker fills those by interpolation (``background_interp_missing_data``) and opens them; here an empty bin
    stays empty, and a bin without background is not safe. They are in the last bins of energy, and hold next to nothing.
    """
    _, dump, _, window, variables = run
    found = crop(window, variables["n_safe"], dump) > 0
    assert np.asarray(variables["n_safe"]).sum() == found.sum()
    assert not np.any(found & ~dump["safe"])
    closed = dump["safe"] & ~found
    assert not closed[:20].any()
    assert closed.mean() < 1e-2
    assert dump["background"][closed].sum() < 1e-4 * dump["background_sum"].sum()


def test_counts_are_identical(run):
    """In every bin of the safe range, and nothing anywhere else."""
    _, dump, prepared, window, variables = run
    expected = np.zeros(dump["shape"], dtype=np.int64)
    expected[tuple(dump["counts_index"])] = dump["counts"]
    expected[~dump["safe"]] = 0
    np.testing.assert_array_equal(crop(window, variables["counts"], dump), expected)
    assert variables["counts"].sum() == expected.sum() == prepared.n_in_cube == prepared.ledger.in_cube


def test_exposure(run):
    """Within 0.5 % at bin centres, where it is above 1 % of its peak."""
    _, dump, _, window, variables = run
    expected = dump["exposure"]
    where = (expected > 0.01 * expected.max()) & dump["safe"].any(axis=0)
    found = crop(window, variables["exposure"], dump)
    np.testing.assert_allclose(found[where], expected[where], rtol=0.005)


def test_background_by_energy(run):
    """Before normalisation: within 1 % in every bin of energy."""
    _, dump, _, _, variables = run
    expected = dump["background_sum"]
    found = variables["background"].sum(axis=(1, 2))
    np.testing.assert_allclose(found, expected, rtol=0.01)


@pytest.mark.parametrize("size", [1, 5], ids=["0.02-deg", "0.1-deg"])
def test_background_by_pixel(run, size):
    """Before normalisation: within 2 % in every pixel above 0.1 counts, in all energies together and in each.

    In pixels of 0.1 degree too, since those of 0.02 degree mostly hold less.
    """
    _, dump, _, window, variables = run
    expected = np.where(dump["safe"], dump["background"], 0).astype(float)
    found = crop(window, variables["background"], dump)
    compared = 0
    for one, other in [*zip(found, expected, strict=True), (found.sum(axis=0), expected.sum(axis=0))]:
        one, other = blocks(one, size), blocks(other, size)
        where = other > 0.1
        compared += np.count_nonzero(where)
        np.testing.assert_allclose(one[where], other[where], rtol=0.02)
    assert compared > 1000 or size == 1


def r68_and_rows(run):
    """Ratios of our numerators at the peer's cells, with the exposure there."""
    field, dump, _, window, variables = run
    cell = ours.grid(field).cell
    y, x = dump["cells"] - np.array([[window.y0 // cell], [window.x0 // cell]])
    exposure = variables["irf_exposure"]
    inside = (y >= 0) & (x >= 0) & (y < exposure.shape[1]) & (x < exposure.shape[2])
    y, x = y[inside], x[inside]
    return dump, inside, y, x, exposure[:, y, x]


def test_psf_radius(run):
    """68 % radius at the centres of response cells: within 2 % where there is exposure.

    Below 1e-3 of the peak exposure the H.E.S.S. tables of the outermost offset hold a third of a PSF or none; the peer
    normalises after interpolating between offsets, we keep what the table says.
    """
    *_, variables = run
    dump, inside, y, x, exposure = r68_and_rows(run)
    with np.errstate(invalid="ignore", divide="ignore"):
        psf = variables["psf_exposure"][:, :, y, x] / exposure[:, None]
    radius = ours.containment_radius(np.moveaxis(psf, 1, -1))
    expected = dump["psf_r68"][:, inside]
    where = exposure > 1e-3 * exposure.max()
    assert where.sum() > 1000
    np.testing.assert_allclose(radius[where], expected[where], rtol=0.02)


def test_dispersion_rows(run):
    """Sum of absolute differences of every row within 1 %, where there is exposure.

    Over the bins that are safe in all pixels of a cell that are in the field of view: our numerators hold the safe
    range, a bin that is not safe holds nothing. Below 1e-6 of the peak the exposure is a few quanta, and rows show it.
    """
    field, _, prepared, window, variables = run
    dump, inside, y, x, exposure = r68_and_rows(run)
    with np.errstate(invalid="ignore", divide="ignore"):
        rows = variables["edisp_exposure"][:, :, y, x] / exposure[:, None]
    safe, any_safe = variables["n_safe"], variables["n_observations"]
    cell = ours.grid(field).cell
    whole = np.array([blocks(layer, cell) for layer in safe]) == blocks(any_safe, cell)
    assert window.shape[0] % cell == window.shape[1] % cell == 0
    difference = np.where(whole[:, y, x], np.abs(rows - dump["edisp"][:, :, inside]), 0).sum(axis=1)
    where = exposure > 1e-6 * exposure.max()
    assert where.sum() > 1000
    assert difference[where].max() < 0.01
    assert not np.nan_to_num(rows)[:, ~prepared.safe_energy].any()


@pytest.fixture(scope="module")
def totals(run):
    """Counts and background outside the exclusion, on the whole field of view."""
    field, _, prepared, *_ = run
    pixels = ours.grid(field)
    geometry = field_of_view(prepared, pixels)
    excluded = exclusion_mask(geometry, ExclusionSpec(regions=ours.exclusion(field)))
    return field_of_view_totals(prepared, pixels, ours.axes(field), geometry, excluded)


@pytest.mark.parametrize("method", ["scale", "fit"])
def test_norms(run, totals, method):
    """Norms within 0.5 % (all these runs lie wholly on their grids), errors too."""
    field, dump, *_ = run
    fit = fit_background(totals, ours.axes(field), method=method)
    assert fit.ok
    np.testing.assert_allclose(fit.norm, dump[f"norm_{method}"], rtol=0.005)
    np.testing.assert_allclose(fit.norm_err, dump[f"norm_{method}_error"], rtol=0.02)


def test_tilts(run, totals):
    """Norm and tilt together: within a fiftieth of their errors and 0.5 %."""
    field, dump, *_ = run
    fit = fit_background(totals, ours.axes(field), method="fit", tilt=True)
    np.testing.assert_allclose(fit.norm, dump["norm_tilt"], rtol=0.005)
    np.testing.assert_allclose(fit.tilt, dump["tilt"], atol=0.05 * float(dump["tilt_error"]))
    np.testing.assert_allclose(fit.tilt_err, dump["tilt_error"], rtol=0.05)
