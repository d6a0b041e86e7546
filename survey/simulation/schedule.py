"""The schedule: which position is observed when, by a rule that draws no random number.

Every night is cut into runs. Each run takes, of the positions that still want one and are within the zenith range, the one
nearest to its culmination; a drift is taken when nothing else can be. The Moon is not looked at. Times and zenith angles of
the result are exact; those that the rule works with are good to a few hundredths of a degree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from astropy.time import Time, TimeDelta
from numpy.typing import NDArray

from survey.events.observation import Pointing, TimeReference
from survey.simulation.pointings import Targets
from survey.simulation.site import Site, from_horizontal, of_date, to_horizontal

REFERENCE = TimeReference(mjdrefi=51910, mjdreff=0.0, scale="tt")
"""2001-01-01, as in the files of H.E.S.S."""
DAY = 86400.0
NIGHTS_AT_ONCE = 400
MOST_NIGHTS = 20 * 366


class ScheduleError(ValueError):
    """Positions that can never be observed; one line each kind."""


@dataclass(frozen=True)
class Observing:
    """How observations are made.

    Parameters
    ----------
    start : float
        First night, MJD (UTC).
    ontime : float
        Of a run, s.
    gap : float
        Between runs, s.
    dead_time : float
        Fraction of the ontime.
    zenith_max : float
        Largest zenith angle at mid-run, deg.
    hour_angle_max : float
        Largest distance from the culmination at mid-run, deg.
    """

    start: float
    ontime: float = 1680.0
    gap: float = 120.0
    dead_time: float = 0.05
    zenith_max: float = 60.0
    hour_angle_max: float = 45.0


@dataclass(frozen=True)
class Run:
    """One observation to be made, in plain values.

    Parameters
    ----------
    obs_id : int
        From 1, in the order of time.
    mode : str
        ``icrs`` or ``altaz``.
    ra, dec, alt, az : float
        Of the pointing at mid-run, deg.
    start : float
        s since `REFERENCE`.
    ontime, livetime : float
        s.
    target : str
        Name of its pattern.
    """

    obs_id: int
    mode: str
    ra: float
    dec: float
    alt: float
    az: float
    start: float
    ontime: float
    livetime: float
    target: str

    @property
    def zenith(self) -> float:
        """Zenith angle at mid-run, deg."""
        return 90.0 - self.alt

    @property
    def pointing(self) -> Pointing:
        """Where it looks."""
        return Pointing("altaz" if self.mode == "altaz" else "icrs", self.ra, self.dec, self.alt, self.az)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Run:
        """Inverse of `as_dict`."""
        return cls(**values)


def make_schedule(targets: Targets, site: Site, observing: Observing) -> tuple[Run, ...]:
    """Give every visit of every position its time.

    Parameters
    ----------
    targets : Targets
        What is observed.
    site : Site
        Where from.
    observing : Observing
        How.

    Returns
    -------
    tuple of Run
        In the order of time; no two overlap.

    Raises
    ------
    ScheduleError
        When a position never comes within the zenith range, or its runs do not fit into decades of nights.
    """
    chosen, middle = _assign(targets, site, observing)
    when = Time(np.floor(middle), middle - np.floor(middle), format="mjd", scale="utc").tt
    # In whole milliseconds, so that no later sum or difference of times rounds.
    seconds = np.round((when - REFERENCE.time).to_value("s") - 0.5 * observing.ontime, 3)
    when = REFERENCE.time + TimeDelta(seconds + 0.5 * observing.ontime, format="sec")
    ra, dec, alt, az = (column[chosen].copy() for column in (targets.ra, targets.dec, targets.alt, targets.az))
    drifts = targets.drifts[chosen]
    if not drifts.all():
        alt[~drifts], az[~drifts] = to_horizontal(ra[~drifts], dec[~drifts], when[~drifts], site.location)
    if drifts.any():
        ra[drifts], dec[drifts] = from_horizontal(alt[drifts], az[drifts], when[drifts], site.location)
    livetime = observing.ontime * (1.0 - observing.dead_time)
    return tuple(
        Run(
            number + 1,
            "altaz" if drifts[number] else "icrs",
            float(ra[number]),
            float(dec[number]),
            float(alt[number]),
            float(az[number]),
            float(seconds[number]),
            observing.ontime,
            livetime,
            targets.names[target],
        )
        for number, target in enumerate(chosen)
    )


def _assign(targets: Targets, site: Site, observing: Observing) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Position of every run and its middle, MJD (UTC), in the order of time."""
    ra, limit = _limits(targets, site, observing)
    left = targets.visits.copy()
    wanted = int(left.sum())
    chosen, middles = np.empty(wanted, np.int64), np.empty(wanted)
    count, middle = 0, None
    for middle in _slots(site, observing):
        if count == wanted:
            break
        angle = np.abs((site.sidereal(middle) - ra + 180.0) % 360.0 - 180.0)
        # A drift has no culmination: it is as far from it as can be, and always within its limit.
        angle[targets.drifts] = 360.0
        angle[(angle > limit) | (left == 0)] = np.inf
        best = int(np.argmin(angle))
        if angle[best] < np.inf:
            chosen[count], middles[count] = best, middle
            left[best] -= 1
            count += 1
    if middle is None:
        raise ScheduleError(
            f"no night at latitude {site.lat:g} deg has room for a run of {observing.ontime:g} s: expected a shorter ontime"
        )
    if count < wanted:
        short = int(np.argmax(left))
        raise ScheduleError(
            f"{wanted - count} of {wanted} runs found no time in {MOST_NIGHTS // 366} years, the first at "
            f"{_place(targets, short)}: expected fewer runs, or larger zenith_max and hour_angle_max"
        )
    return chosen, middles


