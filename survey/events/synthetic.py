"""Synthetic observations and stores: what tests and demonstrations run on when there are no real data.

The instrument is that of ``survey.events.synthetic_response``. Events are drawn from the formulas that fill its tables:
the background by its rate, power law and fall with offset; sources by effective area, PSF and energy dispersion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import astropy.units as u
import numpy as np
from astropy.coordinates import ICRS, AltAz, EarthLocation
from astropy.time import TimeDelta
from numpy.typing import NDArray

from survey.events.gadf_writer import write_store
from survey.events.observation import Observation, Pointing, TimeReference
from survey.events.synthetic_response import (
    CORE_FRACTION,
    KING_GAMMA,
    TAIL_WIDTH,
    SyntheticInstrument,
    background_slope,
)
from survey.sky.earth_rotation import installed_rotation

PointingMode = Literal["icrs", "altaz", "table"]
Pattern = Literal["wobble", "grid", "line"]
REFERENCE = TimeReference(mjdrefi=55927, mjdreff=0.0, scale="tt")
LONGITUDE, LATITUDE, HEIGHT = 16.5002222, -23.2717778, 1835.0
DEAD_TIME_CORRECTION = 0.95
SIDEREAL_DAY = 86164.0905
# Local sidereal time at REFERENCE, deg, good to a few hundredths: only the turning of the field depends on it.
_SIDEREAL_AT_REFERENCE = (280.46061837 + 360.98564736629 * (REFERENCE.mjdrefi - 51544.5) + LONGITUDE) % 360.0


@dataclass(frozen=True)
class SyntheticSource:
    """A source with a power-law spectrum.

    Parameters
    ----------
    ra, dec : float
        Position, deg, ICRS.
    sigma : float
        Standard deviation of a Gaussian extension, deg; 0 for a point.
    amplitude : float
        Flux density at 1 TeV, TeV-1 s-1 m-2. The Crab nebula has about 3.5e-7.
    index : float
        Spectral index, positive.
    """

    ra: float
    dec: float
    sigma: float = 0.0
    amplitude: float = 3.5e-7
    index: float = 2.4


def make_observation(
    obs_id: int,
    ra: float,
    dec: float,
    *,
    livetime: float = 1600.0,
    n_events: int | None = None,
    sources: Sequence[SyntheticSource] = (),
    instrument: SyntheticInstrument | None = None,
    pointing: PointingMode = "icrs",
    zenith: float | None = None,
    n_gti: int = 1,
    extra_columns: bool = False,
    store: str = "synthetic",
    seed: int = 0,
) -> Observation:
    """One observation; equal arguments give equal bits.

    Parameters
    ----------
    obs_id : int
        Every obs_id has a night of its own.
    ra, dec : float
        Pointing at mid-run, deg, ICRS.
    livetime : float
        s.
    n_events : int, optional
        Exactly this many background events instead of a Poisson number about the model.
    sources : sequence of SyntheticSource
        Shine into the field of view.
    instrument : SyntheticInstrument, optional
        Default: ``SyntheticInstrument()``.
    pointing : str
        ``icrs``; ``altaz``, a drift scan; ``table``, a slow sweep of 0.4 deg along the declination.
    zenith : float, optional
        deg, of the responses and the index; default: what the place and the time give.
    n_gti : int
        Number of good time intervals, 60 s apart.
    extra_columns : bool
        Add ``EVENT_TYPE`` (32 bits), ``MULTIP`` and ``GAMMANESS``.
    store : str
        First part of the identity.
    seed : int
        Of the random numbers, together with `obs_id`.

    Returns
    -------
    Observation
    """
    instrument = SyntheticInstrument() if instrument is None else instrument
    rng = np.random.default_rng([seed, obs_id])
    ontime = livetime / DEAD_TIME_CORRECTION
    start, stop = _good_times(obs_id, ra, ontime, n_gti)
    middle = 0.5 * (start[0] + stop[-1])
    alt, az = _horizontal(ra, dec, middle)
    track = _track(pointing, ra, dec, alt, az, start[0], stop[-1])
    zenith = 90.0 - alt if zenith is None else zenith

    n_background = rng.poisson(instrument.background_inside * ontime) if n_events is None else n_events
    parts = [_background_events(rng, instrument, track, n_background, start, stop)]
    for source in sources:
        parts.append(_source_events(rng, instrument, source, track, zenith, livetime, start, stop))
    time, event_ra, event_dec, energy = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.argsort(time, kind="stable")
    events: dict[str, NDArray] = {
        "EVENT_ID": np.arange(1, order.size + 1, dtype=np.int64),
        "TIME": time[order],
        "RA": event_ra[order],
        "DEC": event_dec[order],
        "ENERGY": energy[order].astype(np.float32),
    }
    if extra_columns:
        events["EVENT_TYPE"] = rng.random((order.size, 32)) < 0.1
        events["MULTIP"] = rng.integers(2, 5, order.size).astype(np.int16)
        events["GAMMANESS"] = rng.random(order.size).astype(np.float32)
    return Observation(
        identity=f"{store}-{obs_id}",
        obs_id=obs_id,
        pointing=Pointing(pointing, ra, dec, alt, az, *(track if pointing == "table" else ())),
        reference=REFERENCE,
        gti_start=start,
        gti_stop=stop,
        ontime=float((stop - start).sum()),
        livetime=float((stop - start).sum()) * DEAD_TIME_CORRECTION,
        events=events,
        responses=instrument.responses(zenith),
        location=_location(),
        zenith=zenith,
        metadata={"OBJECT": "synthetic", "TELESCOP": "SYNTH", "INSTRUME": "array", "QUALITY": 0, "N_TELS": 4},
    )


def make_observations(
    n_observations: int,
    *,
    ra: float = 83.63,
    dec: float = -22.01,
    pattern: Pattern = "wobble",
    spacing: float = 0.7,
    first_obs_id: int = 1,
    livetime: float = 1600.0,
    sources: Sequence[SyntheticSource] = (),
    instrument: SyntheticInstrument | None = None,
    seed: int = 0,
) -> list[Observation]:
    """Observations about (`ra`, `dec`), deg.

    `pattern` is ``wobble`` (at `spacing` deg north, south, east and west in turn), ``grid`` (a square of that spacing)
    or ``line`` (one beside the other along the right ascension).
    """
    observations = []
    for number in range(n_observations):
        x, y = _place(pattern, number, n_observations, spacing)
        position = _offset_by(np.array(ra), np.array(dec), np.array(x), np.array(y), np.array(0.0))
        observations.append(
            make_observation(
                first_obs_id + number,
                float(position[0]),
                float(position[1]),
                livetime=livetime,
                sources=sources,
                instrument=instrument,
                seed=seed,
            )
        )
    return observations


def make_store(
    path: str | Path,
    *,
    n_observations: int = 4,
    ra: float = 83.63,
    dec: float = -22.01,
    pattern: Pattern = "wobble",
    spacing: float = 0.7,
    livetime: float = 1600.0,
    sources: Sequence[SyntheticSource] = (),
    instrument: SyntheticInstrument | None = None,
    compress: bool = False,
    seed: int = 0,
) -> Path:
    """Write the store of :func:`make_observations` to `path`; returns its folder."""
    observations = make_observations(
        n_observations,
        ra=ra,
        dec=dec,
        pattern=pattern,
        spacing=spacing,
        livetime=livetime,
        sources=sources,
        instrument=instrument,
        seed=seed,
    )
    return write_store(path, observations, compress=compress)


def _place(pattern: str, number: int, count: int, spacing: float) -> tuple[float, float]:
    """East and north offsets, deg, of observation `number` of `count`."""
    if pattern == "wobble":
        return ((0.0, spacing), (0.0, -spacing), (spacing, 0.0), (-spacing, 0.0))[number % 4]
    side = int(np.ceil(np.sqrt(count))) if pattern == "grid" else count
    row, column = divmod(number, side)
    rows = -(-count // side)
    return (column - 0.5 * (side - 1)) * spacing, (row - 0.5 * (rows - 1)) * spacing


def _good_times(obs_id: int, ra: float, ontime: float, n_gti: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Good time intervals (s since REFERENCE) of night `obs_id`, half an hour after the culmination of `ra`."""
    hour_angle = 7.5
    to_culmination = ((ra + hour_angle - _SIDEREAL_AT_REFERENCE) % 360.0) / 360.0 * SIDEREAL_DAY
    first = round((obs_id % 3000) * SIDEREAL_DAY + to_culmination, 3)
    length = ontime / n_gti
    start = first + np.arange(n_gti, dtype=np.float64) * (length + 60.0)
    return start, start + length


