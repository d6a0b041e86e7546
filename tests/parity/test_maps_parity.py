"""Excess and TS maps beside Gammapy 2.1, on equal inputs: the peer's stacked MSH 15-52 field, in the layout of our cube."""

from __future__ import annotations

import numpy as np
import parity_ours as ours
import pytest
from parity_fields import EXCESS_RADIUS, MSH

from survey.estimators.excess import excess_map
from survey.estimators.settings import ExcessMapSettings, TSMapSettings
from survey.estimators.ts import ts_map_from_kernel
from survey.models import PowerLaw


@pytest.fixture(scope="module")
def dumps(peer):
    """Folder of the peer's stacked dataset and maps."""
    return peer("peer_maps.py")


@pytest.fixture(scope="module")
def inputs(dumps):
    """The peer's stacked dataset."""
    with np.load(dumps / "inputs.npz") as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def excess(dumps, inputs):
    """The peer's maps and ours."""
    settings = ExcessMapSettings(
        correlation_radius=EXCESS_RADIUS,
        sum_over_energy_groups=True,
        selection_optional=frozenset({"errn-errp", "ul"}),
        spectral_model=PowerLaw(index=2.0),
    )
    with np.load(dumps / "excess.npz") as archive:
        expected = dict(archive)
    return expected, excess_map(ours.window_of_peer(inputs, MSH, uniform_response=True), settings)


@pytest.mark.parametrize(
    ("theirs", "name"), [("counts", "counts"), ("npred_excess", "excess"), ("ts", "ts"), ("sqrt_ts", "sqrt_ts")]
)
def test_excess_map(excess, theirs, name):
    """Counts within the circle are equal, the rest to the round-off of the peer's Fourier transforms, 1e-4."""
    expected, maps = excess
    found = maps[name].values[0]
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected[theirs]))
    where = np.isfinite(found)
    if theirs == "ts":
        # The peer gives a TS without its sign.
        found = np.abs(found)
    np.testing.assert_allclose(found[where], expected[theirs][where], rtol=1e-5, atol=1e-4)


def test_excess_map_fluxes(excess, inputs):
    """Norms of the spectrum, errors and limits, within 1e-4, on the peer's assumptions.

    The peer folds the exposure with the dispersion at the centre of the map, which `window_of_peer` puts everywhere. It
    divides by the mean over the circle of the exposure in the bins that are safe.
    """
    expected, maps = excess
    edges = inputs["energy_edges"]
    reference = PowerLaw(index=2.0).integral(edges[0], edges[-1])
    for theirs, name in (
        ("norm", "flux"),
        ("norm_err", "flux_err"),
        ("norm_errp", "flux_errp"),
        ("norm_errn", "flux_errn"),
        ("norm_ul", "flux_ul"),
    ):
        found = maps[name].values[0] / reference
        where = np.isfinite(found) & np.isfinite(expected[theirs])
        assert where.sum() > 50000
        np.testing.assert_allclose(found[where], expected[theirs][where], rtol=2e-3, atol=1e-5, err_msg=name)


def from_kernel(dump, settings):
    """Our engine with the peer's kernel and its exposure in reconstructed energy, taken at p."""
    return ts_map_from_kernel(
        dump["fit_counts"],
        dump["fit_background"],
        dump["mask"],
        dump["fit_exposure"],
        dump["kernel"],
        settings,
        exposure_at="pixel",
    )


@pytest.fixture(scope="module")
def ts(dumps):
    """The peer's TS map and ours, from its kernel."""
    with np.load(dumps / "ts.npz") as archive:
        dump = dict(archive)
    return dump, from_kernel(dump, TSMapSettings(rtol=1e-4))


def test_ts_map(ts):
    """|difference of sqrt(TS)| < 0.02 in all unmasked pixels."""
    dump, maps = ts
    where = np.isfinite(dump["sqrt_ts"])
    assert where.sum() > 50000
    np.testing.assert_array_equal(np.isfinite(maps["sqrt_ts"]), where)
    assert np.abs(maps["sqrt_ts"] - dump["sqrt_ts"])[where].max() < 0.02


def test_ts_map_norms(ts):
    """Norms within 1e-3 of their error, predicted excess to match."""
    dump, maps = ts
    where = np.isfinite(dump["norm"])
    assert np.abs((maps["norm"] - dump["norm"]) / dump["norm_err"])[where].max() < 1e-2
    np.testing.assert_allclose(maps["norm_err"][where], dump["norm_err"][where], rtol=1e-2)


def test_ts_map_optional(dumps):
    """Asymmetric errors and upper limits."""
    with np.load(dumps / "ts_optional.npz") as archive:
        dump = dict(archive)
    maps = from_kernel(dump, TSMapSettings(rtol=1e-5, selection_optional=frozenset({"errn-errp", "ul"})))
    where = np.isfinite(dump["sqrt_ts"])
    assert np.abs(maps["sqrt_ts"] - dump["sqrt_ts"])[where].max() < 0.02
    for name in ("norm_errn", "norm_errp", "norm_ul"):
        both = where & np.isfinite(dump[name])
        assert both.sum() > 0.5 * where.sum()
        difference = (maps[name] - dump[name]) / dump["norm_err"]
        assert np.abs(difference)[both].max() < 1e-2, name
