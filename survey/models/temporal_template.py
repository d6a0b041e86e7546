"""Light curves given as tables: norm by time, or norm by time and energy. Phase curves are in `temporal_phase`."""

from __future__ import annotations

import hashlib
import os
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from survey.models.parameters import Parameter, Parameters
from survey.models.temporal import Array, TemporalModel, reference

TINY = float(np.finfo(np.float64).tiny)


class LightCurveTemplate(TemporalModel):
    """Norm by time, linear between the times of a table and beyond its ends, but never negative.

    With an energy axis the logarithm of the norm is linear in time and in the logarithm of energy.

    Parameters
    ----------
    time : array_like
        Days since the reference time, increasing, shape (n,), at least two.
    norm : array_like
        Norms, shape (n,), or (k, n) with `energy`.
    energy : array_like or None
        Energies of the rows, TeV, shape (k,).
    filename : str
        Where it was read, as it was given.
    scale : str
        Time scale.
    values_scale : str or None
        What is linear between the times: ``lin`` or ``log``; the latter is the default with energies.
    **values : float or Parameter
        ``t_ref``, MJD, frozen.
    """

    tag: ClassVar[tuple[str, ...]] = ("LightCurveTemplateTemporalModel", "template")
    defaults: ClassVar[tuple[Parameter, ...]] = (reference(frozen=True),)

    def __init__(
        self,
        time: ArrayLike,
        norm: ArrayLike,
        *,
        energy: ArrayLike | None = None,
        filename: str = "",
        scale: str = "utc",
        values_scale: str | None = None,
        **values: float | Parameter,
    ) -> None:
        super().__init__(scale=scale, **values)
        self.time = np.array(time, dtype=float)
        self.norm = np.array(norm, dtype=float)
        self.energy = None if energy is None else np.array(energy, dtype=float)
        self.filename = filename
        self.values_scale = values_scale or ("lin" if energy is None else "log")
        expected = self.time.shape if self.energy is None else (*self.energy.shape, *self.time.shape)
        if self.time.ndim != 1 or self.time.size < 2 or not (np.diff(self.time) > 0).all():
            raise ValueError(
                f"{self.tag[0]}: {filename} times of shape {self.time.shape}, expected two or more, increasing"
            )
        if self.norm.shape != expected or not np.isfinite(self.norm).all():
            raise ValueError(
                f"{self.tag[0]}: {filename} norms of shape {self.norm.shape}, expected finite, of {expected}"
            )
        if self.values_scale not in ("lin", "log"):
            raise ValueError(f"{self.tag[0]}: values_scale {self.values_scale!r}, expected lin or log")

    @classmethod
    def read(cls, path: str | os.PathLike[str], *, format: str = "table") -> Self:
        """Read a FITS table with TIME and NORM, or Gammapy's map of a region with axes of time and energy.

        Parameters
        ----------
        path : path-like
            File; ``$NAME`` and ``~`` are expanded.
        format : str
            ``table`` or ``map``.
        """
        from survey.models.light_curve_file import read_map, read_table

        if format not in ("table", "map"):
            raise ValueError(f"{cls.tag[0]}: format {format!r}, expected table or map")
        file = Path(os.path.expandvars(str(path))).expanduser()
        if not file.is_file():
            raise ValueError(f"{cls.tag[0]}: no file {file}; check the path")
        curve = read_table(file) if format == "table" else read_map(file)
        return cls(curve.time, curve.norm, energy=curve.energy, filename=str(path), t_ref=curve.t_ref)

    def _settings(self) -> dict[str, str]:
        return {"filename": self.filename, "scale": self.scale, "values_scale": self.values_scale, "data": self._digest}

    @cached_property
    def _digest(self) -> str:
        hashed = hashlib.sha256()
        for values in (self.time, self.norm, self.energy):
            hashed.update(b"-" if values is None else values.tobytes())
        return hashed.hexdigest()[:16]

    def with_parameters(self, parameters: Parameters) -> Self:
        return type(self)(
            self.time,
            self.norm,
            energy=self.energy,
            filename=self.filename,
            scale=self.scale,
            values_scale=self.values_scale,
            **parameters,
        )

    @property
    def is_energy_dependent(self) -> bool:
        return self.energy is not None

    def at_energy(self, energy: float) -> LightCurveTemplate:
        """The light curve at an energy (TeV); extrapolated beyond the outermost energies."""
        if self.energy is None:
            return self
        place = np.log(energy)
        nodes = np.log(self.energy)
        if nodes.size == 1:
            norm = self.norm[0]
        else:
            low = int(np.clip(np.searchsorted(nodes, place) - 1, 0, nodes.size - 2))
            share = (place - nodes[low]) / (nodes[low + 1] - nodes[low])
            if self.values_scale == "log":
                logs = np.log(np.maximum(self.norm[low : low + 2], TINY))
                norm = np.exp((1 - share) * logs[0] + share * logs[1])
            else:
                norm = (1 - share) * self.norm[low] + share * self.norm[low + 1]
        return LightCurveTemplate(
            self.time,
            norm,
            filename=self.filename,
            scale=self.scale,
            values_scale=self.values_scale,
            t_ref=self.parameters["t_ref"],
        )

    def value(self, mjd_tt: ArrayLike, energy: ArrayLike | None = None) -> Array:
        """Norm at times, MJD (TT); with an energy axis at energies (TeV) too, broadcast against the times."""
        if not self.is_energy_dependent:
            return super().value(mjd_tt)
        if energy is None:
            raise ValueError(f"{self.tag[0]}: the light curve depends on energy; give the energy")
        time, energy = np.broadcast_arrays(np.asarray(mjd_tt, dtype=float), np.asarray(energy, dtype=float))
        result = np.empty(time.shape)
        for one in np.unique(energy):
            result[energy == one] = self.at_energy(float(one)).value(time[energy == one])
        return result

    @cached_property
    def _curve(self) -> _Curve:
        if self.energy is not None:
            raise ValueError(f"{self.tag[0]}: the light curve depends on energy; take it `at_energy`")
        return _Curve(self.time, self.norm, logarithmic=self.values_scale == "log")

    def _norm(self, elapsed: Array) -> Array:
        return self._curve.value(elapsed)

    def _primitive(self, elapsed: Array) -> Array:
        return self._curve.primitive(elapsed)


