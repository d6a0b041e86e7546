"""Safe range of energies of an observation, by Gammapy's methods and parameters.

Thresholds are found at one offset from the pointing: on it, unless the settings give a position or an offset. A bin of
reconstructed energy is safe when it lies wholly inside the range.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EDGE = 1e-9
"""A threshold this near to an edge, relatively, is on it."""


@dataclass(frozen=True)
class SafeRange:
    """A range of reconstructed energies, TeV.

    Parameters
    ----------
    low, high : float
        NaN where nothing limits it; an infinite `low` leaves nothing.
    notes : tuple of str
        Methods that found no threshold, and why.
    """

    low: float = float("nan")
    high: float = float("nan")
    notes: tuple[str, ...] = ()

    def __and__(self, other: SafeRange) -> SafeRange:
        low = float(np.fmax(self.low, other.low))
        high = float(np.fmin(self.high, other.high))
        return SafeRange(low, high, self.notes + other.notes)

    def bins(self, edges: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which bins between `edges` (TeV) lie wholly inside."""
        safe = np.ones(edges.size - 1, dtype=bool)
        if not np.isnan(self.low):
            safe &= edges[:-1] >= self.low * (1.0 - EDGE)
        if not np.isnan(self.high):
            safe &= edges[1:] <= self.high * (1.0 + EDGE)
        return safe


def aeff_default(low: object, high: object) -> SafeRange:
    """Range of the file: ``LO_THRES`` and ``HI_THRES`` of the effective area, where they are there and not zero."""
    limits, notes = [], []
    for name, value in (("LO_THRES", low), ("HI_THRES", high)):
        usable = isinstance(value, (int, float)) and np.isfinite(value) and value > 0
        limits.append(float(value) if usable else float("nan"))  # type: ignore[arg-type]
        if not usable:
            notes.append(f"aeff-default: no {name} in the header of the effective area (found {value})")
    return SafeRange(limits[0], limits[1], tuple(notes))


def aeff_max(energy: NDArray[np.float64], aeff: NDArray[np.float64], percent: float) -> SafeRange:
    """Range in which the effective area is at least `percent` of its maximum, from below.

    Parameters
    ----------
    energy : numpy.ndarray (t,)
        Centres of the bins of true energy, TeV.
    aeff : numpy.ndarray (t,)
        Effective area there, m2; a power law in between.
    percent : float
        Of the maximum.
    """
    if not np.any(aeff > 0):
        return SafeRange(low=float("inf"), notes=("aeff-max: the effective area is zero, nothing is safe",))
    first = int(np.flatnonzero(aeff > 0)[0])
    threshold = 0.01 * percent * aeff.max()
    if aeff[first] >= threshold:
        return SafeRange(low=float(energy[first]))
    return SafeRange(low=_first_crossing(energy[first:], aeff[first:], threshold))


def edisp_bias(
    energy_true: NDArray[np.float64], energy: NDArray[np.float64], edisp: NDArray[np.float64], percent: float
) -> SafeRange:
    """Range in which the bias of reconstructed energy has fallen below `percent`.

    Parameters
    ----------
    energy_true, energy : numpy.ndarray (t,), (e,)
        Centres of the bins, TeV.
    edisp : numpy.ndarray (t, e)
        Energy dispersion.
    percent : float
        Largest bias.

    Notes
    -----
    The bias is followed from its maximum to the first energy at which it is `percent`; the threshold is the reconstructed
    energy there. As in Gammapy the logarithm of the bias is interpolated and one that is not positive counts as tiny.
    """
    total = edisp.sum(axis=1)
    mean = np.where(total > 0, (edisp * energy).sum(axis=1) / np.where(total > 0, total, 1.0), 0.0)
    bias = mean / energy_true - 1.0
    largest = int(np.argmax(bias))
    wanted = 0.01 * percent
    low = float(energy_true[largest])
    if bias[largest] > wanted:
        crossing = _first_crossing(energy_true[largest:], bias[largest:], wanted)
        low = crossing if np.isfinite(crossing) else low
    return SafeRange(low=low * (1.0 + wanted))


def bkg_peak(energy_edges: NDArray[np.float64], rate: NDArray[np.float64]) -> SafeRange:
    """Range from the lower edge of the bin with the largest background on.

    Parameters
    ----------
    energy_edges : numpy.ndarray (e + 1,)
        TeV.
    rate : numpy.ndarray (e,)
        Background in the bins.
    """
    if not np.any(rate > 0):
        return SafeRange(low=float("inf"), notes=("bkg-peak: there is no background, nothing is safe",))
    return SafeRange(low=float(energy_edges[int(np.argmax(rate))]))


def _first_crossing(energy: NDArray[np.float64], values: NDArray[np.float64], wanted: float) -> float:
    """First energy at which the logarithm of `values`, linear in that of energy, passes `wanted`; infinite if never."""
    logs = np.log(np.maximum(values, np.finfo(float).tiny)) - np.log(wanted)
    below = logs < 0
    changes = np.flatnonzero(below[1:] != below[:-1])
    if changes.size == 0:
        return float("inf")
    i = int(changes[0])
    fraction = logs[i] / (logs[i] - logs[i + 1])
    return float(np.exp(np.log(energy[i]) + fraction * np.log(energy[i + 1] / energy[i])))
