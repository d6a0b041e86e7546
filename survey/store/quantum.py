"""The quantum of every exact variable: the power of two that every contribution is rounded to a multiple of.

It is a constant of the format: it follows from the variable and the energy edges, never from data. One table says the
largest contribution foreseen of one observation to one bin, from the lower edge of the bin; the quantum is that over
2**34, rounded up to a power of two. Sums in float64 are exact below 2**53 quanta, which leaves room for 10**5
observations that all reach it. More than foreseen is no error in itself: it takes from that room, which `check_room`
guards.

The envelopes lie above the arrays now built or planned (for a run of 34 minutes) and use only operations that IEEE 754
rounds correctly, so that the table has the same bits on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from survey.store.kernels_quantum import add_quantised_rows
from survey.store.variables import cube_variable

QUANTA_BITS = 34
"""A contribution as large as foreseen is 2**34 quanta."""

EXACT_QUANTA = 2.0**53
"""Sums of fewer quanta are exact in float64."""

RUN_SECONDS = 2048.0
"""Livetime of one observation foreseen, s."""


class QuantumOverflow(OverflowError):
    """A sum has left the range in which it is exact."""


def _exposure(energy: float) -> float:
    """m2 s: effective area of the largest array planned, for one run."""
    return min(4e6, 3e6 * math.sqrt(energy), 8e6 * energy) * RUN_SECONDS


def _psf_exposure(energy: float) -> float:
    """m2 s sr-1: with a Gaussian core of 0.01 degree at high energies, wider as energy falls."""
    return _exposure(energy) * min(5.3e6, 2e6 * energy)


def _background(energy: float) -> float:
    """Counts in a pixel of 0.1 degree, spectrum falling with energy to the power 1.5."""
    return min(128.0, 1.3 / (energy * math.sqrt(energy)))


def _ring(energy: float) -> float:
    """Counts in an off region of 4096 such pixels."""
    return 4096.0 * _background(energy)


FORESEEN: Mapping[str, Callable[[float], float]] = MappingProxyType(
    {
        "background": _background,
        "exposure": _exposure,
        "psf_exposure": _psf_exposure,
        "edisp_exposure": _exposure,
        "irf_exposure": _exposure,
        "background_off": _background,
        "acceptance": _background,
        "acceptance_off_sum": _ring,
    }
)
"""Largest contribution foreseen of one observation to one bin, by variable, from the bin's lower edge in TeV."""


def quantum(variable: str, energy_low: ArrayLike | None = None) -> NDArray[np.float64]:
    """The quantum of a variable of the cube.

    Parameters
    ----------
    variable : str
        Its name in `survey.store.variables.CUBE`.
    energy_low : array-like
        Lower edges (n,), TeV, of the bins of the energy axis in front of the variable: reconstructed or true, as its
        dims say. Not needed where it has none.

    Returns
    -------
    numpy.ndarray
        Powers of two, (n,) for a variable with an energy axis, else (). Whole numbers (counts) have 1.
    """
    row = cube_variable(variable)
    if row.energy_dim is None:
        return np.asarray(1.0 if row.exact else _power_of_two(RUN_SECONDS))
    if energy_low is None:
        raise ValueError(f"quantum of {variable}: the lower edges of its axis {row.energy_dim} are needed")
    low = np.asarray(energy_low, dtype=np.float64)
    if row.exact:
        return np.ones(low.size)
    return np.array([_power_of_two(FORESEEN[variable](energy)) for energy in low.tolist()])


def _power_of_two(largest: float) -> float:
    _, exponent = math.frexp(largest)
    return math.ldexp(1.0, exponent - QUANTA_BITS)


def _as_rows(quantum: NDArray[np.float64], ndim: int) -> NDArray[np.float64]:
    """A quantum per leading index, shaped to go with arrays of `ndim` dimensions."""
    quantum = np.asarray(quantum, dtype=np.float64)
    return quantum if quantum.ndim == 0 else quantum.reshape(quantum.shape + (1,) * (ndim - 1))


def quantise(values: NDArray[np.float64], quantum: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values rounded to whole quanta, halves to even.

    Parameters
    ----------
    values : numpy.ndarray
        Any shape; the leading axis goes with `quantum` where that has one.
    quantum : numpy.ndarray
        From `quantum`.

    Returns
    -------
    numpy.ndarray
        float64 of the same shape; no negative zero, which would make equal sums differ in their bytes.
    """
    rows = _as_rows(quantum, np.ndim(values))
    return np.rint(np.asarray(values, dtype=np.float64) / rows) * rows + 0.0


def add_quantised(
    accumulator: NDArray[np.float64], values: NDArray[np.float64], quantum: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Add `values`, rounded to whole quanta, to `accumulator` in place: ``accumulator + quantise(...)`` to the bit.

    Parameters
    ----------
    accumulator, values : numpy.ndarray
        float64, of one shape, the leading axis that of `quantum` where it has one.
    quantum : numpy.ndarray
        From `quantum`.

    Returns
    -------
    numpy.ndarray
        `accumulator`.
    """
    if accumulator.shape != values.shape:
        raise ValueError(f"values of shape {values.shape} for an accumulator of shape {accumulator.shape}")
    if not (accumulator.flags.c_contiguous and values.flags.c_contiguous):
        accumulator += quantise(values, quantum)
        return accumulator
    rows = np.atleast_1d(np.asarray(quantum, dtype=np.float64))
    add_quantised_rows(accumulator.reshape(rows.size, -1), values.reshape(rows.size, -1), rows)
    return accumulator


def check_room(sums: ArrayLike, quantum: ArrayLike, *, variable: str = "sum") -> None:
    """Check that sums are still exact.

    Parameters
    ----------
    sums : array-like
        Sums, any shape; the leading axis goes with `quantum` where that has one.
    quantum : array-like
        From `quantum`.
    variable : str
        For the message.

    Raises
    ------
    QuantumOverflow
        When a sum reaches 2**53 quanta, or is not finite.
    """
    sums = np.asarray(sums, dtype=np.float64)
    if sums.size == 0:
        return
    rows = np.atleast_1d(np.asarray(quantum, dtype=np.float64))
    largest = np.abs(sums.reshape(rows.size, -1)).max(axis=1) / rows
    for index, quanta in enumerate(largest):
        if not quanta < EXACT_QUANTA:
            where = f" in bin {index}" if rows.size > 1 else ""
            raise QuantumOverflow(
                f"{variable}{where}: a sum of {quanta * rows[index]:g} is {quanta:.3g} quanta of {rows[index]:g}, "
                f"expected fewer than 2**53 for exact addition; use smaller pixels or fewer observations in one cube"
            )
