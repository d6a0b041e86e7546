"""The time cut: an observation restricted to windows of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from survey.events.gadf_pointing import drift_position, interpolate
from survey.events.observation import Observation, ObservationRejected, Pointing, TimeReference
from survey.sky.earth_rotation import installed_rotation


def cut_time(observation: Observation, windows: Sequence[tuple[float, float]]) -> Observation:
    """Good times and events within windows; the pointing is taken at the middle of what is left.

    Parameters
    ----------
    observation : Observation
        Whole.
    windows : sequence of (float, float)
        [start, stop), MJD (TT), sorted. Overlapping ones are joined.

    Returns
    -------
    Observation
        The same one where it lies in a window wholly.

    Raises
    ------
    ObservationRejected
        When no good time is left.
    """
    edges = _seconds(windows, observation.reference)
    starts, stops, keep = [], [], np.zeros(observation.n_events, dtype=bool)
    time = observation.events["TIME"]
    for first, last in edges:
        start, stop = np.maximum(observation.gti_start, first), np.minimum(observation.gti_stop, last)
        some = start < stop
        starts.append(start[some])
        stops.append(stop[some])
        keep |= (time >= first) & (time < last)
    start, stop = np.concatenate(starts), np.concatenate(stops)
    if not start.size:
        raise ObservationRejected(
            f"OBS_ID {observation.obs_id}: no good time within obs_time: it has {observation.tstart:.3f} to "
            f"{observation.tstop:.3f} s since MJD {observation.reference.mjdrefi}"
        )
    if keep.all() and np.array_equal(start, observation.gti_start) and np.array_equal(stop, observation.gti_stop):
        return observation
    ontime = float(np.sum(stop - start))
    return replace(
        observation,
        gti_start=start,
        gti_stop=stop,
        ontime=ontime,
        livetime=ontime * (observation.livetime / observation.ontime),
        pointing=_pointing_at(observation, 0.5 * float(start[0] + stop[-1])),
        events={name: values[keep] for name, values in observation.events.items()},
        notes=(*observation.notes, "cut to obs_time"),
    )


def _seconds(windows: Sequence[tuple[float, float]], reference: TimeReference) -> list[tuple[float, float]]:
    from astropy.time import Time

    bounds = Time(np.asarray(windows, dtype=np.float64).reshape(-1, 2), format="mjd", scale="tt")
    joined: list[list[float]] = []
    with installed_rotation():
        seconds = (bounds - reference.time).to_value("s").tolist()
    for first, last in sorted(seconds):
        if joined and first <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], last)
        else:
            joined.append([first, last])
    return [(first, last) for first, last in joined]


def _pointing_at(observation: Observation, middle: float) -> Pointing:
    pointing = observation.pointing
    if pointing.mode == "table" and pointing.time is not None:
        assert pointing.table_ra is not None
        assert pointing.table_dec is not None
        ra, dec = interpolate(pointing.time, pointing.table_ra, pointing.table_dec, middle)
        return replace(pointing, ra=ra, dec=dec)
    if pointing.mode == "altaz" and observation.location is not None:
        ra, dec = drift_position(pointing.alt, pointing.az, observation.location, observation.reference, middle)
        return replace(pointing, ra=ra, dec=dec)
    return pointing