def _hour_angle(ra: NDArray | float, time: NDArray | float) -> NDArray[np.float64]:
    """Hour angle, rad, of `ra` (deg) at `time` (s since REFERENCE)."""
    return np.radians(_SIDEREAL_AT_REFERENCE + 360.0 * np.asarray(time) / SIDEREAL_DAY - ra)


def _location() -> EarthLocation:
    return EarthLocation.from_geodetic(LONGITUDE * u.deg, LATITUDE * u.deg, HEIGHT * u.m)


def _horizontal(ra: float, dec: float, time: float) -> tuple[float, float]:
    """Altitude and azimuth, deg."""
    when = REFERENCE.time + TimeDelta(time, format="sec")
    with installed_rotation():
        altaz = ICRS(ra * u.deg, dec * u.deg).transform_to(AltAz(obstime=when, location=_location()))
    return float(altaz.alt.deg), float(altaz.az.deg)


class _Track(NamedTuple):
    """Where the telescopes look: seconds since REFERENCE, right ascension and declination (deg)."""

    time: NDArray[np.float64]
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]

    def at(self, time: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Right ascension and declination of the pointing at `time`."""
        turns = np.unwrap(self.ra, period=360.0)
        ra = np.asarray(np.interp(time, self.time, turns) % 360.0, dtype=np.float64)
        return ra, np.asarray(np.interp(time, self.time, self.dec), dtype=np.float64)


def _track(mode: PointingMode, ra: float, dec: float, alt: float, az: float, start: float, stop: float) -> _Track:
    times = np.linspace(start, stop, 33)
    if mode == "altaz":
        when = REFERENCE.time + TimeDelta(times, format="sec")
        with installed_rotation():
            frame = AltAz(np.full(33, az) * u.deg, np.full(33, alt) * u.deg, obstime=when, location=_location())
            track = frame.transform_to(ICRS())
        return _Track(times, np.asarray(track.ra.deg), np.asarray(track.dec.deg))
    sweep = 0.4 if mode == "table" else 0.0
    return _Track(times, np.full(33, ra), dec + sweep * (times - 0.5 * (start + stop)) / (stop - start))


def _zenith_angle(ra: NDArray, dec: NDArray, time: NDArray) -> NDArray[np.float64]:
    """Position angle of the zenith, rad, north through east."""
    hour = _hour_angle(ra, time)
    latitude, declination = np.radians(LATITUDE), np.radians(dec)
    return np.arctan2(
        np.sin(hour) * np.cos(latitude),
        np.sin(latitude) * np.cos(declination) - np.cos(latitude) * np.sin(declination) * np.cos(hour),
    )


def _offset_by(
    ra: NDArray, dec: NDArray, left: NDArray, up: NDArray, angle: NDArray
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions (deg) at spherical offsets `left`, `up` (deg) from (`ra`, `dec`); `angle` is that of `up` (rad)."""
    lon, lat = np.radians(left), np.radians(up)
    x, side, rise = np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)
    east = side * np.cos(angle) + rise * np.sin(angle)
    north = rise * np.cos(angle) - side * np.sin(angle)
    declination = np.radians(dec)
    z = np.clip(x * np.sin(declination) + north * np.cos(declination), -1.0, 1.0)
    turn = np.arctan2(east, x * np.cos(declination) - north * np.sin(declination))
    return (ra + np.degrees(turn)) % 360.0, np.degrees(np.arcsin(z))


