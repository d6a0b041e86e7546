"""The observation: one row of a data store with its events, good times, pointing and responses, checked and in memory.

`survey.events.gadf` reads it from FITS, `survey.events.archive` from an archive; both give the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from astropy.coordinates import EarthLocation
from astropy.time import Time
from numpy.typing import NDArray

from survey.response.table import ResponseKind, ResponseTable


class ObservationRejected(Exception):
    """An observation cannot be used; the message names observation, file, HDU, value found and value expected.

    Parameters
    ----------
    message : str
        What is the matter.
    part : str
        HDU type at fault, where the message does not name its HDU: `ObservationSource.problem` looks it up.
    """

    sets_aside = True
    """What runs the unit of work takes this for a bad input: it is set aside, and the run goes on."""
    result: dict[str, Any] | None = None
    """What is known of the observation all the same, plain values."""

    def __init__(self, message: str = "", *, part: str = "") -> None:
        super().__init__(message)
        self.part = part


@dataclass(frozen=True)
class TimeReference:
    """Reference of times that are stored as seconds.

    Parameters
    ----------
    mjdrefi, mjdreff : int, float
        Integer and fractional day of the reference, MJD.
    scale : str
        Time scale in lower case: ``tt``, ``utc``, ``tai``.
    """

    mjdrefi: int
    mjdreff: float
    scale: str = "tt"

    @cached_property
    def time(self) -> Time:
        """The reference as an astropy time."""
        return Time(self.mjdrefi, self.mjdreff, format="mjd", scale=self.scale)

    def mjd_at(self, seconds: float) -> float:
        """Day of a time in its own scale, to a microsecond or so."""
        return self.mjdrefi + self.mjdreff + seconds / 86400.0


@dataclass(frozen=True, eq=False)
class Pointing:
    """Where the telescopes look.

    Parameters
    ----------
    mode : str
        ``icrs`` (fixed on the sky), ``altaz`` (fixed in the horizontal frame, drift) or ``table``.
    ra, dec : float
        Position at mid-run, deg, ICRS, in every mode.
    alt, az : float
        Horizontal position at mid-run, deg; NaN when it is not known.
    time, table_ra, table_dec : numpy.ndarray or None
        The pointing table: seconds since the observation's time reference, deg, deg (mode ``table`` only).
    """

    mode: Literal["icrs", "altaz", "table"]
    ra: float
    dec: float
    alt: float = float("nan")
    az: float = float("nan")
    time: NDArray[np.float64] | None = None
    table_ra: NDArray[np.float64] | None = None
    table_dec: NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class Observation:
    """One observation, checked.

    Parameters
    ----------
    identity : str
        Unique in a survey and stable: store name, obs_id and event type, safe as a file name.
    obs_id : int
        Of the data store.
    pointing : Pointing
        Where the telescopes look.
    reference : TimeReference
        What every time in seconds here counts from.
    gti_start, gti_stop : numpy.ndarray
        Good time intervals, s since `reference`, sorted, not overlapping.
    ontime, livetime : float
        s. `ontime` is the sum of the good time intervals, `livetime` is ontime x (dead-time correction).
    events : mapping of str to numpy.ndarray
        At least ``EVENT_ID``, ``TIME`` (s), ``RA``, ``DEC`` (deg, ICRS), ``ENERGY`` (TeV), in the file's precision, native
        byte order, file order. Other columns of the file under their own names.
    responses : mapping of str to ResponseTable
        By kind: ``aeff``, ``edisp``, ``psf``, ``bkg``, ``rad_max``; absent kinds are left out.
    location : astropy.coordinates.EarthLocation or None
        Of the observatory.
    zenith : float
        Zenith angle of the pointing, deg; NaN when it is not known.
    metadata : mapping
        Header keywords and index columns that describe it: ``OBJECT``, ``TELESCOP``, ``CREATOR``, ``OBS_MODE``, ``QUALITY``, ...
    notes : tuple of str
        What was odd and how it was read, one line each.
    doubts : tuple of str
        Those of the notes that ``strict`` refuses.
    """

    identity: str
    obs_id: int
    pointing: Pointing
    reference: TimeReference
    gti_start: NDArray[np.float64]
    gti_stop: NDArray[np.float64]
    ontime: float
    livetime: float
    events: Mapping[str, NDArray]
    responses: Mapping[ResponseKind, ResponseTable]
    location: EarthLocation | None = None
    zenith: float = float("nan")
    metadata: Mapping[str, str | float | int | bool] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def n_events(self) -> int:
        """Number of events read."""
        return self.events["ENERGY"].size

    @cached_property
    def tstart(self) -> float:
        """First good second, s since `reference`."""
        return float(self.gti_start[0])

    @cached_property
    def tstop(self) -> float:
        """Last good second, s since `reference`."""
        return float(self.gti_stop[-1])
