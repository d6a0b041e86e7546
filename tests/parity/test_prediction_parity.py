"""Predicted counts beside Gammapy 2.1's, and beside a Monte Carlo where responses vary under the source.

Gammapy takes the responses at the centre of a source for all of it, and the exposure where an event lands, not where it
comes from. On uniform responses neither matters; under a source of 0.7 degrees on a field of view that falls off it does.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from parity_cubes import cube_of, grid_of, model_of
from parity_predictions import LARGE, SOURCES, SPECTRUM, Responses

from survey.fitting.prediction import predict
from survey.models import PowerLaw
from survey.report.dataset import map_dataset, to_bytes

N_EVENTS = 10_000_000
BLOCK = 25
"""Pixels of the blocks that events are counted in, half a degree."""
LEAST = 100_000
"""Events of a block, at least, for it to be compared: their own error is 0.3 %."""


@pytest.fixture(scope="module")
def predicted(peer_once, tmp_path_factory):
    """Function from responses and sources to our cube, our counts and the peer's, by source."""

    def make(responses, sources):
        folder = tmp_path_factory.mktemp("prediction")
        dataset = cube_of(responses)
        hdus = map_dataset(dataset, grid_of(responses).wcs, cell=responses.cell)
        (folder / "cube.fits").write_bytes(to_bytes(hdus))
        (folder / "sources.json").write_text(json.dumps({"lon": responses.lon, "sources": sources}))
        peer_once("peer_npred.py", folder, str(folder / "cube.fits"), str(folder / "sources.json"))
        with np.load(folder / "npred.npz") as archive:
            theirs = dict(archive)
        ours = {
            name: predict(dataset, [model_of(source, responses.lon)], background=False).values
            for name, source in sources.items()
        }
        return dataset, ours, theirs

    return make


@pytest.fixture(scope="module")
def uniform(predicted):
    return predicted(Responses(varies=False), SOURCES)


@pytest.mark.parametrize("name", list(SOURCES))
def test_uniform_responses(uniform, name):
    """Every energy bin above one predicted count within 1 %, and the image within 1 % of its greatest value.

    But for the disk, whose edge the peer puts by samples on one side: 0.04 pixels off in both directions, ours 0.002.
    """
    _, ours, theirs = uniform
    found, expected = ours[name], theirs[name]
    bins = expected.sum(axis=(1, 2)) > 1
    assert bins.sum() > 10
    np.testing.assert_allclose(found.sum(axis=(1, 2))[bins], expected.sum(axis=(1, 2))[bins], rtol=0.01)
    image = expected.sum(axis=0)
    tolerance = 0.035 if name.startswith("disk") else 0.01
    np.testing.assert_allclose(found.sum(axis=0), image, atol=tolerance * image.max())


def draw(responses, source, seed=20261122):
    """Events of a source in blocks and energies, shape (energy, y, x), and how many there are per predicted count."""
    rng = np.random.default_rng(seed)
    edges = responses.energy_true
    flux = PowerLaw(index=SPECTRUM["index"], amplitude=SPECTRUM["amplitude"] * 1e4).integral(edges[:-1], edges[1:])
    most = responses.exposure(np.zeros(1))[:, 0]
    rate = flux * most
    n_trials = int(2.3 * N_EVENTS)
    middle = (responses.size - 1) / 2
    n_blocks = responses.size // BLOCK
    counts = np.zeros(responses.n_energy * n_blocks**2, dtype=np.int64)
    for energy, n in enumerate(rng.multinomial(n_trials, rate / rate.sum())):
        # longitude grows to the left
        x = middle - (source["east"] + source["sigma"] * rng.standard_normal(n)) / responses.binsize
        y = middle + (source["north"] + source["sigma"] * rng.standard_normal(n)) / responses.binsize
        offset = responses.pixel_offset(y, x)
        scale = 1.1 + 0.25 * np.log10(responses.center[energy])
        kept = rng.random(n) < np.exp(-0.5 * (offset / scale) ** 2)
        x, y, offset = x[kept], y[kept], offset[kept]
        spread = 0.07 * responses.center[energy] ** -0.12 * (1 + 0.12 * offset**2) / responses.binsize
        shift, width = responses.bias(offset)
        logarithm = np.log(responses.center[energy]) + shift + width * rng.standard_normal(x.size)
        bins = np.searchsorted(np.log(responses.energy), logarithm, side="right") - 1
        column = np.floor((x + spread * rng.standard_normal(x.size) + 0.5) / BLOCK).astype(np.int64)
        row = np.floor((y + spread * rng.standard_normal(x.size) + 0.5) / BLOCK).astype(np.int64)
        inside = (bins >= 0) & (bins < responses.n_energy)
        inside &= (row >= 0) & (row < n_blocks) & (column >= 0) & (column < n_blocks)
        place = (bins[inside] * n_blocks + row[inside]) * n_blocks + column[inside]
        counts += np.bincount(place, minlength=counts.size)
    return counts.reshape(responses.n_energy, n_blocks, n_blocks), n_trials / rate.sum()


def test_varying_responses_beside_a_monte_carlo(predicted, record_property):
    """Ours within 1 % in every block of half a degree and every energy that 10^7 events decide about; Gammapy is not.

    Largest deviations, ours and Gammapy 2.1's: in total 0.07 and 0.30 %, in an energy 0.22 and 1.43 %, in a block of half
    a degree 0.45 and 2.95 %. The events' own errors there are up to 0.3 %.
    """
    responses = Responses(varies=True)
    _, ours, theirs = predicted(responses, LARGE)
    events, scale = draw(responses, LARGE["large"])
    assert events.sum() > 0.9 * N_EVENTS

    def in_blocks(counts):
        n = responses.size // BLOCK
        return scale * counts.reshape(responses.n_energy, n, BLOCK, n, BLOCK).sum(axis=(2, 4))

    expected, found, peer = (values for values in (events, in_blocks(ours["large"]), in_blocks(theirs["large"])))
    report = {}
    for name, axes in (("energy", (1, 2)), ("block", (0,)), ("total", (0, 1, 2))):
        wanted = np.atleast_1d(expected.sum(axis=axes))
        used = wanted > LEAST
        assert used.sum() >= {"energy": 12, "block": 15, "total": 1}[name]
        for side, values in (("ours", found), ("Gammapy 2.1", peer)):
            report[name, side] = np.abs(np.atleast_1d(values.sum(axis=axes))[used] / wanted[used] - 1).max()
    for (name, side), value in report.items():
        record_property(f"largest deviation by {name}, {side}", f"{100 * value:.2f} %")
    assert max(value for (_, side), value in report.items() if side == "ours") < 0.01
    assert report["block", "Gammapy 2.1"] > 0.02
    assert report["energy", "Gammapy 2.1"] > 0.01