class _Curve:
    """Straight, or exponential, pieces between points; straight pieces end where they reach zero."""

    def __init__(self, x: Array, y: Array, *, logarithmic: bool) -> None:
        self.logarithmic = logarithmic
        if logarithmic:
            self.x, self.y = x, np.log(np.maximum(y, TINY))
        else:
            # points where a piece, or the line beyond an end, reaches zero
            slope = np.diff(y) / np.diff(x)
            with np.errstate(divide="ignore", invalid="ignore"):
                zero = x[:-1] - y[:-1] / slope
            inner = zero[(y[:-1] * y[1:] < 0) & np.isfinite(zero)]
            ends = [zero[0]] if slope[0] > 0 and zero[0] < x[0] else []
            ends += [zero[-1]] if slope[-1] < 0 and zero[-1] > x[-1] else []
            extra = np.concatenate([inner, np.array(ends)])
            self.x, order = np.unique(np.concatenate([x, extra]), return_index=True)
            self.y = np.maximum(np.concatenate([y, np.zeros(extra.size)])[order], 0.0)
        self.slope = np.diff(self.y) / np.diff(self.x)
        pieces = self._piece(np.arange(self.slope.size), np.diff(self.x))
        self.sums = np.concatenate([[0.0], np.cumsum(pieces)])

    def _find(self, x: Array) -> tuple[Any, Array]:
        k = np.clip(np.searchsorted(self.x, x, side="right") - 1, 0, self.slope.size - 1)
        return k, x - self.x[k]

    def value(self, x: Array) -> Array:
        k, away = self._find(x)
        line = self.y[k] + self.slope[k] * away
        if self.logarithmic:
            value = np.exp(line)
            return np.where(value > 2 * TINY, value, 0.0)
        return np.maximum(line, 0.0)

    def _piece(self, k: Any, away: Array) -> Array:
        """Integral from the beginning of a piece."""
        if self.logarithmic:
            z = self.slope[k] * away
            safe = np.where(np.abs(z) < 1e-8, 1.0, z)
            return np.exp(self.y[k]) * away * np.where(np.abs(z) < 1e-8, 1 + z / 2, np.expm1(safe) / safe)
        return (self.y[k] + 0.5 * self.slope[k] * away) * away

    def primitive(self, x: Array) -> Array:
        """Integral from the first point on."""
        if not self.logarithmic:
            # nothing goes on beyond an end at zero
            x = np.clip(x, self.x[0] if self.y[0] == 0 else -np.inf, self.x[-1] if self.y[-1] == 0 else np.inf)
        k, away = self._find(x)
        return self.sums[k] + self._piece(k, away)
