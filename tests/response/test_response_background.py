"""Background rates: exact integrals, empty bins, the lattice."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from survey.events.synthetic_response import SyntheticInstrument
from survey.response.background import camera_background, integrate_power_laws, refine_background
from survey.response.interpolation import ResponseError
from survey.response.table import ResponseAxis, ResponseTable
from survey.sky.energy import EnergyAxis

ENERGY = EnergyAxis.from_bounds("energy", 0.3, 30.0, 12)


def bins(name, edges):
    edges = np.asarray(edges, dtype=float)
    return ResponseAxis(name, edges[:-1], edges[1:])


AXIS = bins("energy", np.geomspace(0.1, 100.0, 13))


def numeric(values, axis, edges, n=4000):
    """Integral of a log-log interpolated density by brute force."""
    result = []
    for low, high in itertools.pairwise(edges):
        energy = np.geomspace(low, high, n)
        nodes, logs = np.log(axis.nodes), np.log(values)
        at = np.log(energy)
        i = np.clip(np.searchsorted(nodes, at) - 1, 0, nodes.size - 2)
        density = np.exp(logs[i] + (logs[i + 1] - logs[i]) * (at - nodes[i]) / (nodes[i + 1] - nodes[i]))
        result.append(np.trapezoid(density * energy, at))
    return np.array(result)


def test_a_power_law_is_integrated_exactly():
    for index in (-2.7, -1.0, 0.4):
        rates = integrate_power_laws(AXIS.nodes[:, None] ** index, AXIS, ENERGY.edges)[:, 0]
        if index == -1.0:
            expected = np.log(ENERGY.high / ENERGY.low)
        else:
            expected = np.diff(ENERGY.edges ** (index + 1)) / (index + 1)
        np.testing.assert_allclose(rates, expected, rtol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=12, max_size=12))
def test_the_integral_agrees_with_a_fine_one(logs):
    values = 10.0 ** np.array(logs)
    rates = integrate_power_laws(values[:, None], AXIS, ENERGY.edges)[:, 0]
    np.testing.assert_allclose(rates, numeric(values, AXIS, ENERGY.edges), rtol=1e-3)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.booleans(), min_size=12, max_size=12), st.integers(2, 9))
def test_an_empty_bin_stays_empty_and_rebinning_changes_no_total(filled, n_bins):
    values = np.where(filled, AXIS.nodes**-2.0, 0.0)[:, None]
    own = integrate_power_laws(values, AXIS, AXIS.edges)[:, 0]
    np.testing.assert_array_equal(own == 0, ~np.array(filled))
    grouped = integrate_power_laws(values, AXIS, np.geomspace(0.1, 100.0, n_bins + 1))[:, 0]
    np.testing.assert_allclose(grouped.sum(), own.sum(), rtol=1e-10, atol=1e-300)


def test_there_is_nothing_outside_the_table():
    wide = EnergyAxis.from_bounds("energy", 1e-3, 1e4, 14)
    rates = integrate_power_laws(np.ones((12, 1)), AXIS, wide.edges)[:, 0]
    np.testing.assert_allclose(rates.sum(), 99.9)
    assert rates[0] == rates[-1] == 0.0


def table_3d(values, edges):
    axes = (AXIS, bins("dety", edges), bins("detx", edges))
    return ResponseTable("bkg_3d", axes, {"BKG": values}, {"BKG": "s-1 MeV-1 sr-1"})


def test_units_are_per_mev():
    values = np.full((12, 4, 4), 2.0)
    camera = camera_background(table_3d(values, np.linspace(-2, 2, 5)), EnergyAxis("energy", np.array([1.0, 2.0])))
    np.testing.assert_allclose(camera.rate, 2e6)


def test_the_lattice_is_geometric_between_nodes():
    edges = np.linspace(-2, 2, 21)
    x = 0.5 * (edges[:-1] + edges[1:])
    shape = np.exp(0.8 * x[None, :] - 0.5 * x[:, None])
    values = AXIS.nodes[:, None, None] ** -2.0 * shape
    camera = camera_background(table_3d(values, edges), ENERGY)
    lattice = refine_background(camera)
    my, mx, _ = lattice.rate.shape
    at_x, at_y = lattice.x0 + lattice.step_x * np.arange(mx), lattice.y0 + lattice.step_y * np.arange(my)
    assert at_x[-1] == pytest.approx(2.0)
    expected = np.exp(0.8 * at_x[None, :] - 0.5 * at_y[:, None])
    ratio = lattice.rate / expected[:, :, None]
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:1, :1], ratio.shape), rtol=1e-6)


def test_an_empty_node_stays_empty_on_the_lattice_and_leaks_nowhere():
    edges = np.linspace(-2, 2, 21)
    values = np.ones((12, 20, 20))
    values[:, 7, 11] = 0.0
    camera = camera_background(table_3d(values, edges), ENERGY)
    lattice = refine_background(camera)
    at = lattice.x0 + lattice.step_x * np.arange(lattice.rate.shape[1])
    inside_x = (at > edges[11] + 1e-9) & (at < edges[12] - 1e-9)
    inside_y = (at > edges[7] + 1e-9) & (at < edges[8] - 1e-9)
    hole = inside_y[:, None] & inside_x[None, :]
    assert hole.any()
    assert np.all(lattice.rate[hole] == 0)
    near = (np.abs(at - camera.x[11]) < 0.099)[None, :] & (np.abs(at - camera.y[7]) < 0.099)[:, None]
    others = lattice.rate[~near]
    positive = others[others > 0]
    np.testing.assert_allclose(positive.reshape(-1, 12) / camera.rate[:, 0, 0], 1.0, rtol=1e-6)


def test_a_radial_background_is_constant_beyond_its_outer_nodes():
    tables = SyntheticInstrument(bkg_form="bkg_2d").responses(20.0)
    camera = camera_background(tables["bkg"], ENERGY)
    lattice = refine_background(camera)
    assert lattice.radial
    np.testing.assert_allclose(lattice.rate[0, 0], camera.rate[:, 0], rtol=1e-6)
    np.testing.assert_allclose(lattice.rate[0, -1], camera.rate[:, -1], rtol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_a_value_that_makes_no_sense_is_refused(value):
    values = np.ones((12, 4, 4))
    values[3, 2, 1] = value
    with pytest.raises(ResponseError, match=r"column BKG holds .* at energy .*, dety .*, detx"):
        camera_background(table_3d(values, np.linspace(-2, 2, 5)), ENERGY)
