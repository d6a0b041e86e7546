"""Time dependences: norms of a flux by time, their exact integrals, and sampling.

Times are MJD (TT), in days. Every model has a time scale, Gammapy's attribute ``scale``: its reference time is an MJD in
that scale, and the model counts in days of it. Definitions and parameter names are Gammapy's. Pulses are in
`temporal_pulse`, tabulated curves in `temporal_template`.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from survey.models.model import Model
from survey.models.parameters import Parameter, Parameters

Array = NDArray[np.float64]

SCALES = ("tai", "tcb", "tcg", "tdb", "tt", "ut1", "utc")
"""Time scales that TT can be brought to."""

MJD_2000 = 51544.0

SAMPLING_CELLS = 4096
"""Cells of the table that a random time is first looked up in."""


def reference(*, mjd: float = MJD_2000, frozen: bool) -> Parameter:
    """The parameter ``t_ref``, an MJD in the model's own scale."""
    return Parameter("t_ref", mjd, "d", frozen=frozen, scale=0.1)


class TemporalModel(Model):
    """Base of the time dependences.

    Parameters
    ----------
    scale : str
        Time scale of the reference time and of the days that the model counts in, one of `SCALES`.
    **values : float or Parameter
        Parameters by name.
    """

    def __init__(self, *, scale: str = "utc", **values: float | Parameter) -> None:
        super().__init__(**values)
        if scale not in SCALES:
            raise ValueError(f"{self.tag[0]}: scale {scale!r}; expected one of {', '.join(SCALES)}")
        self.scale = scale

    def _settings(self) -> dict[str, str]:
        return {"scale": self.scale}

    def with_parameters(self, parameters: Parameters) -> Self:
        return type(self)(scale=self.scale, **parameters)

    @property
    def is_energy_dependent(self) -> bool:
        """Whether the norm changes with energy; only light curves do: see `LightCurveTemplate.at_energy`."""
        return False

    def _own(self, mjd_tt: ArrayLike) -> Array:
        """MJD in the model's scale of MJD (TT)."""
        mjd_tt = np.asarray(mjd_tt, dtype=float)
        if self.scale == "tt":
            return mjd_tt
        from astropy.time import Time

        return np.asarray(getattr(Time(mjd_tt, format="mjd", scale="tt"), self.scale).mjd)

    def _elapsed(self, mjd_tt: ArrayLike) -> Array:
        """Days since the reference time."""
        return self._own(mjd_tt) - self.t_ref

    @abstractmethod
    def _norm(self, elapsed: Array) -> Array:
        """Norm at days since the reference time."""

    @abstractmethod
    def _primitive(self, elapsed: Array) -> Array:
        """Integral of `_norm` in days, from any fixed time on."""

    def value(self, mjd_tt: ArrayLike) -> Array:
        """Norm at times, MJD (TT)."""
        return self._norm(self._elapsed(mjd_tt))

    def integral(self, start: ArrayLike, stop: ArrayLike) -> Array:
        """Integral of the norm over intervals, as a fraction of their time in all.

        Parameters
        ----------
        start, stop : array_like
            MJD (TT), one shape.

        Returns
        -------
        numpy.ndarray
            Of that shape. As Gammapy's, each is divided by the summed duration of all the intervals, so that the sum
            over intervals is the mean norm.
        """
        first, last = self._elapsed(start), self._elapsed(stop)
        duration = np.sum(np.asarray(stop, dtype=float) - np.asarray(start, dtype=float))
        return np.asarray(self._between(first, last) / duration)

    def mean(self, start: ArrayLike, stop: ArrayLike) -> float:
        """Mean norm over intervals, MJD (TT), of one shape."""
        return float(np.sum(self.integral(start, stop)))

    def _between(self, first: Array, last: Array) -> Array:
        """Integral of the norm in days between days since the reference time."""
        return self._primitive(last) - self._primitive(first)

    def sample_time(self, rng: np.random.Generator, n: int, start: ArrayLike, stop: ArrayLike) -> Array:
        """Random times with the norm as their density, by the inverse of its integral.

        Parameters
        ----------
        rng : numpy.random.Generator
        n : int
            How many.
        start, stop : array_like
            Interval, MJD (TT), or intervals that do not overlap, shape (k,).

        Returns
        -------
        numpy.ndarray
            MJD (TT), shape (n,), in random order.

        Raises
        ------
        ValueError
            When the norm is negative somewhere in an interval, or zero everywhere.
        """
        starts, stops = np.atleast_1d(np.asarray(start, dtype=float)), np.atleast_1d(np.asarray(stop, dtype=float))
        if not (starts.size and (starts < stops).all()):
            raise ValueError(f"{self.tag[0]}: intervals from MJD {starts} to {stops}, expected start < stop")
        first, last = self._elapsed(starts), self._elapsed(stops)
        contents = self._between(first, last)
        if not (contents.min() >= 0 and 0 < contents.sum() < np.inf):
            raise ValueError(
                f"{self.tag[0]}: the norm is {contents.sum() / (last - first).sum():g} in the mean, expected it positive"
            )
        interval = rng.choice(starts.size, size=n, p=contents / contents.sum())
        times = np.empty(n)
        for k in np.unique(interval):
            some, span = np.flatnonzero(interval == k), float(last[k] - first[k])
            share = self._sample(rng, some.size, float(first[k]), span) / span
            times[some] = starts[k] + share * (stops[k] - starts[k])
        return times

    def _sample(self, rng: np.random.Generator, n: int, first: float, span: float) -> Array:
        """Random days since the start of an interval, which is given in days since the reference time."""
        grid = first + span * np.linspace(0, 1, SAMPLING_CELLS + 1)
        contents = self._between(np.full_like(grid, first), grid)
        if np.diff(contents).min() < -1e-12 * contents[-1] or self._norm(grid[1:-1]).min() < 0:
            raise ValueError(f"{self.tag[0]}: the norm is negative in a part of the interval; no times follow it")
        contents = np.maximum.accumulate(contents)
        target = contents[-1] * rng.random(n)
        cell = np.clip(np.searchsorted(contents, target, side="right"), 1, SAMPLING_CELLS)
        low, high = grid[cell - 1], grid[cell]
        share = (target - contents[cell - 1]) / np.maximum(contents[cell] - contents[cell - 1], np.finfo(float).tiny)
        time = low + np.clip(share, 0, 1) * (high - low)
        for _ in range(60):
            excess = self._between(np.full_like(time, first), time) - target
            low, high = np.where(excess < 0, time, low), np.where(excess < 0, high, time)
            with np.errstate(divide="ignore", invalid="ignore"):
                newton = time - excess / self._norm(time)
            inside = (newton >= low) & (newton <= high)
            following = np.where(inside, newton, 0.5 * (low + high))
            moved = np.max(np.abs(following - time), initial=0.0)
            time = following
            if moved <= 1e-13 * span:
                break
        return time - first


