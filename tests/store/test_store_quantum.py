"""Exact sums: commutative, associative, idempotent to the bit; fine enough, with room for 10**5 observations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from survey.store.quantum import FORESEEN, QuantumOverflow, add_quantised, check_room, quantise, quantum
from survey.store.variables import CUBE, DEFAULT_VARIABLES, cube_variable

LOW = np.exp(np.log(np.geomspace(0.03, 120.0, 31)))[:-1]
BACKGROUND = quantum("background", LOW[:3])
values = arrays(np.float64, (3, 4), elements=st.floats(-50, 50, allow_subnormal=False))


def bits(array: np.ndarray) -> bytes:
    return np.ascontiguousarray(array).tobytes()


@settings(max_examples=60, deadline=None)
@given(values, values, values)
def test_sums_of_quantised_values_commute_and_associate_to_the_bit(a, b, c) -> None:
    a, b, c = (quantise(part, BACKGROUND) for part in (a, b, c))
    assert bits(a + b) == bits(b + a)
    assert bits((a + b) + c) == bits(a + (b + c))
    assert bits(np.zeros_like(a) + a) == bits(a)


@settings(max_examples=60, deadline=None)
@given(values)
def test_quantising_is_idempotent_and_within_half_a_quantum(a) -> None:
    once = quantise(a, BACKGROUND)
    assert bits(quantise(once, BACKGROUND)) == bits(once)
    assert (np.abs(once - a) <= 0.5 * BACKGROUND[:, None]).all()
    assert not np.signbit(once[once == 0]).any()


@settings(max_examples=40, deadline=None)
@given(st.lists(values, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_kernel_adds_the_same_bits_in_any_order(parts, random) -> None:
    forward, shuffled = np.zeros((3, 4)), np.zeros((3, 4))
    for part in parts:
        assert add_quantised(forward, part, BACKGROUND) is forward
    random.shuffle(parts)
    for part in parts:
        shuffled += quantise(part, BACKGROUND)
    assert bits(forward) == bits(shuffled)


def test_the_kernel_takes_every_shape_and_strided_views() -> None:
    rng = np.random.default_rng(2)
    four = rng.uniform(0, 1e12, (30, 3, 4, 5))
    q = quantum("psf_exposure", LOW)
    expected = quantise(four, q)
    assert bits(add_quantised(np.zeros_like(four), four, q)) == bits(expected)
    large = np.zeros((30, 3, 8, 9))
    add_quantised(large[:, :, 2:6, 1:6], four, q)
    assert bits(large[:, :, 2:6, 1:6]) == bits(expected)
    seconds = rng.uniform(0, 1800, (4, 5))
    livetime = quantum("livetime")
    assert livetime.shape == ()
    assert bits(add_quantised(np.zeros((4, 5)), seconds, livetime)) == bits(quantise(seconds, livetime))
    with pytest.raises(ValueError, match="shape"):
        add_quantised(np.zeros((3, 4)), np.zeros((4, 3)), BACKGROUND)


def test_every_float_variable_has_a_quantum_and_it_is_a_power_of_two() -> None:
    for name, variable in CUBE.items():
        q = np.atleast_1d(quantum(name, LOW))
        mantissa, _ = np.frexp(q)
        assert (mantissa == 0.5).all()
        assert variable.exact == (variable.dtype == "int32")
        if not variable.exact:
            assert (name in FORESEEN) == (variable.energy_dim is not None)
        else:
            assert (q == 1).all()
        if variable.energy_dim:
            assert q.shape == (30,)


@pytest.mark.parametrize("name", [*FORESEEN])
def test_a_contribution_as_foreseen_has_34_bits_and_a_hundred_thousand_of_them_fit(name: str) -> None:
    largest = np.array([FORESEEN[name](low) for low in LOW.tolist()])
    q = quantum(name, LOW)
    assert (largest / q <= 2.0**34).all()
    assert (largest / q >= 2.0**33).all()
    check_room(1e5 * largest, q)


def test_the_quantum_of_a_bin_depends_on_its_own_edge_alone() -> None:
    q = quantum("exposure", LOW)
    np.testing.assert_array_equal(quantum("exposure", LOW[4:8]), q[4:8])


def test_faint_contributions_are_kept() -> None:
    """Background of 1e-9 counts at 50 TeV to 2e-4; the peak of a H.E.S.S. PSF to 1e-7, its tail of 1e-4 to 1e-3."""
    at_50_tev = float(quantum("background", [50.0])[0])
    assert 0.5 * at_50_tev / 1e-9 < 2e-4
    peak = 3.4e8 * 2.5e5
    at_1_tev = float(quantum("psf_exposure", [1.0])[0])
    assert 0.5 * at_1_tev / peak < 1e-7
    assert 0.5 * at_1_tev / (1e-4 * peak) < 1e-3
    assert 0.5 * float(quantum("exposure", [0.3])[0]) / 1e8 < 1e-8


def test_a_full_room_is_refused() -> None:
    q = quantum("exposure", LOW)
    sums = np.zeros((30, 2, 2))
    check_room(sums, q)
    check_room(np.zeros((30, 0)), q)
    sums[7, 1, 1] = 2.0**53 * q[7]
    with pytest.raises(QuantumOverflow, match="exposure in bin 7"):
        check_room(sums, q, variable="exposure")
    sums[7, 1, 1] = np.nan
    with pytest.raises(QuantumOverflow):
        check_room(sums, q)


def test_unknown_variables_are_refused_by_name() -> None:
    with pytest.raises(KeyError, match="no cube variable 'flux', only counts"):
        cube_variable("flux")
    with pytest.raises(ValueError, match="lower edges of its axis energy_true"):
        quantum("exposure")
    assert "counts_off" not in DEFAULT_VARIABLES
    assert CUBE["psf_exposure"].is_on_cells
