"""Laws of the sum: exact additivity, tiles equal the whole, events conserved."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reduction_cases import AXES, GRID, SETTINGS, observation, prepared, several

from survey.reduction.background_fit import BackgroundFit
from survey.reduction.contribution import VARIABLES, BackgroundNorm, accumulate, add_sums, contribution, zero_sums
from survey.reduction.ledger import Ledger, LedgerError
from survey.reduction.prepare import prepare
from survey.reduction.prepared import PreparedObservation
from survey.reduction.settings import ReductionSettings
from survey.sky.pixels import Window
from survey.store.quantum import QuantumOverflow, quantum

FULL = GRID.geometry(GRID.full_window)
NORMS = {"synthetic-1": BackgroundNorm(1.13, 0.2, 1.0), "synthetic-3": BackgroundNorm(0.87)}


def same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.fixture(scope="module")
def whole():
    return accumulate(several(), FULL, AXES, norms=NORMS)


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(5)), st.integers(0, 5))
def test_sums_do_not_depend_on_order_or_batches(order, cut):
    observations = [several()[i] for i in order]
    one = accumulate(observations, FULL, AXES, norms=NORMS)
    first = accumulate(observations[:cut], FULL, AXES, norms=NORMS)
    second = accumulate(observations[cut:], FULL, AXES, norms=NORMS)
    same(add_sums(second, first), one)
    second = accumulate(observations[cut:], FULL, AXES, norms=NORMS)
    same(accumulate(observations[:cut], FULL, AXES, norms=NORMS, out=second), one)


def test_the_sum_of_nothing_is_zero(whole):
    nothing = accumulate([], FULL, AXES)
    assert all(not values.any() for values in nothing.values())
    same(add_sums({name: values.copy() for name, values in whole.items()}, nothing), whole)


def test_sums_are_whole_quanta(whole):
    for name, axis in (("background", AXES.energy), ("exposure", AXES.energy_true), ("psf_exposure", AXES.energy_true)):
        steps = quantum(name, axis.low).reshape(-1, *[1] * (whole[name].ndim - 1))
        quanta = whole[name] / steps
        np.testing.assert_array_equal(quanta, np.rint(quanta))
        assert whole[name].any()


def paste(target, part, window):
    cells = GRID.cell_window(window)
    for name, values in part.items():
        inner = cells.slices if name in ("psf_exposure", "edisp_exposure", "irf_exposure") else window.slices
        target[name][..., *inner] += values


def test_tiles_equal_the_whole(whole):
    pasted = zero_sums(FULL, AXES)
    for tile in GRID.tiles():
        window = GRID.window(tile)
        paste(pasted, accumulate(several(), GRID.geometry(window), AXES, norms=NORMS), window)
    same(pasted, whole)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, GRID.cells[0] - 1), st.integers(1, GRID.cells[1] - 1))
def test_any_cut_along_cells_equals_the_whole(row, column):
    y, x = row * GRID.cell, column * GRID.cell
    one = several()[1]
    pasted = zero_sums(FULL, AXES)
    for y0, y1 in ((0, y), (y, GRID.ny)):
        for x0, x1 in ((0, x), (x, GRID.nx)):
            window = Window(y0, y1, x0, x1)
            paste(pasted, contribution(one, GRID.geometry(window), AXES), window)
    same(pasted, contribution(one, FULL, AXES))


def test_a_window_that_cuts_cells_is_refused():
    with pytest.raises(ValueError, match="does not start at the edge of a response cell"):
        contribution(several()[0], GRID.geometry(Window(1, 11, 0, 10)), AXES)


@pytest.mark.parametrize("variables", [("counts",), ("background",), ("exposure",), ("edisp_exposure", "n_safe")])
def test_variables_do_not_depend_on_each_other(whole, variables):
    part = accumulate(several(), FULL, AXES, norms=NORMS, variables=variables)
    assert tuple(part) == variables
    same(part, {name: whole[name] for name in variables})


def test_events_are_conserved(whole):
    total = sum((one.ledger for one in several()), Ledger())
    total.check()
    assert total.read == sum(observation.n_in_cube for observation in several()) + (
        total.outside_energy + total.outside_grid + total.offset_cut + total.safe_range
    )
    assert whole["counts"].sum() == total.in_cube == sum(one.n_in_cube for one in several())
    assert min(total.outside_energy, total.outside_grid, total.offset_cut, total.safe_range) > 0


def test_a_ledger_that_does_not_add_up_is_refused():
    with pytest.raises(LedgerError, match="tile y003x001: 3 events read"):
        Ledger(read=3, in_cube=2).check("tile y003x001")
    Ledger.of_rejected(7).check()
    assert Ledger.from_dict(Ledger(read=2, in_cube=2).as_dict()) == Ledger(read=2, in_cube=2)


def test_counts_lie_in_safe_bins(whole):
    assert not np.any(whole["counts"][whole["n_safe"] == 0])
    np.testing.assert_array_equal(whole["n_observations"] > 0, whole["livetime"] > 0)
    np.testing.assert_array_equal(whole["n_safe"].max(axis=0) > 0, whole["n_observations"] > 0)


def test_an_observation_without_events_adds_exposure_and_background():
    one = contribution(prepared(4, n_events=0), FULL, AXES)
    assert one["counts"].sum() == 0
    assert one["exposure"].sum() > 0
    assert one["background"].sum() > 0


def test_selection_and_safe_range_are_the_only_cuts():
    """Without cuts every event inside the axes and the grid is counted, unless the response ends before it."""
    free = ReductionSettings(safe_methods=(), offset_max=None, mask_invalid_background=False)
    one = prepare(observation(1), GRID, AXES, free)
    inside = AXES.energy.index(observation(1).events["ENERGY"]) >= 0
    _, _, on_grid = GRID.pixel_index(observation(1).events["RA"], observation(1).events["DEC"])
    assert one.ledger.safe_range == 0
    assert one.ledger.in_cube + one.ledger.offset_cut == np.count_nonzero(inside & on_grid)
    assert "no offset_max" in one.notes[-1]


def test_background_norm_scales_by_energy():
    one = several()[0]
    plain = contribution(one, FULL, AXES, variables=("background",))["background"]
    scaled = contribution(one, FULL, AXES, norm=BackgroundNorm(1.5, 0.3, 2.0), variables=("background",))["background"]
    factors = 1.5 * (AXES.energy.centers / 2.0) ** -0.3
    np.testing.assert_allclose(scaled, plain * factors[:, None, None], atol=1e-8)
    assert BackgroundFit("fit", 1.5, tilt=0.3, reference=2.0).background_norm == BackgroundNorm(1.5, 0.3, 2.0)


def test_a_sum_that_leaves_the_exact_range_is_refused():
    sums = accumulate(several()[:1], FULL, AXES, variables=("exposure",))
    sums["exposure"] *= 2.0**30
    with pytest.raises(QuantumOverflow, match="exposure"):
        accumulate([], FULL, AXES, variables=("exposure",), out=sums)


@pytest.mark.parametrize("number", range(5))
def test_round_trip_of_the_file(tmp_path, number):
    one = several()[number]
    assert one.to_bytes() == one.to_bytes()
    path = str(tmp_path / "one.npz")
    one.save(path)
    again = PreparedObservation.load(path)
    assert again.to_bytes() == one.to_bytes()
    same(contribution(again, FULL, AXES), contribution(one, FULL, AXES))
    assert again.ledger == one.ledger
    assert again.notes == one.notes


def test_preparing_twice_gives_the_same_bytes():
    assert prepared(2).to_bytes() == prepared(2).to_bytes()


def test_all_variables_are_the_registry_of_the_cube():
    assert set(zero_sums(FULL, AXES)) == set(VARIABLES)


def test_random_splits_of_events_add_up():
    """Counts of an observation cut into two by its events add to the counts of the whole."""
    one = several()[0]
    chosen = np.zeros(one.event_energy.size, dtype=bool)
    chosen[random.Random(1).sample(range(chosen.size), chosen.size // 3)] = True
    parts = []
    for mask in (chosen, ~chosen):
        values = {name: getattr(one, name)[mask] for name in ("event_energy", "event_y", "event_x", "event_in_grid")}
        part = PreparedObservation(**{**{f: getattr(one, f) for f in one.__dataclass_fields__}, **values})
        parts.append(contribution(part, FULL, AXES, variables=("counts",))["counts"])
    np.testing.assert_array_equal(parts[0] + parts[1], contribution(one, FULL, AXES)["counts"])


def test_settings_round_trip_and_refuse():
    assert ReductionSettings.from_dict(SETTINGS.as_dict()) == SETTINGS
    with pytest.raises(ValueError, match="aeff-min"):
        ReductionSettings(safe_methods=("aeff-min",))
    with pytest.raises(ValueError, match="psfs"):
        ReductionSettings(selection=("psfs",))
    with pytest.raises(ValueError, match="exclude each other"):
        ReductionSettings(position=(1.0, 2.0), fixed_offset=0.5)