def _times(rng: np.random.Generator, count: int, start: NDArray, stop: NDArray) -> NDArray[np.float64]:
    """`count` times spread evenly over the good time intervals."""
    ends = np.cumsum(stop - start)
    elapsed = rng.random(count) * ends[-1]
    interval = np.minimum(np.searchsorted(ends, elapsed, side="right"), ends.size - 1)
    return np.clip(stop[interval] - (ends[interval] - elapsed), start[interval], stop[interval])


def _background_events(
    rng: np.random.Generator,
    instrument: SyntheticInstrument,
    track: _Track,
    count: int,
    start: NDArray,
    stop: NDArray,
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Time, right ascension, declination and energy of `count` background events."""
    time = _times(rng, count, start, stop)
    x, y = _field_positions(rng, instrument, count)
    ra, dec = track.at(time)
    if instrument.fov_alignment == "ALTAZ":
        position = _offset_by(ra, dec, x, y, _zenith_angle(ra, dec, time))
    else:
        # The field-of-view longitude of an equatorial alignment grows to the west.
        left = x if instrument.fov_alignment == "REVERSE_LON_RADEC" else -x
        position = _offset_by(ra, dec, left, y, np.zeros(count))
    slope = 1.0 - instrument.background_index
    low, high = instrument.background_energy_min**slope, 100.0**slope
    energy = (low + rng.random(count) * (high - low)) ** (1.0 / slope)
    return time, *position, energy


def _field_positions(
    rng: np.random.Generator, instrument: SyntheticInstrument, count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Field-of-view coordinates, deg, drawn from the shape of the background by rejection."""
    x, y = np.empty(0), np.empty(0)
    steepest = 1.0 + instrument.offset_max * float(np.abs(instrument.background_gradient).sum())
    while x.size < count:
        trial = rng.normal(0.0, instrument.background_width, (2, 2 * count + 16))
        if instrument.bkg_form == "bkg_2d":
            inside = np.hypot(*trial) < instrument.offset_max
        else:
            inside = np.all(np.abs(trial) < instrument.offset_max, axis=0)
            inside &= rng.random(trial.shape[1]) * steepest < background_slope(instrument, *trial)
        x, y = np.append(x, trial[0, inside]), np.append(y, trial[1, inside])
    return x[:count], y[:count]


def _source_events(
    rng: np.random.Generator,
    instrument: SyntheticInstrument,
    source: SyntheticSource,
    track: _Track,
    zenith: float,
    livetime: float,
    start: NDArray,
    stop: NDArray,
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Time, right ascension, declination and reconstructed energy of the detected events of `source`."""
    edges = np.geomspace(0.03, 100.0, 401)
    centres = np.sqrt(edges[1:] * edges[:-1])
    flux = source.amplitude * centres**-source.index * np.diff(edges)
    middle = track.time.size // 2
    offset = _separation(float(track.ra[middle]), float(track.dec[middle]), source.ra, source.dec)
    area = instrument.effective_area(centres, np.full(centres.size, offset), round(zenith / 10.0) * 10.0)
    expected = flux * area * livetime * (offset < instrument.offset_max)
    count = int(rng.poisson(expected.sum()))
    time = _times(rng, count, start, stop)
    cumulative = np.append(0.0, np.cumsum(expected))
    energy_true = np.exp(np.interp(rng.random(count) * cumulative[-1], cumulative, np.log(edges)))
    mean, sigma = instrument.migration(energy_true)
    energy = energy_true * np.exp(mean + sigma * rng.normal(size=count))
    width = instrument.psf_width(energy_true, np.full(count, offset))
    if instrument.psf_form == "psf_king":
        radius = width * np.sqrt(2.0 * KING_GAMMA * (rng.random(count) ** (1.0 / (1.0 - KING_GAMMA)) - 1.0))
    else:
        tail = np.where(rng.random(count) < CORE_FRACTION, 1.0, TAIL_WIDTH)
        radius = width * tail * np.sqrt(-2.0 * np.log1p(-rng.random(count)))
    angle = 2.0 * np.pi * rng.random(count)
    extension = source.sigma * rng.normal(size=(2, count))
    left, up = radius * np.cos(angle) + extension[0], radius * np.sin(angle) + extension[1]
    ra, dec = np.full(count, source.ra), np.full(count, source.dec)
    return time, *_offset_by(ra, dec, left, up, np.zeros(count)), energy


def _separation(ra: float, dec: float, other_ra: float, other_dec: float) -> float:
    """Angle between two positions, all deg."""
    a, b = np.radians(dec), np.radians(other_dec)
    haversine = np.sin(0.5 * (a - b)) ** 2 + np.cos(a) * np.cos(b) * np.sin(np.radians(0.5 * (ra - other_ra))) ** 2
    return float(np.degrees(2.0 * np.arcsin(np.sqrt(haversine))))
