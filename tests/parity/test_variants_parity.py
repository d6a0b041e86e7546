"""Other kinds of responses beside Gammapy 2.1: one Crab run with its own exchanged.

Backgrounds: lopsided 3D tables aligned with RADEC, with ALTAZ (the field rotates by 9 degrees in this run) and with the
reversed longitude of early H.E.S.S. files; a 2D table. PSF: King and 3-Gaussian. All of CTA Prod5.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import parity_ours as ours
import pytest
from parity_fields import LOPSIDED, PROD5_FILE, VARIANTS
from parity_windows import blocks, crop, load_dump

from survey.response.table import ResponseAxis, ResponseTable


@pytest.fixture(scope="module")
def dumps(peer):
    """Folder of the peer's reductions."""
    return peer("peer_variants.py")


def lopsided(table: ResponseTable, alignment: str) -> ResponseTable:
    """The background times a plane, said to be aligned otherwise."""
    slopes = {"energy": 0.0, "detx": LOPSIDED[0], "dety": LOPSIDED[1]}
    weight = np.ones(())
    for axis in table.axes:
        weight = np.add.outer(weight, slopes[axis.name] * axis.nodes)
    metadata = {**table.metadata, "FOVALIGN": alignment}
    return replace(table, values={"BKG": table.values["BKG"] * weight}, metadata=metadata)


def radial(folder) -> ResponseTable:
    """The peer's 2D background."""
    with np.load(folder / "background_2d_table.npz") as archive:
        energy, offset = archive["energy_edges"], archive["offset_edges"]
        return ResponseTable(
            "bkg_2d",
            (ResponseAxis("energy", energy[:-1], energy[1:]), ResponseAxis("offset", offset[:-1], offset[1:])),
            {"BKG": archive["values"]},
            {"BKG": "s-1 MeV-1 sr-1"},
        )


def altered(name, observation, folder, data):
    """`observation` with the responses of a variant."""
    responses = dict(observation.responses)
    alignments = {
        "background_radec": "RADEC",
        "background_altaz": "ALTAZ",
        "background_reversed": "REVERSE_LON_RADEC",
    }
    if name in alignments:
        responses["bkg"] = lopsided(responses["bkg"], alignments[name])
    elif name == "background_2d":
        responses["bkg"] = radial(folder)
    elif name == "king":
        responses["psf"] = ours.response_file(data / "tests" / "hess_psf_king_023523.fits.gz", "psf")
    elif name == "prod5":
        path = data / "cta-caldb" / PROD5_FILE
        responses = {kind: ours.response_file(path, kind) for kind in ("aeff", "edisp", "psf", "bkg")}
    # By the writer of the file our reader's rule for reversed longitudes would apply to the RADEC variant.
    metadata = {**observation.metadata, "CREATOR": "tests"} if name in alignments else observation.metadata
    return replace(observation, responses=responses, metadata=metadata)


@pytest.fixture(scope="module")
def tables():
    """Backgrounds of the variants seen so far."""
    return {}


@pytest.fixture(scope="module", params=list(VARIANTS))
def variant(request, dumps, data, tables):
    """Name, the peer's dump, our window and variables, our prepared observation."""
    field = VARIANTS[request.param]
    observation = altered(request.param, ours.read(data, field.obs_ids[0]), dumps, data)
    # A quarter of a degree: the peer is asked for a tenth, so that neither side's steps show.
    prepared = ours.prepared(field, observation, rotation_step=0.25)
    window, variables = ours.of_observation(field, prepared)
    tables[request.param] = observation.responses["bkg"]
    return request.param, load_dump(dumps / f"{request.param}.npz"), window, variables, prepared


def test_exposure(variant):
    """Within 0.5 %, where it is above 1 % of its peak."""
    _, dump, window, variables, _ = variant
    expected = dump["exposure"]
    where = (expected > 0.01 * expected.max()) & dump["safe"].any(axis=0)
    np.testing.assert_allclose(crop(window, variables["exposure"], dump)[where], expected[where], rtol=0.005)