class ConstantTime(TemporalModel):
    """A norm of one at all times."""

    tag: ClassVar[tuple[str, ...]] = ("ConstantTemporalModel", "const")
    defaults: ClassVar[tuple[Parameter, ...]] = ()

    def _elapsed(self, mjd_tt: ArrayLike) -> Array:
        return self._own(mjd_tt)

    def _norm(self, elapsed: Array) -> Array:
        return np.ones_like(elapsed)

    def _primitive(self, elapsed: Array) -> Array:
        return elapsed


class LinearTime(TemporalModel):
    """Linear: alpha + beta x (time - t_ref).

    Parameters
    ----------
    alpha : float
        Norm at the reference time.
    beta : float
        Change, d-1.
    t_ref : float
        Reference time, MJD.
    """

    tag: ClassVar[tuple[str, ...]] = ("LinearTemporalModel", "linear")
    defaults: ClassVar[tuple[Parameter, ...]] = (
        Parameter("alpha", 1.0),
        Parameter("beta", 0.0, "d-1"),
        reference(frozen=True),
    )

    def _norm(self, elapsed: Array) -> Array:
        return self.alpha + self.beta * elapsed

    def _primitive(self, elapsed: Array) -> Array:
        return self.alpha * elapsed + 0.5 * self.beta * elapsed**2

    def _between(self, first: Array, last: Array) -> Array:
        return (last - first) * (self.alpha + 0.5 * self.beta * (first + last))


class ExpDecayTime(TemporalModel):
    """Exponential decay: exp(-(time - t_ref) / t0).

    Parameters
    ----------
    t0 : float
        Time of decay, d.
    t_ref : float
        Reference time, MJD.
    """

    tag: ClassVar[tuple[str, ...]] = ("ExpDecayTemporalModel", "exp-decay")
    defaults: ClassVar[tuple[Parameter, ...]] = (Parameter("t0", 1.0, "d"), reference(frozen=True))

    def _norm(self, elapsed: Array) -> Array:
        return np.exp(-elapsed / self.t0)

    def _primitive(self, elapsed: Array) -> Array:
        return -self.t0 * np.exp(-elapsed / self.t0)

    def _between(self, first: Array, last: Array) -> Array:
        return -self.t0 * np.exp(-first / self.t0) * np.expm1(-(last - first) / self.t0)


class PowerLawTime(TemporalModel):
    """Power law: ((time - t_ref) / t0)**alpha after the reference time, zero before it.

    Parameters
    ----------
    alpha : float
        Exponent.
    t_ref : float
        Reference time, MJD.
    t0 : float
        Scale of time, d.
    """

    tag: ClassVar[tuple[str, ...]] = ("PowerLawTemporalModel", "powerlaw")
    defaults: ClassVar[tuple[Parameter, ...]] = (
        Parameter("alpha", 1.0),
        reference(frozen=True),
        Parameter("t0", 1.0, "d", frozen=True),
    )

    def _norm(self, elapsed: Array) -> Array:
        x = np.maximum(elapsed, 0.0) / self.t0
        with np.errstate(divide="ignore"):
            return np.where(elapsed > 0, x**self.alpha, 0.0)

    def _primitive(self, elapsed: Array) -> Array:
        x = np.maximum(elapsed, 0.0) / self.t0
        with np.errstate(divide="ignore"):
            if self.alpha == -1:
                return self.t0 * np.log(x)
            return self.t0 * x ** (self.alpha + 1) / (self.alpha + 1)


class SineTime(TemporalModel):
    """Sine wave around one: 1 + amp x sin(omega (time - t_ref)).

    Parameters
    ----------
    amp : float
        Amplitude.
    omega : float
        Angular frequency, rad d-1.
    t_ref : float
        Reference time, MJD.
    """

    tag: ClassVar[tuple[str, ...]] = ("SineTemporalModel", "sinus")
    defaults: ClassVar[tuple[Parameter, ...]] = (
        Parameter("amp", 1.0),
        Parameter("omega", 1.0, "rad d-1"),
        reference(frozen=False),
    )

    def _norm(self, elapsed: Array) -> Array:
        return 1.0 + self.amp * np.sin(self.omega * elapsed)

    def _primitive(self, elapsed: Array) -> Array:
        return self._between(np.zeros_like(elapsed), elapsed)

    def _between(self, first: Array, last: Array) -> Array:
        # cos a - cos b as a product: no difference of close numbers, and well at omega = 0
        half = 0.5 * self.omega * (last - first)
        wave = np.sin(0.5 * self.omega * (first + last)) * np.sinc(half / np.pi)
        return (last - first) * (1.0 + self.amp * wave)
