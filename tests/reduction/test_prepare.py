"""Preparing an observation: safe ranges, the ledger, what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from reduction_cases import AXES, GRID, INSTRUMENT, SETTINGS, observation, prepared

from survey.events.observation import ObservationRejected
from survey.reduction import safe
from survey.reduction.background_fit import field_of_view, field_of_view_totals
from survey.reduction.prepare import POINT_LIKE, prepare
from survey.reduction.safe import SafeRange
from survey.sky.grid import SkyGrid

EDGES = AXES.energy.edges


def test_a_bin_is_safe_when_it_lies_wholly_inside():
    np.testing.assert_array_equal(SafeRange(0.6, 10.0).bins(np.array([0.5, 1.0, 5.0, 20.0])), [False, True, False])


@pytest.mark.parametrize("factor", [1 - 4e-16, 1.0, 1 + 4e-16, 1 + 1e-12])
def test_a_threshold_on_an_edge_to_round_off_keeps_the_bin(factor):
    np.testing.assert_array_equal(SafeRange(EDGES[2] * factor).bins(EDGES), np.arange(6) >= 2)
    np.testing.assert_array_equal(SafeRange(high=EDGES[4] * factor).bins(EDGES), np.arange(6) < 4)


def test_ranges_combine():
    both = SafeRange(1.0, np.nan, ("a",)) & SafeRange(np.nan, 5.0, ("b",)) & SafeRange(2.0, 9.0)
    assert (both.low, both.high, both.notes) == (2.0, 5.0, ("a", "b"))
    assert SafeRange().bins(EDGES).all()
    assert not SafeRange(low=np.inf).bins(EDGES).any()


def test_aeff_max_is_where_the_area_passes_its_part_of_the_maximum():
    energy = np.geomspace(0.1, 100, 31)
    area = np.minimum((energy / 5.0) ** 2, 1.0) * 1e5
    assert safe.aeff_max(energy, area, 10).low == pytest.approx(5.0 * 0.1**0.5, rel=1e-3)
    assert safe.aeff_max(energy, np.full(31, 3.0), 10).low == energy[0]
    assert safe.aeff_max(energy, np.zeros(31), 10).low == np.inf


def test_edisp_bias_is_where_the_bias_has_fallen():
    true = np.geomspace(0.1, 100, 61)
    reco = np.geomspace(0.01, 1000, 2001)
    centers = np.sqrt(reco[1:] * reco[:-1])
    bias = 0.02 / true
    edisp = np.zeros((61, 2000))
    edisp[np.arange(61), np.searchsorted(reco, true * (1 + bias)) - 1] = 1.0
    assert safe.edisp_bias(true, centers, edisp, 10).low == pytest.approx(0.2 * 1.1, rel=0.03)


def test_bkg_peak_is_the_lower_edge_of_the_fullest_bin():
    assert safe.bkg_peak(EDGES, np.array([1.0, 3.0, 9.0, 2.0, 1.0, 0.0])).low == EDGES[2]
    assert safe.bkg_peak(EDGES, np.zeros(6)).low == np.inf


def test_thresholds_of_the_header():
    assert safe.aeff_default(0.4, 50.0) == SafeRange(0.4, 50.0)
    nothing = safe.aeff_default(None, 0.0)
    assert np.isnan(nothing.low)
    assert len(nothing.notes) == 2


@pytest.mark.parametrize("method", ["aeff-max", "edisp-bias", "bkg-peak"])
def test_thresholds_are_found_at_the_pointing_a_position_or_an_offset(method):
    settings = replace(SETTINGS, safe_methods=(method,), aeff_percent=60, bias_percent=1.5)
    at_pointing = prepared(1, settings)
    ra, dec = at_pointing.ra, at_pointing.dec
    fixed = prepared(1, replace(settings, fixed_offset=1.6))
    placed = prepared(1, replace(settings, position=(ra, dec + 1.6)))
    assert placed.energy_min == pytest.approx(fixed.energy_min, rel=1e-9)
    assert prepared(1, replace(settings, position=(ra, dec))).energy_min == pytest.approx(at_pointing.energy_min)
    assert at_pointing.energy_min > 0
    np.testing.assert_array_equal(at_pointing.safe_energy, EDGES[:-1] >= at_pointing.energy_min * (1 - 1e-9))


def test_every_event_is_in_the_first_line_that_applies():
    source = observation(1, n_events=300)
    events = {name: np.array(values) for name, values in source.events.items()}
    settings = replace(SETTINGS, events_outside_gti="drop", offset_max=2.5)
    ra, dec = source.pointing.ra, source.pointing.dec
    events["RA"][:], events["DEC"][:], events["ENERGY"][:] = ra, dec, 1.0
    events["TIME"][0] = source.gti_stop[-1] + 0.5
    events["ENERGY"][0] = 1e9
    events["ENERGY"][1], events["DEC"][1] = 1e9, dec + 30
    events["DEC"][2] = dec + 30
    events["DEC"][3] = dec + 2.45
    events["DEC"][4] = dec + 2.2
    events["ENERGY"][5] = 0.4
    events["ENERGY"][6] = np.nan
    events["TIME"][7] = source.gti_stop[-1]
    spoiled = replace(source, events=events)
    ledger = prepare(spoiled, GRID, AXES, settings).ledger
    assert (ledger.outside_gti_dropped, ledger.outside_energy, ledger.outside_grid) == (2, 2, 1)
    assert ledger.in_cube == 300 - 2 - 2 - 1 - ledger.offset_cut - ledger.safe_range
    assert ledger.offset_cut + ledger.safe_range == 3
    kept = prepare(spoiled, GRID, AXES, replace(settings, events_outside_gti="keep")).ledger
    assert (kept.outside_gti_dropped, kept.outside_gti_kept, kept.in_cube) == (0, 2, ledger.in_cube + 1)


def test_edges_of_energy_bins_belong_to_the_bin_above():
    source = observation(1, n_events=14)
    energy = np.concatenate([EDGES, np.nextafter(EDGES, 0.0)])
    ra, dec = np.full(14, source.pointing.ra), np.full(14, source.pointing.dec)
    events = {**source.events, "ENERGY": energy, "RA": ra, "DEC": dec}
    one = prepare(replace(source, events=events), GRID, AXES, replace(SETTINGS, safe_methods=()))
    np.testing.assert_array_equal(one.event_energy, [*range(6), *range(6)])
    assert one.ledger.outside_energy == 2


def test_a_run_with_nothing_safe_is_no_error():
    one = prepared(1, instrument=replace(INSTRUMENT, lo_thres=1e4))
    assert not one.safe_energy.any()
    assert one.ledger.in_cube == 0
    assert one.ledger.safe_range > 0


@pytest.mark.parametrize(
    ("kind", "column"), [("aeff", "EFFAREA"), ("edisp", "MATRIX"), ("psf", "RPSF"), ("bkg", "BKG")]
)
def test_a_response_that_is_not_finite_names_observation_and_value(kind, column):
    source = observation(3)
    table = source.responses[kind]
    values = np.array(table.values[column])
    values.flat[7] = np.nan
    spoiled = replace(source, responses={**source.responses, kind: replace(table, values={column: values})})
    with pytest.raises(ObservationRejected, match=f"^synthetic-3: response {kind}: .*{column} holds nan"):
        prepare(spoiled, GRID, AXES, SETTINGS)


def test_a_missing_response_is_refused_only_when_it_is_needed():
    source = observation(1)
    bare = replace(source, responses={k: v for k, v in source.responses.items() if k != "psf"})
    with pytest.raises(ObservationRejected, match="synthetic-1: no response psf, there are"):
        prepare(bare, GRID, AXES, SETTINGS)
    assert prepare(bare, GRID, AXES, replace(SETTINGS, selection=("counts", "exposure", "background"))).psf.size == 0


def test_counts_alone_need_no_response():
    bare = replace(observation(1), responses={})
    settings = replace(SETTINGS, selection=("counts",), safe_methods=("offset-max",))
    assert prepare(bare, GRID, AXES, settings).ledger.in_cube > 0


def test_a_run_without_good_time_is_refused():
    with pytest.raises(ObservationRejected, match="livetime 0"):
        prepare(replace(observation(1), livetime=0.0), GRID, AXES, SETTINGS)


def test_an_observation_off_the_grid_adds_nothing():
    one = prepared(1, north=40.0)
    assert one.ledger.outside_grid + one.ledger.outside_energy == one.ledger.read
    assert one.n_in_cube == 0
    assert GRID.tiles_near(one.ra, one.dec, one.radius) == []


def test_point_like_responses_are_told_in_a_cube():
    full = observation(1)
    aeff = full.responses["aeff"]
    cut = replace(aeff, metadata={**aeff.metadata, "HDUCLAS3": "POINT-LIKE", "RAD_MAX": 0.1})
    notes = prepare(replace(full, responses={**full.responses, "aeff": cut}), GRID, AXES, SETTINGS).notes
    assert f"aeff: {POINT_LIKE}" in notes
    assert not any(POINT_LIKE in note for note in prepare(full, GRID, AXES, SETTINGS).notes)


@pytest.mark.parametrize(("binsize", "width"), [(0.1, 360.0), (0.11, 360.0), (0.07, 360.0), (0.1, 359.9)])
def test_an_observation_across_the_seam_keeps_its_events_and_its_field_of_view(binsize, width):
    """Whether the grid is cyclic or merely comes round; `width` may leave a column between its ends."""
    here, there = (
        SkyGrid.create(proj="CAR", frame="galactic", lon=lon, lat=0, binsize=binsize, width=(width, 9))
        for lon in (10.0, 190.0)
    )
    one = observation(n_events=2000)
    expected, found = (prepare(one, grid, AXES, SETTINGS) for grid in (here, there))
    lost = 0 if width == 360.0 else 40  # in the column that the grid lacks
    assert found.ledger.in_cube == pytest.approx(expected.ledger.in_cube, abs=8 + lost)
    assert found.ledger.offset_cut == pytest.approx(expected.ledger.offset_cut, abs=8)
    whole, seam = (
        field_of_view_totals(prepared_one, grid, AXES, field_of_view(prepared_one, grid))
        for prepared_one, grid in ((expected, here), (found, there))
    )
    assert seam.background.sum() == pytest.approx(whole.background.sum(), rel=0.01 if width == 360.0 else 0.05)
    assert seam.counts.sum() == pytest.approx(whole.counts.sum(), abs=8 + lost)


@pytest.mark.parametrize(
    ("kind", "column", "value", "says"),
    [
        ("aeff", "EFFAREA", 3e38, r"response aeff and a livetime of 1600 s give exposure of up to .* m2 s at .* TeV"),
        ("psf", None, 1e30, "response psf and aeff and a livetime of 1600 s give psf_exposure of up to"),
        ("bkg", "BKG", 1e30, "response bkg and an ontime of .* s give background of up to .* counts a pixel"),
    ],
)
def test_one_absurd_value_sets_its_observation_aside(kind, column, value, says):
    """It would end the run when it is added, or give a background of it alone whose norm hides it."""
    given = observation()
    table = given.responses[kind]
    column = column or next(iter(table.values))
    values = {name: one.copy() for name, one in table.values.items()}
    values[column][tuple(size // 2 for size in values[column].shape)] = value
    spoiled = replace(given, responses={**given.responses, kind: replace(table, values=values)})
    with pytest.raises(ObservationRejected, match=says):
        prepare(spoiled, GRID, AXES, SETTINGS)


def test_good_times_of_centuries_set_their_observation_aside():
    given = observation()
    with pytest.raises(ObservationRejected, match=r"a livetime of 7e\+09 s give exposure of up to"):
        prepare(replace(given, livetime=7e9, ontime=7e9), GRID, AXES, SETTINGS)