def _limits(targets: Targets, site: Site, observing: Observing) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Right ascension of date and largest hour angle of every position, deg; a drift has none."""
    fixed = ~targets.drifts
    ra, limit = np.zeros(targets.size), np.full(targets.size, 360.0)
    if fixed.any():
        date = Time(observing.start, format="mjd", scale="utc")
        ra[fixed], dec = of_date(targets.ra[fixed], targets.dec[fixed], date)
        limit[fixed] = np.minimum(site.largest_hour_angle(dec, observing.zenith_max), observing.hour_angle_max)
    never = np.flatnonzero(limit < 0)
    low = np.flatnonzero(targets.drifts & (90.0 - np.nan_to_num(targets.alt, nan=90.0) > observing.zenith_max))
    bad = np.concatenate([never, low])
    if bad.size:
        first = int(bad[0])
        raise ScheduleError(
            f"{bad.size} of {targets.size} positions never come within {observing.zenith_max:g} deg of the zenith of the "
            f"site at latitude {site.lat:g} deg, the first is {_place(targets, first)}"
        )
    return ra, limit


def _place(targets: Targets, number: int) -> str:
    if targets.drifts[number]:
        return f"alt {targets.alt[number]:g} deg, az {targets.az[number]:g} deg"
    return f"ra {targets.ra[number]:.2f} deg, dec {targets.dec[number]:.2f} deg"


def _slots(site: Site, observing: Observing) -> Iterator[float]:
    """Middles of the runs that nights have room for, MJD (UTC)."""
    length, step = observing.ontime / DAY, (observing.ontime + observing.gap) / DAY
    first, done = observing.start, 0
    while done < MOST_NIGHTS:
        starts, stops = site.nights(first, NIGHTS_AT_ONCE)
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
            room = int((stop - start + observing.gap / DAY) / step)
            begin = max(start, observing.start)
            for number in range(room):
                run = begin + number * step
                if run + length <= stop:
                    yield run + 0.5 * length
        first = 0.5 * (starts[-1] + stops[-1]) + 0.5
        done += NIGHTS_AT_ONCE
