"""Checks of what was read: numbers that cannot be are errors, those that are odd are doubts with the worst value.

The readers call them; `survey.events.datastore.check_datastore` runs them over a whole data store.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from survey.events import units
from survey.events.headers import MAX_SECONDS
from survey.events.problems import Report
from survey.response.table import ResponseAxis, ResponseTable

# Sums of PSF and dispersion may differ from 1 by this before it is worth a word.
NORMALISATION = 0.1
# Good times are often written in whole seconds: events this far outside, s, are told and no doubt.
GTI_TOLERANCE = 1.0
# Relative gap between bins that is round-off of float32 edges.
EDGE_GAP = 1e-4


def check_axis(axis: ResponseAxis, name: str, report: Report) -> None:
    """Edges must be finite and rise; those of energies must be positive, for their axis is logarithmic."""
    low, high = axis.low, axis.high
    both = np.concatenate([low, high])
    if not np.isfinite(both).all():
        report.error(f"{np.count_nonzero(~np.isfinite(both))} edges are not finite", keyword=name)
        return
    if axis.name in ("energy", "energy_true") and low[0] <= 0:
        report.error(f"first edge is {low[0]:g}", keyword=name, expected="above 0 on a logarithmic axis")
    if np.any(np.diff(low) <= 0) or np.any(np.diff(high) <= 0):
        i = int(np.argmax((np.diff(low) <= 0) | (np.diff(high) <= 0)))
        report.error(f"edges do not rise: {low[i]:g} is followed by {low[i + 1]:g}", keyword=name)
        return
    if axis.is_node:
        return
    if np.any(high <= low):
        i = int(np.argmax(high <= low))
        report.error(f"bin {i} goes from {low[i]:g} to {high[i]:g}", keyword=name, expected="the upper edge above")
        return
    gaps = np.abs(low[1:] - high[:-1]) / (high - low)[:-1]
    if gaps.size and gaps.max() > EDGE_GAP:
        i = int(np.argmax(gaps))
        report.doubt(f"bins do not join: {high[i]:g} is followed by {low[i + 1]:g}", keyword=name)


def check_response(response: ResponseTable, report: Report) -> None:
    """Values must be finite; PSF and dispersion should be normalised, areas and rates not negative."""
    for name, values in response.values.items():
        bad = ~np.isfinite(values)
        if bad.any():
            report.error(
                f"{np.count_nonzero(bad)} of {values.size} values are not finite", keyword=name, expected="numbers"
            )
            return
    for name in ("EFFAREA", "MATRIX", "RPSF", "BKG", "RAD_MAX"):
        if name not in response.values:
            continue
        values = response.values[name]
        negative = np.count_nonzero(values < 0)
        if negative:
            report.doubt(
                "has negative values",
                keyword=name,
                found=f"{negative} of {values.size}, down to {values.min():.3g}",
                size=-float(values.min()),
            )
        if not values.any():
            report.doubt("is 0 everywhere", keyword=name)
    if response.form == "edisp_2d":
        _check_sums(_dispersion_sums(response), "MATRIX", "rows of the dispersion do not add to 1", report)
    elif response.form == "psf_table" and not response.axis("rad").is_node:
        _check_sums(_psf_sums(response), "RPSF", "the PSF is not normalised to 1", report)
    elif response.form == "psf_3gauss":
        _check_sums(_gauss_sums(response), "SCALE", "the PSF is not normalised to 1", report)


def check_events(events: Mapping[str, NDArray], report: Report) -> None:
    """Directions, energies and times must be possible; times should be sorted."""
    limits = {
        "TIME": (-MAX_SECONDS, MAX_SECONDS, "seconds of our age"),
        "RA": (-360.0, 360.0, "-360 to 360 deg"),
        "DEC": (-90.0, 90.0, "-90 to 90 deg"),
        "ENERGY": (0.0, np.inf, "above 0"),
    }
    for name, (low, high, expected) in limits.items():
        values = events[name]
        good = (values > low) & (values < high) if name == "ENERGY" else (values >= low) & (values <= high)
        if not good.all():
            rows = np.flatnonzero(~good)
            report.error(
                f"{rows.size} of {values.size} values cannot be, the first is {values[rows[0]]:g} in row {rows[0] + 1}",
                keyword=name,
                expected=expected,
            )
    if np.any(np.diff(events["TIME"]) < 0):
        report.doubt("events are not sorted by time", keyword="TIME")


def check_events_in_gti(
    time: NDArray[np.float64], start: NDArray[np.float64], stop: NDArray[np.float64], report: Report
) -> None:
    """Say how many events lie outside the good time intervals (sorted, not overlapping), and how far."""
    if not time.size or not start.size:
        return
    i = np.searchsorted(start, time, side="right") - 1
    after = np.where(i >= 0, time - stop[np.maximum(i, 0)], np.inf)
    outside = after >= 0
    if not outside.any():
        return
    following = np.minimum(i + 1, start.size - 1)
    before = np.where(i + 1 < start.size, start[following] - time, np.inf)
    distance = np.minimum(after, before)[outside]
    worst = float(distance.max())
    if outside.all() and distance.min() > GTI_TOLERANCE:
        report.error(
            f"none of {time.size} events lies in the good times, they are {distance.min():.3g} to {worst:.3g} s away",
            keyword="TIME",
            expected="events and GTI of one observation",
            advice="correct MJDREFI, MJDREFF of EVENTS or of GTI",
        )
        return
    found = f"{np.count_nonzero(outside)} of {time.size}, up to {worst:.2g} s"
    tell = report.doubt if worst > GTI_TOLERANCE else report.warning
    tell("events outside the good times", keyword="TIME", found=found, size=worst)


def clean_gti(
    start: NDArray[np.float64], stop: NDArray[np.float64], report: Report
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Good time intervals sorted, joined where they overlap, without empty ones.

    Parameters
    ----------
    start, stop : numpy.ndarray
        As read, s.
    report : Report
        Of the HDU: intervals that go backwards or are not numbers are errors.

    Returns
    -------
    start, stop : numpy.ndarray
        Of equal size; empty after an error.
    """
    nothing = np.empty(0)
    possible = (np.abs(start) <= MAX_SECONDS) & (np.abs(stop) <= MAX_SECONDS)
    if not possible.all():
        i = int(np.argmin(possible))
        report.error(f"interval {i + 1} is {start[i]:g} to {stop[i]:g}", expected="seconds of our age")
        return nothing, nothing
    if np.any(stop < start):
        i = int(np.argmax(stop < start))
        report.error(f"interval {i + 1} stops before it starts: START {float(start[i])!r}, STOP {float(stop[i])!r}")
        return nothing, nothing
    empty = stop == start
    if empty.any():
        i = int(np.argmax(empty))
        report.doubt(
            "empty intervals left out",
            found=f"{np.count_nonzero(empty)}, the first at START = STOP = {float(start[i])!r}",
        )
        start, stop = start[~empty], stop[~empty]
    if not start.size:
        report.error("no good time: there is no interval", expected="at least one")
        return nothing, nothing
    if np.any(np.diff(start) < 0):
        report.doubt("intervals are not sorted, sorted on reading")
        order = np.argsort(start, kind="stable")
        start, stop = start[order], stop[order]
    reach = np.maximum.accumulate(stop)
    overlap = reach[:-1] - start[1:]
    if overlap.size and overlap.max() > 0:
        i = int(np.argmax(overlap))
        # A microsecond is the round-off of seconds since an epoch decades ago.
        if overlap[i] > 1e-6:
            report.doubt(
                "intervals overlap, joined on reading",
                found=f"{np.count_nonzero(overlap > 1e-6)}, the worst by {overlap[i]:.6g} s at {float(start[i + 1])!r}",
                size=float(overlap[i]),
            )
        first = np.append(True, overlap <= 0)
        start, stop = start[first], reach[np.append(np.flatnonzero(first)[1:] - 1, reach.size - 1)]
    return start, stop


