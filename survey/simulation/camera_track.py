"""The track of the camera: where it looks and how it is turned at any time of an observation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.coordinates import EarthLocation, position_angle
from astropy.time import TimeDelta
from numpy.typing import NDArray

from survey.events.observation import Pointing, TimeReference
from survey.reduction.camera import camera_frames
from survey.simulation.site import from_horizontal
from survey.sky.frames import positions, unit_vectors

Array = NDArray[np.float64]

STEP = 60.0
"""Time between the nodes of a track, s: the chord between them is good to a millionth of a degree."""


@dataclass(frozen=True, eq=False)
class CameraTrack:
    """Frames of the camera at nodes in time.

    Parameters
    ----------
    time : numpy.ndarray (k,)
        s since the reference of the observation, rising.
    frames : numpy.ndarray (k, 3, 3)
        Pointing, direction of camera x and of camera y as rows, as `survey.reduction.camera` has them; one when nothing
        moves.
    """

    time: Array
    frames: Array

    def at(self, seconds: Array) -> Array:
        """Frames at times (n,): shape (n, 3, 3), or (1, 3, 3) when nothing moves."""
        if self.time.size == 1:
            return self.frames
        low = np.clip(np.searchsorted(self.time, seconds, side="right") - 1, 0, self.time.size - 2)
        upper = np.clip((seconds - self.time[low]) / (self.time[low + 1] - self.time[low]), 0.0, 1.0)[:, None, None]
        frames = (1.0 - upper) * self.frames[low] + upper * self.frames[low + 1]
        return np.ascontiguousarray(frames / np.sqrt(np.sum(frames**2, axis=2, keepdims=True)))

    @property
    def centers(self) -> Array:
        """Pointings at the nodes, unit vectors (k, 3)."""
        return np.ascontiguousarray(self.frames[:, 0])


def camera_track(
    pointing: Pointing,
    *,
    start: float,
    stop: float,
    reference: TimeReference,
    location: EarthLocation | None,
    rotates: bool,
) -> CameraTrack:
    """Track of the camera between two times.

    Parameters
    ----------
    pointing : Pointing
        Of any mode.
    start, stop : float
        s since `reference`.
    reference : TimeReference
        Of the observation.
    location : astropy.coordinates.EarthLocation or None
        Needed for a drift and for a camera that is aligned with the horizon.
    rotates : bool
        Whether camera y points to the zenith; else to the north.

    Raises
    ------
    ValueError
        When the location is needed and missing.
    """
    if not rotates and pointing.mode == "icrs":
        return CameraTrack(
            np.array([start]), camera_frames(np.array([pointing.ra]), np.array([pointing.dec]), np.zeros(1))
        )
    if (rotates or pointing.mode == "altaz") and location is None:
        raise ValueError("no location of the observatory, which a drift or a background with FOVALIGN = ALTAZ needs")
    time = np.linspace(start, stop, max(int(np.ceil((stop - start) / STEP)), 1) + 1)
    if pointing.mode == "table":
        time, ra, dec = _along_table(pointing, time)
    elif pointing.mode == "altaz":
        ra, dec = _icrs(pointing.alt, pointing.az, time, reference, location)
    else:
        ra, dec = np.full(time.size, pointing.ra), np.full(time.size, pointing.dec)
    roll = np.zeros(time.size)
    if rotates:
        zenith = _icrs(90.0, 0.0, time, reference, location)
        roll = np.degrees(np.asarray(position_angle(*(np.radians(value) for value in (ra, dec, *zenith))).value))
    return CameraTrack(time, camera_frames(ra, dec, roll))


def _along_table(pointing: Pointing, time: Array) -> tuple[Array, Array, Array]:
    """Times, with those of the rows in between, and positions along the chords of a pointing table."""
    rows = pointing.time
    if rows is None or pointing.table_ra is None or pointing.table_dec is None or rows.size == 0:
        raise ValueError("a pointing of mode table has no rows, expected times, right ascensions and declinations")
    time = np.unique(np.concatenate([time, rows[(rows > time[0]) & (rows < time[-1])]]))
    vectors = unit_vectors(pointing.table_ra, pointing.table_dec)
    return time, *positions(np.stack([np.interp(time, rows, part) for part in vectors]))


def _icrs(
    alt: float, az: float, time: Array, reference: TimeReference, location: EarthLocation | None
) -> tuple[Array, Array]:
    if not (np.isfinite(alt) and np.isfinite(az)):
        raise ValueError(f"a drift needs altitude and azimuth of the pointing, found {alt} and {az}")
    assert location is not None
    when = reference.time + TimeDelta(time, format="sec")
    return from_horizontal(np.full(time.size, alt), np.full(time.size, az), when, location)
