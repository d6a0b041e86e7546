"""Spectra given at nodes of energy: norms that a fit may change, and templates that it may not.

Between nodes both are straight lines, by default in the logarithms, as in Gammapy: a norm keeps the value of its last
node outside, a template goes on as its last two nodes say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from survey.models.parameters import Parameter, Parameters
from survey.models.power_laws import TINY
from survey.models.quadrature import PANEL
from survey.models.spectral import FLUX_UNIT, SpectralModel

Array = NDArray[np.float64]

SCALES = ("log", "lin")
"""Scales in which values are interpolated."""

FARTHEST = 100.0
"""Natural logarithm of the energies in TeV beyond which no spectrum is integrated."""


def checked_nodes(owner: str, energy: ArrayLike, *, minimum: int = 1) -> Array:
    """Node energies, or a refusal.

    Parameters
    ----------
    owner : str
        Model that they belong to, for the message.
    energy : array_like
        TeV, shape (n,).
    minimum : int
        Smallest number of nodes.
    """
    nodes = np.array(energy, dtype=float).reshape(-1)
    if nodes.size < minimum:
        raise ValueError(f"{owner}: energy has {nodes.size} nodes; expected at least {minimum}")
    if not (np.isfinite(nodes).all() and (nodes > 0).all() and (np.diff(nodes) > 0).all()):
        raise ValueError(f"{owner}: energy {nodes}; expected positive, increasing energies in TeV")
    nodes.flags.writeable = False
    return nodes


def steep_breaks(log_energy: Array, log_values: Array) -> Array:
    """Energies at which the quadrature has to cut pieces over which a log-log table falls or rises by many decades.

    Parameters
    ----------
    log_energy, log_values : numpy.ndarray
        Nodes, shape (n,).
    """
    width, rise = np.diff(log_energy), np.diff(log_values)
    found = []
    for k in np.nonzero(np.abs(rise) * np.minimum(1.0, PANEL / width) > 10.0)[0]:
        distance = np.arange(1.0, 7.0) * 8.0 * width[k] / abs(rise[k])
        distance = distance[distance < width[k]]
        found.append(log_energy[k] + distance if rise[k] < 0 else log_energy[k + 1] - distance)
    return np.exp(np.concatenate(found)) if found else np.empty(0)


class PiecewiseNorm(SpectralModel):
    """Factor without unit, given at nodes of energy; a parameter a node: ``norm_0``, ``norm_1`` and so on.

    Parameters
    ----------
    energy : array_like
        Nodes, TeV, shape (n,).
    norms : sequence of float or Parameter, or None
        Values at the nodes; one if left out.
    interp : str
        ``log`` (logarithm of the norm over that of the energy) or ``lin`` (norm over energy).
    """

    tag: ClassVar[tuple[str, ...]] = ("PiecewiseNormSpectralModel", "piecewise-norm")
    defaults: ClassVar[tuple[Parameter, ...]] = ()

    def __init__(
        self, energy: ArrayLike, norms: Sequence[float | Parameter] | None = None, *, interp: str = "log"
    ) -> None:
        self.energy = checked_nodes(self.tag[0], energy, minimum=2)
        if interp not in SCALES:
            raise ValueError(f"{self.tag[0]}: interp {interp!r}; expected one of {', '.join(SCALES)}")
        values = [1.0] * self.energy.size if norms is None else list(norms)
        if len(values) != self.energy.size:
            raise ValueError(f"{self.tag[0]}: {len(values)} norms; expected {self.energy.size}, one a node of energy")
        self.interp = interp
        self._parameters = Parameters(
            [
                norm if isinstance(norm, Parameter) else Parameter(f"norm_{k}", float(norm), scale=0.1)
                for k, norm in enumerate(values)
            ]
        )

    @property
    def unit(self) -> str:
        return ""

    def _settings(self) -> dict[str, str]:
        return {"energy": " ".join(repr(float(node)) for node in self.energy), "interp": self.interp}

    def with_parameters(self, parameters: Parameters) -> Self:
        return type(self)(self.energy, list(parameters.values()), interp=self.interp)

    @property
    def breaks(self) -> Array:
        if self.interp == "lin":
            return self.energy
        return np.concatenate([self.energy, steep_breaks(np.log(self.energy), self._nodes())])

    def _nodes(self) -> Array:
        """Norms on the scale of the interpolation."""
        norms = self.parameters.vector
        return np.log(np.maximum(norms, TINY)) if self.interp == "log" else norms

    def _weights(self, energy: ArrayLike) -> Array:
        """Weight of every node, shape (n, ...)."""
        x, nodes = np.asarray(energy, dtype=float), self.energy
        if self.interp == "log":
            x, nodes = np.log(x), np.log(nodes)
        left = np.clip(np.searchsorted(nodes, x, side="right") - 1, 0, nodes.size - 2)
        right = np.clip((x - nodes[left]) / (nodes[left + 1] - nodes[left]), 0.0, 1.0)
        k = np.arange(nodes.size).reshape(-1, *[1] * x.ndim)
        return np.where(k == left, 1.0 - right, 0.0) + np.where(k == left + 1, right, 0.0)

    def _value(self, weights: Array) -> Array:
        mean = np.tensordot(self._nodes(), weights, axes=1)
        if self.interp == "lin":
            return mean
        # as in Gammapy, what stands for a norm of zero gives zero
        return np.where(mean <= np.log(2 * TINY), 0.0, np.exp(mean))[()]

    def value(self, energy: ArrayLike) -> Array:
        return self._value(self._weights(energy))

    def gradient(self, energy: ArrayLike) -> Array:
        weights = self._weights(energy)
        if self.interp == "lin":
            return weights
        norms = self.parameters.vector.reshape(-1, *[1] * (weights.ndim - 1))
        return weights * np.where(norms > TINY, self._value(weights) / np.maximum(norms, TINY), 0.0)


class TemplateSpectrum(SpectralModel):
    """Spectrum of a table; it has no parameters (multiply it by a norm).

    Parameters
    ----------
    energy : array_like
        Nodes, TeV, shape (n,).
    values : array_like
        Values at the nodes in ``unit``, shape (n,).
    unit : str
        That of a differential flux, or none.
    values_scale : str
        ``log`` (logarithm of the values over that of the energy) or ``lin`` (values over the logarithm of the energy).
    """

    tag: ClassVar[tuple[str, ...]] = ("TemplateSpectralModel", "template")
    defaults: ClassVar[tuple[Parameter, ...]] = ()

    def __init__(
        self, energy: ArrayLike, values: ArrayLike, *, unit: str = FLUX_UNIT, values_scale: str = "log"
    ) -> None:
        super().__init__()
        self.energy = checked_nodes(self.tag[0], energy)
        self.values = np.array(values, dtype=float).reshape(-1)
        self.values.flags.writeable = False
        if self.values.size != self.energy.size:
            raise ValueError(
                f"{self.tag[0]}: {self.values.size} values; expected {self.energy.size}, one a node of energy"
            )
        if not np.isfinite(self.values).all():
            raise ValueError(
                f"{self.tag[0]}: values hold {self.values[~np.isfinite(self.values)][0]}; expected numbers"
            )
        if values_scale not in SCALES:
            raise ValueError(f"{self.tag[0]}: values_scale {values_scale!r}; expected one of {', '.join(SCALES)}")
        self.values_scale = values_scale
        self._unit = unit

    @property
    def unit(self) -> str:
        return self._unit

    def _settings(self) -> dict[str, str]:
        digest = hashlib.sha256(self.energy.tobytes() + self.values.tobytes()).hexdigest()[:16]
        return {"table": digest, "unit": self._unit, "values_scale": self.values_scale}

    def with_parameters(self, parameters: Parameters) -> Self:
        return self

    @cached_property
    def _table(self) -> tuple[Array, Array, Array]:
        """Logarithms of the nodes, values on the scale of the interpolation, slopes."""
        x = np.log(self.energy)
        y = np.log(np.maximum(self.values, TINY)) if self.values_scale == "log" else self.values
        return x, y, np.diff(y) / np.diff(x)

    @cached_property
    def _breaks(self) -> Array:
        x, y, slope = self._table
        if self.values_scale == "log" or x.size == 1:
            return np.concatenate([self.energy, steep_breaks(x, y)])
        # a line that falls below zero is cut there, be it between nodes or beyond the last ones
        low, high = x[:-1].copy(), x[1:].copy()
        low[0], high[-1] = -FARTHEST, FARTHEST
        with np.errstate(divide="ignore", invalid="ignore"):
            zero = x[:-1] - y[:-1] / slope
        return np.concatenate([self.energy, np.exp(zero[(zero > low) & (zero < high)])])

    @property
    def breaks(self) -> Array:
        return self._breaks

    def value(self, energy: ArrayLike) -> Array:
        x, y, slope = self._table
        here = np.log(np.asarray(energy, dtype=float))
        if x.size == 1:
            value = np.full(here.shape, y[0])
        else:
            left = np.clip(np.searchsorted(x, here, side="right") - 1, 0, x.size - 2)
            value = y[left] + slope[left] * (here - x[left])
        if self.values_scale == "lin":
            return np.maximum(value, 0.0)[()]
        # as in Gammapy, what stands for a value of zero gives zero
        return np.where(value <= np.log(2 * TINY), 0.0, np.exp(value))[()]

    def gradient(self, energy: ArrayLike) -> Array:
        return np.zeros((0, *np.shape(energy)))
