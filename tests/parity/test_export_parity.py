"""`survey run`, then `survey export`: what Gammapy 2.1's `MapDataset.read` finds in the file.

Two fields: Crab, whose four observations have two thresholds, and five of MSH 15-52.
"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import parity_ours as ours
import pytest
from parity_fields import ASIMOV, FIELDS, PREDICTION_AMPLITUDE, PREDICTION_INDEX

import survey


@pytest.fixture(scope="module", params=list(ASIMOV))
def exported(request, data, peer, peer_once, tmp_path_factory):
    """Our cube in memory, the peer's view of the exported file, and the peer's own predictions."""
    name = request.param
    obs_ids, places = ASIMOV[name]
    field = replace(FIELDS[name], obs_ids=obs_ids)
    folder = tmp_path_factory.mktemp(name)
    run = survey.run(ours.config(field, data, folder / "out"))
    assert not run.record["failed_units"]
    path = run.export()
    rows, columns = np.array(places).T
    ra, dec = ours.grid(field).pixel_to_world(rows, columns)
    peer_once("peer_export.py", folder, path, json.dumps(np.stack([ra, dec], axis=1).tolist()))
    with np.load(folder / "export.npz") as archive:
        dump = dict(archive)
    with np.load(peer("peer_asimov.py") / f"{name}.npz") as archive:
        predicted = archive["predicted"]
    return field, run.cube.load(), dump, predicted, places


def test_arrays(exported):
    """Counts, mask, background and exposure, to single precision."""
    _, cube, dump, *_ = exported
    np.testing.assert_array_equal(dump["counts"], cube["counts"].values)
    np.testing.assert_array_equal(dump["safe"].astype(bool), cube["n_safe"].values > 0)
    np.testing.assert_allclose(dump["background"], cube["background"].values, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(dump["exposure"], cube["exposure"].values, rtol=1e-6)


def test_axes(exported):
    """Energies and livetime."""
    field, _, dump, *_ = exported
    np.testing.assert_allclose(dump["energy_edges"], ours.axes(field).energy.edges, rtol=1e-12)
    np.testing.assert_allclose(dump["energy_true_edges"], ours.axes(field).energy_true.edges, rtol=1e-12)


def test_psf_radii(exported):
    """68 % radii at both places within 2 % of those of our cube's own ratios, at energies with exposure."""
    field, cube, dump, _, places = exported
    cell = ours.grid(field).cell
    for number, (y, x) in enumerate(places):
        cells = {"y_irf": y // cell, "x_irf": x // cell}
        exposure = cube["irf_exposure"].isel(cells).values
        psf = cube["psf_exposure"].isel(cells).values / np.where(exposure > 0, exposure, 1)[:, None]
        radius = ours.containment_radius(psf)
        where = exposure > 1e-3 * exposure.max()
        assert where.sum() > 15
        np.testing.assert_allclose(dump["psf_r68"][number][where], radius[where], rtol=0.02)


def test_predicted_counts(exported):
    """Counts of a point source, predicted by the peer from our file: within 1 % of the sum of the peer's own predictions
    observation by observation, each with its own safe range; bins with more than a twentieth of the counts within 3 %
    (the bin of a threshold that not all observations share, with response cells of 0.2 degree).
    """
    _, _, dump, predicted, places = exported
    for number in range(len(places)):
        expected = predicted[number].sum(axis=(1, 2))
        found = dump["predicted_point"][number]
        np.testing.assert_allclose(found.sum(), expected.sum(), rtol=0.01)
        where = expected > 0.05 * expected.sum()
        assert where.sum() > 5
        np.testing.assert_allclose(found[where], expected[where], rtol=0.03)


def test_predicted_counts_as_ours(exported):
    """The same counts as we predict from the cube, within 1 %; those of a Gaussian source too, within 2 %."""
    field, cube, dump, _, places = exported
    dataset = cube.assign_attrs(cell=ours.grid(field).cell)
    assert (PREDICTION_INDEX, PREDICTION_AMPLITUDE) == (2.3, 1e-11)
    for number, place in enumerate(places):
        found = ours.predicted_counts(dataset, *place)
        np.testing.assert_allclose(dump["predicted_point"][number].sum(), found.sum(), rtol=0.01)
        np.testing.assert_allclose(dump["predicted_gaussian"][number].sum(), found.sum(), rtol=0.02)
