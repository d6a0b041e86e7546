"""Responses on the survey's axes: interpolation, normalisation, what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from survey.events.synthetic_response import SyntheticInstrument
from survey.response.effective_area import effective_area
from survey.response.energy_dispersion import energy_dispersion
from survey.response.interpolation import ResponseError, axis_edges, interpolate, offset_nodes
from survey.response.psf import annuli, point_spread_function
from survey.response.table import ResponseAxis, ResponseTable
from survey.sky.energy import RAD_EDGES, EnergyAxis

ENERGY = EnergyAxis.from_bounds("energy", 0.3, 30.0, 12)
TRUE = EnergyAxis.from_bounds("energy_true", 0.1, 80.0, 20)
TABLES = SyntheticInstrument().responses(20.0)


def bins(name, edges):
    edges = np.asarray(edges, dtype=float)
    return ResponseAxis(name, edges[:-1], edges[1:])


def points(name, nodes):
    nodes = np.asarray(nodes, dtype=float)
    return ResponseAxis(name, nodes, nodes)


def spoiled(table, column, value):
    values = np.array(table.values[column], dtype=float)
    values.flat[values.size // 2] = value
    return replace(table, values={**table.values, column: values})


def at_offset(nodes, values, offset):
    low = np.clip(np.searchsorted(nodes, offset, side="right") - 1, 0, nodes.size - 2)
    weight = (offset - nodes[low]) / (nodes[low + 1] - nodes[low])
    return (1 - weight) * values[low] + weight * values[low + 1]


def test_nodes_have_edges_halfway():
    np.testing.assert_allclose(axis_edges(points("offset", [0.0, 0.5, 1.0])), [-0.25, 0.25, 0.75, 1.25])
    np.testing.assert_allclose(axis_edges(points("energy", [1.0, 4.0])), [0.5, 2.0, 8.0])
    np.testing.assert_allclose(offset_nodes(points("offset", [0.0, 0.5, 1.0])), [0.0, 0.5, 1.0, 1.25])
    np.testing.assert_allclose(offset_nodes(bins("offset", [0.0, 1.0, 2.0])), [0.0, 0.5, 1.5, 2.0])


def test_interpolation_is_exact_for_what_is_linear_in_log_energy():
    axis = bins("energy_true", np.geomspace(0.1, 100, 7))
    energy = np.array([0.12, 1.1, 33.0, 99.0])
    np.testing.assert_allclose(interpolate(np.log(axis.nodes), axis, energy), np.log(energy))


def test_effective_area_is_zero_outside_the_table():
    wide = EnergyAxis.from_bounds("energy_true", 1e-3, 1e4, 14)
    _, aeff = effective_area(TABLES["aeff"], wide)
    edges = axis_edges(TABLES["aeff"].axis("energy_true"))
    outside = (wide.centers < edges[0]) | (wide.centers > edges[-1])
    assert outside.any()
    assert np.all(aeff[:, outside] == 0)
    assert np.all(aeff[1:-1, ~outside] > 0)


def test_one_offset_is_constant():
    energy = bins("energy_true", np.geomspace(0.05, 100, 9))
    for offset, reach in ((points("offset", [0.4]), np.inf), (bins("offset", [0.0, 5.0]), 5.0)):
        table = ResponseTable("aeff_2d", (offset, energy), {"EFFAREA": np.full((1, 8), 7.0)}, {"EFFAREA": "cm2"})
        nodes, aeff = effective_area(table, TRUE)
        np.testing.assert_array_equal(nodes, [0.0, reach])
        np.testing.assert_allclose(aeff, 7e-4)


def test_dispersion_of_a_wide_axis_sums_to_one():
    wide = EnergyAxis.from_bounds("energy", 1e-3, 1e4, 60)
    _, edisp = energy_dispersion(TABLES["edisp"], TRUE, wide)
    np.testing.assert_allclose(edisp.sum(axis=2), 1.0, atol=1e-6)


def test_dispersion_does_not_depend_on_how_energies_are_grouped():
    _, fine = energy_dispersion(TABLES["edisp"], TRUE, ENERGY)
    coarse = EnergyAxis("energy", ENERGY.edges[::3])
    _, grouped = energy_dispersion(TABLES["edisp"], TRUE, coarse)
    np.testing.assert_allclose(grouped, fine.reshape(*fine.shape[:2], 4, 3).sum(axis=3), atol=1e-7)


def test_an_offset_without_dispersion_takes_the_nearest():
    table = TABLES["edisp"]
    order = [axis.name for axis in table.axes].index("offset")
    values = np.array(table.values["MATRIX"], dtype=float)
    empty = [slice(None)] * 3
    empty[order] = slice(-1, None)
    values[tuple(empty)] = 0.0
    nodes, edisp = energy_dispersion(replace(table, values={"MATRIX": values}), TRUE, ENERGY)
    np.testing.assert_allclose(edisp.sum(axis=2)[0], edisp.sum(axis=2)[-1], atol=0.05)
    assert nodes.size == edisp.shape[0]


@pytest.mark.parametrize("form", ["psf_table", "psf_3gauss", "psf_king"])
def test_psf_keeps_the_containment_of_its_file(form):
    instrument = SyntheticInstrument(psf_form=form, psf_sigma=0.05)
    _, psf = point_spread_function(instrument.responses(20.0)["psf"], TRUE, RAD_EDGES)
    within = np.sum(psf * annuli(RAD_EDGES), axis=2)
    assert within.max() <= 1.0 + 1e-6
    # tables and Gaussians hold nearly all inside 0.66 deg, a King profile has wings
    assert within.min() > (0.9 if form == "psf_king" else 0.98)
    # half of the axis holds what the first half of the profile says, not everything
    half = RAD_EDGES[: RAD_EDGES.size // 6]
    _, narrow = point_spread_function(instrument.responses(20.0)["psf"], TRUE, half)
    inside = np.sum(narrow * annuli(half), axis=2)
    np.testing.assert_allclose(inside, np.sum((psf * annuli(RAD_EDGES))[:, :, : half.size - 1], axis=2), rtol=0.05)
    assert inside.min() < 0.7


def test_forms_of_the_psf_agree():
    profiles = {}
    for form in ("psf_table", "psf_3gauss"):
        nodes, psf = point_spread_function(SyntheticInstrument(psf_form=form).responses(20.0)["psf"], TRUE, RAD_EDGES)
        profiles[form] = at_offset(nodes, psf, 1.1)
    ratio = np.sum(np.abs(profiles["psf_table"] - profiles["psf_3gauss"]) * annuli(RAD_EDGES), axis=1)
    assert ratio.max() < 0.05


def test_gaussian_psf_matches_the_formula():
    energy, offset = bins("energy_true", np.geomspace(0.05, 100, 5)), bins("offset", [0.0, 1.0, 2.0])
    shape = (2, 4)
    columns = {"SCALE": 1.0, "SIGMA_1": 0.1, "AMPL_2": 0.0, "SIGMA_2": 0.0, "AMPL_3": 0.0, "SIGMA_3": 0.0}
    values = {name: np.full(shape, value) for name, value in columns.items()}
    units = {name: "deg" if "SIGMA" in name else ("sr-1" if name == "SCALE" else "") for name in columns}
    _, psf = point_spread_function(ResponseTable("psf_3gauss", (offset, energy), values, units), TRUE, RAD_EDGES)
    rad = 0.5 * (RAD_EDGES[:-1] + RAD_EDGES[1:])
    expected = np.exp(-0.5 * (rad / 0.1) ** 2) / (2 * np.pi * np.radians(0.1) ** 2)
    np.testing.assert_allclose(psf, np.broadcast_to(expected, psf.shape), rtol=2e-3)


EVALUATE = {
    "EFFAREA": ("aeff", lambda table: effective_area(table, TRUE)),
    "MATRIX": ("edisp", lambda table: energy_dispersion(table, TRUE, ENERGY)),
    "RPSF": ("psf", lambda table: point_spread_function(table, TRUE, RAD_EDGES)),
}


@pytest.mark.parametrize("column", EVALUATE)
def test_a_value_that_is_not_finite_is_refused(column):
    kind, evaluate = EVALUATE[column]
    table = spoiled(TABLES[kind], column, np.nan)
    with pytest.raises(ResponseError, match=rf"{table.form}, column {column} holds nan at .*expected a finite number"):
        evaluate(table)


def test_a_clearly_negative_area_and_a_wrong_unit_are_refused():
    with pytest.raises(ResponseError, match="EFFAREA holds -100000, expected nothing below zero"):
        effective_area(spoiled(TABLES["aeff"], "EFFAREA", -1e5), TRUE)
    with pytest.raises(ResponseError, match="unit 's' found"):
        effective_area(replace(TABLES["aeff"], units={"EFFAREA": "s"}), TRUE)
