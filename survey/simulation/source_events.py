"""Source events: photons drawn from spectra and shapes, and what the instrument makes of them.

As many photons are drawn of every source as would be detected with the largest effective area that the source sees; they
are then kept in proportion to the effective area at their own energy and offset, so that the expected number is the
integral over energy and shape. Only the sources that reach into the field of view are looked at.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from survey.events.observation import TimeReference
from survey.simulation import kernels_sampling as kernels
from survey.simulation.camera_track import CameraTrack
from survey.simulation.detection import Area, Detection
from survey.simulation.sky_index import SkyIndex
from survey.simulation.source_shapes import draw_directions, sky_integral
from survey.simulation.times import GoodTimes
from survey.sky.frames import positions

Array = NDArray[np.float64]
SECONDS_PER_DAY = 86400.0


class Photons(NamedTuple):
    """Photons that might be detected: arrays (n,), directions (3, n).

    `ceiling` is the effective area (m2) that they were drawn for, `spreads` and `migrates` whether PSF and dispersion are
    applied.
    """

    seconds: Array
    energy: Array
    vectors: Array
    ceiling: Array
    number: NDArray[np.int32]
    spreads: NDArray[np.bool_]
    migrates: NDArray[np.bool_]

    def only(self, kept: NDArray[np.bool_]) -> Photons:
        """Those of them that are kept."""
        return Photons(
            self.seconds[kept],
            self.energy[kept],
            np.ascontiguousarray(self.vectors[:, kept]),
            self.ceiling[kept],
            self.number[kept],
            self.spreads[kept],
            self.migrates[kept],
        )


def draw_sources(
    sky: SkyIndex,
    detection: Detection,
    track: CameraTrack,
    times: GoodTimes,
    livetime: float,
    reference: TimeReference,
    rng: np.random.Generator,
) -> dict[str, NDArray[Any]]:
    """The events of all sources: columns of `survey.simulation.sampler.sample_events`, source by source.

    Parameters
    ----------
    sky : SkyIndex
    detection : Detection
    track : CameraTrack
    times : GoodTimes
    livetime : float
        s.
    reference : TimeReference
        Of the times.
    rng : numpy.random.Generator
    """
    excess = detection.spread.excess if detection.spread is not None else 1.0
    parts = []
    for number, low, high in sky.near(track.centers, detection.area.reach):
        drawn = _photons(
            sky[number], number, detection.area, low, high, livetime * excess, times=times, reference=reference, rng=rng
        )
        if drawn is not None:
            parts.append(drawn)
    columns = [np.concatenate(values, axis=-1) for values in zip(*parts, strict=True)] if parts else _none()
    return _detect(Photons(*columns), detection, track, rng)


def _none() -> list[NDArray[Any]]:
    nothing, flags = np.empty(0), np.empty(0, np.bool_)
    return [nothing, nothing, np.empty((3, 0)), nothing, np.empty(0, np.int32), flags, flags]


def _photons(
    model: Any,
    number: int,
    area: Area,
    low: float,
    high: float,
    livetime: float,
    *,
    times: GoodTimes,
    reference: TimeReference,
    rng: np.random.Generator,
) -> Photons | None:
    """Photons of one model whose offsets lie between `low` and `high`, deg."""
    ceiling = area.ceiling(low, high)
    edges = area.edges
    flux = np.asarray(model.spectral.value(edges), dtype=np.float64) * sky_integral(model.spatial, edges)
    _check_flux(model, edges, flux)
    parts, slope = power_law_integrals(edges, flux)
    expected = parts * ceiling * livetime
    dependence = None if getattr(model, "temporal", None) is None else _Dependence(model, times, reference)
    if dependence is not None:
        expected = expected * dependence.mean
    cumulative = np.cumsum(expected)
    count = int(rng.poisson(cumulative[-1]))
    if count == 0:
        return None
    chosen = np.minimum(np.searchsorted(cumulative, rng.random(count) * cumulative[-1], side="right"), parts.size - 1)
    energy = _inside(rng.random(count), edges[chosen], np.log(edges[chosen + 1] / edges[chosen]), slope[chosen])
    vectors = draw_directions(model.spatial, rng, energy)
    seconds = times.draw(rng, count) if dependence is None else dependence.draw(rng, count)
    flags = getattr(model, "apply_irf", None) or {}
    if not flags.get("exposure", True):
        raise ValueError(f"model {model.name!r} has apply_irf.exposure false: events need an exposure")
    return Photons(
        seconds,
        energy,
        vectors,
        ceiling[chosen],
        np.full(count, number + 1, np.int32),
        np.full(count, flags.get("psf", True)),
        np.full(count, flags.get("edisp", True)),
    )


def _check_flux(model: Any, energy: Array, flux: Array) -> None:
    bad = ~(np.isfinite(flux) & (flux >= 0))
    if bad.any():
        at = int(np.argmax(bad))
        raise ValueError(
            f"model {model.name!r} has the flux {flux[at]:g} TeV-1 s-1 m-2 at {energy[at]:.4g} TeV, "
            "expected a finite one that is not negative: events cannot be drawn from it"
        )


def power_law_integrals(edges: Array, flux: Array) -> tuple[Array, Array]:
    """Integrals of a density between energies, and its powers there, when it is a power law in between.

    Parameters
    ----------
    edges : numpy.ndarray (g + 1,)
        TeV.
    flux : numpy.ndarray (g + 1,)
        TeV-1 times anything, not negative. Beside a zero it is linear, to first order: even at half its value.

    Returns
    -------
    integral, slope : numpy.ndarray (g,)
    """
    low, high, start, stop = edges[:-1], edges[1:], flux[:-1], flux[1:]
    both = (start > 0) & (stop > 0)
    width = np.log(high / low)
    slope = np.where(both, np.log(np.where(both, stop, 1.0) / np.where(both, start, 1.0)) / width, 0.0)
    exponent = (slope + 1.0) * width
    small = np.abs(exponent) < 1e-6
    ratio = np.where(small, 1.0 + 0.5 * exponent, np.expm1(exponent) / np.where(small, 1.0, exponent))
    return np.where(both, low * start * width * ratio, 0.5 * (start + stop) * (high - low)), slope


def _inside(uniform: Array, low: Array, width: Array, slope: Array) -> Array:
    """Energies in bins that begin at `low`, of a density energy**slope."""
    exponent = (slope + 1.0) * width
    small = np.abs(exponent) < 1e-9
    safe = np.where(small, 1.0, slope + 1.0)
    return low * np.exp(np.where(small, uniform * width, np.log1p(uniform * np.expm1(exponent)) / safe))


def _detect(
    photons: Photons, detection: Detection, track: CameraTrack, rng: np.random.Generator
) -> dict[str, NDArray[Any]]:
    """Keep what is detected, smear directions and energies."""
    offset = np.empty(photons.seconds.size)
    centers = np.ascontiguousarray(track.at(photons.seconds)[:, 0])
    kernels.offsets_to(photons.vectors, centers, offset)
    kept = np.ones(offset.size, np.bool_)
    detection.area.keep(rng, photons.energy, offset, photons.ceiling, kept)
    photons = photons.only(kept)
    offset = offset[kept]
    excess = detection.spread.excess if detection.spread is not None else 1.0
    radius, energy = np.zeros(offset.size), photons.energy
    if detection.spread is not None:
        radius = detection.spread.draw(rng, energy, offset)
        if not photons.spreads.all():
            # more photons were drawn than there are, by the PSF's largest integral
            sharp = ~photons.spreads
            radius[sharp] = np.where(rng.random(int(sharp.sum())) * excess < 1.0, 0.0, np.nan)
    if detection.migration is not None:
        energy = detection.migration.draw(rng, energy, offset)
        energy = np.where(photons.migrates, energy, photons.energy)
    ra, dec = positions(photons.vectors)
    vectors = photons.vectors.copy()
    kernels.smear(vectors, radius, 2.0 * np.pi * rng.random(offset.size))
    events: dict[str, NDArray[Any]] = {
        "TIME": photons.seconds,
        "MC_ID": photons.number,
        "MC_ENERGY": photons.energy,
        "MC_RA": ra,
        "MC_DEC": dec,
    }
    events["ENERGY"] = energy
    events["RA"], events["DEC"] = positions(vectors)
    seen = np.isfinite(radius) & np.isfinite(energy) & (energy > 0)
    return {name: values[seen] for name, values in events.items()}


class _Dependence:
    """A time dependence over good times.

    Parameters
    ----------
    model : SkyModel
        With a ``temporal`` part.
    times : GoodTimes
    reference : TimeReference
        Of the times.
    """

    def __init__(self, model: Any, times: GoodTimes, reference: TimeReference) -> None:
        self.temporal, self.times = model.temporal, times
        if self.temporal.is_energy_dependent:
            raise ValueError(
                f"model {model.name!r} has a light curve that changes with energy: events cannot be drawn from it"
            )
        # MJD in TT, counted from the day of the reference, so that microseconds are kept
        self.day = float(reference.time.tt.mjd)
        self.start, self.stop = (self.day + ends / SECONDS_PER_DAY for ends in (times.start, times.stop))
        # fractions of the ontime, which add up to the mean norm
        self.parts = np.asarray(self.temporal.integral(self.start, self.stop), dtype=np.float64)
        if not (np.isfinite(self.parts) & (self.parts >= 0)).all():
            raise ValueError(
                f"model {model.name!r} has a mean norm of {self.parts.sum():g} in the good times from MJD "
                f"{self.start[0]:.5f} to {self.stop[-1]:.5f}, expected a finite one that is not negative"
            )

    @property
    def mean(self) -> float:
        """Mean norm."""
        return float(self.parts.sum())

    def draw(self, rng: np.random.Generator, count: int) -> Array:
        """`count` times, s since the reference."""
        interval = rng.choice(self.parts.size, count, p=self.parts / self.parts.sum())
        seconds = np.empty(count)
        for number in np.unique(interval):
            chosen = interval == number
            start, stop = float(self.start[number]), float(self.stop[number])
            drawn = (self.temporal.sample_time(rng, int(chosen.sum()), start, stop) - start) * SECONDS_PER_DAY
            low, high = self.times.start[number], self.times.stop[number]
            seconds[chosen] = np.clip(low + drawn, low, np.nextafter(high, -np.inf))
        return seconds