def near_empty(table, edges):
    """Bins of energy whose background is interpolated from a bin of the table that is empty somewhere in the field."""
    order = [axis.name for axis in table.axes]
    squares = np.zeros(())
    for axis in table.axes:
        squares = np.add.outer(squares, 0 * axis.nodes if axis.name == "energy" else axis.nodes**2)
    empty = np.moveaxis((table.values["BKG"] == 0) & (squares < 2.5**2), order.index("energy"), 0)
    empty = empty.reshape(table.axis("energy").size, -1).any(axis=1)
    nodes = table.axis("energy").nodes
    lows = np.searchsorted(nodes, edges[:-1], side="right") - 1
    highs = np.searchsorted(nodes, edges[1:], side="left")
    return np.array([empty[max(low, 0) : high + 1].any() for low, high in zip(lows, highs, strict=True)])


def test_background_by_energy(variant, tables):
    """Within 1 % in every bin of energy.

    There is no threshold here, so that the lowest and highest bins reach into bins of the table that are empty: the peer
    fills those (``background_interp_missing_data``), here they stay empty. Such bins hold little, and differ by little.
    """
    name, dump, _, variables, _ = variant
    found, expected = variables["background"].sum(axis=(1, 2)), dump["background_sum"]
    exempt = near_empty(tables[name], dump["energy_edges"])
    assert exempt.sum() <= 8
    np.testing.assert_allclose(found[~exempt], expected[~exempt], rtol=0.01)
    assert np.abs(found - expected)[exempt].max(initial=0) < 1e-3 * expected.sum()


def test_background_by_pixel(variant):
    """Within 2 % in every pixel above 0.1 counts."""
    _, dump, window, variables, _ = variant
    expected = np.where(dump["safe"], dump["background"], 0).astype(float)
    found = crop(window, variables["background"], dump)
    where = expected > 0.1
    assert where.sum() > 1000
    np.testing.assert_allclose(found[where], expected[where], rtol=0.02)


def test_alignments_differ(dumps):
    """The lopsided backgrounds are told apart by what is compared: a wrong sign would be far outside."""
    dumped = {
        name: load_dump(dumps / f"{name}.npz")["background"].sum(axis=0)
        for name in ("background_radec", "background_altaz", "background_reversed")
    }
    for one, other in (("radec", "altaz"), ("radec", "reversed"), ("altaz", "reversed")):
        first, second = dumped[f"background_{one}"], dumped[f"background_{other}"]
        assert np.max(np.abs(first - second)[second > 0.1] / second[second > 0.1]) > 0.2


def test_psf_radius(variant):
    """68 % radius within 2 % where there is exposure.

    The King table ends at 79.6 TeV, the effective area of the same run does not: beyond it the peer extrapolates the
    parameters along a straight line, here they stay as they are at the end.
    """
    name, dump, window, variables, _ = variant
    cell = ours.grid(VARIANTS[variant[0]]).cell
    y, x = dump["cells"] - np.array([[window.y0 // cell], [window.x0 // cell]])
    exposure = variables["irf_exposure"][:, y, x]
    with np.errstate(invalid="ignore", divide="ignore"):
        psf = variables["psf_exposure"][:, :, y, x] / exposure[:, None]
    where = exposure > 1e-3 * exposure.max()
    if name == "king":
        where &= (np.sqrt(dump["energy_true_edges"][1:] * dump["energy_true_edges"][:-1]) < 79.6)[:, None]
    assert where.sum() > 1000
    radius = ours.containment_radius(np.moveaxis(psf, 1, -1))
    np.testing.assert_allclose(radius[where], dump["psf_r68"][where], rtol=0.02)


def test_dispersion_rows(variant):
    """Sum of absolute differences of every row within 1 % where there is exposure.

    Prod5 has an effective area, but no dispersion, at 129 TeV near the axis: a row of zeros for the peer, with which such
    photons vanish; here it is the row of the nearest offset that has one.
    """
    _, dump, window, variables, _ = variant
    cell = ours.grid(VARIANTS[variant[0]]).cell
    y, x = dump["cells"] - np.array([[window.y0 // cell], [window.x0 // cell]])
    exposure = variables["irf_exposure"][:, y, x]
    with np.errstate(invalid="ignore", divide="ignore"):
        rows = variables["edisp_exposure"][:, :, y, x] / exposure[:, None]
    safe = np.array([blocks(layer, cell) for layer in variables["n_safe"]])
    whole = (safe == blocks(variables["n_observations"], cell))[:, y, x]
    difference = np.where(whole, np.abs(rows - dump["edisp"]), 0).sum(axis=1)
    where = (exposure > 1e-3 * exposure.max()) & dump["edisp"].any(axis=1)
    assert where.sum() > 1000
    assert difference[where].max() < 0.01
