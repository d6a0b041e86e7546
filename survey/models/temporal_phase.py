"""Phase curves: a periodic norm, given as a table of norm by phase and a timing solution."""

from __future__ import annotations

import hashlib
import os
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from survey.models.parameters import Parameter, Parameters
from survey.models.temporal import Array, TemporalModel

DAY = 86400.0


class TemplatePhaseCurve(TemporalModel):
    """Norm by phase, linear between the phases of a table, with the phase from a frequency and its derivatives.

    Parameters
    ----------
    phase, norm : array_like
        Table: phases in [0, 1], increasing, and norms, shape (n,).
    filename : str
        Where it was read, as it was given.
    normalize : bool
        Whether the norm is scaled to a mean of one over the phase.
    scale : str
        Time scale.
    **values : float or Parameter
        ``t_ref`` (MJD), ``phi_ref`` (phase there), ``f0``, ``f1``, ``f2`` (frequency and derivatives there, s-1, s-2,
        s-3); all frozen.
    """

    tag: ClassVar[tuple[str, ...]] = ("TemplatePhaseCurveTemporalModel", "template-phase")
    defaults: ClassVar[tuple[Parameter, ...]] = (
        Parameter("t_ref", 48442.5, "d", frozen=True, scale=0.1),
        Parameter("phi_ref", 0.0, frozen=True, scale=0.01),
        Parameter("f0", 29.946923, "s-1", frozen=True),
        Parameter("f1", 0.0, "s-2", frozen=True),
        Parameter("f2", 0.0, "s-3", frozen=True),
    )

    def __init__(
        self,
        phase: ArrayLike,
        norm: ArrayLike,
        *,
        filename: str = "",
        normalize: bool = True,
        scale: str = "utc",
        **values: float | Parameter,
    ) -> None:
        super().__init__(scale=scale, **values)
        self.phase, self.norm = np.array(phase, dtype=float), np.array(norm, dtype=float)
        self.filename, self.normalize = filename, bool(normalize)
        if self.phase.ndim != 1 or self.phase.size < 2 or not (np.diff(self.phase) > 0).all():
            raise ValueError(f"{self.tag[0]}: {filename} phases of shape {self.phase.shape}, expected increasing ones")
        if self.phase[0] < 0 or self.phase[-1] > 1 or self.norm.shape != self.phase.shape:
            raise ValueError(
                f"{self.tag[0]}: {filename} phases {self.phase[0]:g} to {self.phase[-1]:g}, expected 0 to 1"
            )

    @classmethod
    def read(
        cls, path: str | os.PathLike[str], *, normalize: bool = True, scale: str = "utc", **values: float | Parameter
    ) -> Self:
        """Read a FITS table with columns PHASE and NORM.

        Parameters
        ----------
        path : path-like
            File; ``$NAME`` and ``~`` are expanded.
        normalize : bool
            Whether the norm is scaled to a mean of one over the phase.
        scale : str
            Time scale.
        **values : float or Parameter
            The timing solution, which the file does not hold.
        """
        from astropy.io import fits

        file = Path(os.path.expandvars(str(path))).expanduser()
        if not file.is_file():
            raise ValueError(f"{cls.tag[0]}: no file {file}; check the path")
        with fits.open(file, memmap=False) as hdus:
            hdu = next((one for one in hdus if isinstance(one, fits.BinTableHDU)), None)
            names = [] if hdu is None else [name.upper() for name in hdu.columns.names]
            if hdu is None or not {"PHASE", "NORM"} <= set(names):
                raise ValueError(f"{cls.tag[0]}: {file}: columns {', '.join(names) or 'none'}, expected PHASE and NORM")
            phase, norm = (np.asarray(hdu.data[name], dtype=float) for name in ("PHASE", "NORM"))
        return cls(phase, norm, filename=str(path), normalize=normalize, scale=scale, **values)

    def _settings(self) -> dict[str, str]:
        digest = hashlib.sha256(self.phase.tobytes() + self.norm.tobytes()).hexdigest()[:16]
        normalize = str(self.normalize).lower()
        return {"filename": self.filename, "normalize": normalize, "scale": self.scale, "data": digest}

    def with_parameters(self, parameters: Parameters) -> Self:
        return type(self)(
            self.phase, self.norm, filename=self.filename, normalize=self.normalize, scale=self.scale, **parameters
        )

    @cached_property
    def _table(self) -> tuple[Array, Array, Array]:
        """Phases from 0 to 1, norms there (the outermost lines go on), and their integral up to there."""
        x, y = self.phase, self.norm
        first = y[0] - x[0] * (y[1] - y[0]) / (x[1] - x[0])
        last = y[-1] + (1 - x[-1]) * (y[-1] - y[-2]) / (x[-1] - x[-2])
        if x[0] > 0:
            x, y = np.append(0.0, x), np.append(first, y)
        if x[-1] < 1:
            x, y = np.append(x, 1.0), np.append(y, last)
        sums = np.append(0.0, np.cumsum(0.5 * (y[1:] + y[:-1]) * np.diff(x)))
        if not self.normalize:
            return x, y, sums
        if not sums[-1] > 0:
            raise ValueError(f"{self.tag[0]}: {self.filename} has a mean norm of {sums[-1]:g}, expected it positive")
        return x, y / sums[-1], sums / sums[-1]

    def cycles(self, elapsed: Array) -> Array:
        """Phase, with whole periods, at days since the reference time."""
        seconds = elapsed * DAY
        return self.phi_ref + seconds * (self.f0 + seconds / 2 * (self.f1 + seconds / 3 * self.f2))

    def frequency(self, elapsed: Array) -> Array:
        """Periods a day at days since the reference time."""
        seconds = elapsed * DAY
        return DAY * (self.f0 + seconds * (self.f1 + seconds / 2 * self.f2))

    def _norm(self, elapsed: Array) -> Array:
        x, y, _ = self._table
        return np.interp(self.cycles(elapsed) % 1.0, x, y)

    def _contents(self, cycles: Array) -> Array:
        """Integral of the norm in periods, from phase zero on."""
        x, y, sums = self._table
        whole = np.floor(cycles)
        phase = cycles - whole
        k = np.clip(np.searchsorted(x, phase, side="right") - 1, 0, x.size - 2)
        away = phase - x[k]
        slope = (y[k + 1] - y[k]) / (x[k + 1] - x[k])
        return whole * sums[-1] + sums[k] + away * (y[k] + 0.5 * slope * away)

    def _primitive(self, elapsed: Array) -> Array:
        """Integral in days: the mean norm at all times, and what the unfinished period has above it.

        Exact for a constant frequency; else to a part of f1 / f0**2 in a period, whatever the number of periods.
        """
        mean = self._table[2][-1]
        cycles = self.cycles(elapsed)
        return mean * elapsed + (self._contents(cycles) - mean * cycles) / self.frequency(elapsed)

    def _sample(self, rng: np.random.Generator, n: int, first: float, span: float) -> Array:
        # by the phase, of which the integral is the inverse of straight lines; then the time of the phase
        ends = np.array([first, first + span])
        low, high = self.cycles(ends)
        x, y, sums = self._table
        frequency = self.frequency(np.linspace(first, first + span, 65))
        if y.min() < 0 or frequency.min() <= 0:
            raise ValueError(f"{self.tag[0]}: norm or frequency is negative; no times follow it")
        least = float(frequency.min())
        contents = self._contents(np.array([low, high]))
        found = np.empty(n)
        done = 0
        while done < n:
            target = contents[0] + (contents[1] - contents[0]) * rng.random(n - done + 8)
            whole = np.floor(target / sums[-1])
            rest = target - whole * sums[-1]
            k = np.clip(np.searchsorted(sums, rest, side="right") - 1, 0, x.size - 2)
            slope, above = (y[k + 1] - y[k]) / (x[k + 1] - x[k]), rest - sums[k]
            root = np.sqrt(np.maximum(y[k] ** 2 + 2 * slope * above, 0.0))
            away = 2 * above / np.maximum(y[k] + root, np.finfo(float).tiny)
            cycles = whole + x[k] + np.clip(away, 0, x[k + 1] - x[k])
            time = np.interp(cycles, [low, high], ends)
            for _ in range(4):
                time = time - (self.cycles(time) - cycles) / self.frequency(time)
            # equal steps of phase are not equal steps of time
            keep = time[rng.random(time.size) * self.frequency(time) < least][: n - done]
            found[done : done + keep.size] = keep
            done += keep.size
        return np.clip(found - first, 0.0, span)
