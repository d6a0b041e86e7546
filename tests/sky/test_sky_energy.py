"""Energy axes: bins are [low, high), edges survive a round trip, refusals say what was found."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from survey.sky.energy import RAD_EDGES, EnergyAxis


def test_edges_run_from_low_to_high_in_equal_logarithmic_steps() -> None:
    axis = EnergyAxis.from_bounds("energy", 0.1, 100.0, 6)
    assert axis.size == 6
    np.testing.assert_allclose(axis.edges, 10 ** np.linspace(-1, 2, 7), rtol=1e-14)
    np.testing.assert_allclose(axis.centers**2, axis.low * axis.high, rtol=1e-15)
    np.testing.assert_array_equal(axis.widths, axis.high - axis.low)


@settings(max_examples=30, deadline=None)
@given(st.floats(1e-3, 1.0), st.floats(1.1, 1e3), st.integers(1, 60), st.data())
def test_every_energy_lands_in_one_bin_low_included_high_excluded(low, factor, nbin, data) -> None:
    axis = EnergyAxis.from_bounds("energy", low, low * factor, nbin)
    np.testing.assert_array_equal(axis.index(axis.edges), [*range(nbin), -1])
    below = np.nextafter(axis.edges, 0)
    np.testing.assert_array_equal(axis.index(below), range(-1, nbin))
    value = data.draw(st.floats(low / 2, low * factor * 2))
    index = int(axis.index(value))
    assert index == -1 or axis.low[index] <= value < axis.high[index]
    assert (index == -1) == (value < axis.edges[0] or value >= axis.edges[-1])


def test_nan_and_infinity_are_outside() -> None:
    axis = EnergyAxis.from_bounds("energy", 1, 10, 3)
    np.testing.assert_array_equal(axis.index([np.nan, np.inf, -np.inf, 0.0, -1.0]), -1)


def test_key_gives_the_axis_back_to_the_bit_through_json() -> None:
    axis = EnergyAxis.from_bounds("energy_true", 0.3, 70, 17)
    again = EnergyAxis("energy_true", np.array(json.loads(json.dumps(axis.key()))))
    assert again.same_edges(axis)
    assert not again.same_edges(axis.edges[:-1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EnergyAxis.from_bounds("energy", 10, 1, 3), "empty energy range"),
        (lambda: EnergyAxis.from_bounds("energy", 1, 10, 0), "at least 1"),
        (lambda: EnergyAxis.from_bounds("migra", 1, 10, 2), "expected one of energy, energy_true"),
        (lambda: EnergyAxis("energy", np.array([1.0, 1.0])), "increasing"),
        (lambda: EnergyAxis("energy", np.array([1.0])), "at least two edges"),
    ],
)
def test_refusals_say_what_was_found(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_arrays_are_read_only() -> None:
    axis = EnergyAxis.from_bounds("energy", 1, 10, 2)
    for array in (axis.edges, axis.centers, RAD_EDGES):
        assert not array.flags.writeable