def _check_sums(sums: NDArray[np.float64], keyword: str, message: str, report: Report) -> None:
    """Sums of rows that are not empty, against 1."""
    filled = sums[sums != 0]
    if not filled.size:
        return
    off = np.abs(filled - 1) > NORMALISATION
    if off.any():
        worst = filled[np.argmax(np.abs(filled - 1))]
        found = f"{np.count_nonzero(off)} of {filled.size} rows, the worst is {worst:.3g}"
        report.doubt(message, keyword=keyword, found=found, size=abs(float(worst) - 1))


def _dispersion_sums(response: ResponseTable) -> NDArray[np.float64]:
    migra = response.axis("migra")
    place = [axis.name for axis in response.axes].index("migra")
    width = (migra.high - migra.low) if not migra.is_node else np.gradient(migra.low)
    return np.tensordot(response.values["MATRIX"], width, axes=(place, 0))


def _psf_sums(response: ResponseTable) -> NDArray[np.float64]:
    rad = response.axis("rad")
    place = [axis.name for axis in response.axes].index("rad")
    annulus = 2 * np.pi * (np.cos(np.radians(rad.low)) - np.cos(np.radians(rad.high)))
    to_sr = units.factor(response.units["RPSF"], "sr-1") or 1.0
    return np.tensordot(response.values["RPSF"], annulus * to_sr, axes=(place, 0))


def _gauss_sums(response: ResponseTable) -> NDArray[np.float64]:
    values = {name: array.astype(np.float64) for name, array in response.values.items()}
    to_rad = {i: units.factor(response.units[f"SIGMA_{i}"], "rad") or 1.0 for i in (1, 2, 3)}
    square = {i: (values[f"SIGMA_{i}"] * to_rad[i]) ** 2 for i in (1, 2, 3)}
    area = square[1] + values["AMPL_2"] * square[2] + values["AMPL_3"] * square[3]
    return 2 * np.pi * values["SCALE"] * (units.factor(response.units["SCALE"], "sr-1") or 1.0) * area
