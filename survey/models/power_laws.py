"""Power laws, plain, normalised by their integral, without unit, and broken. Definitions are Gammapy's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from survey.models.parameters import Parameter
from survey.models.spectral import FLUX_UNIT, ExponentialSpectrum, SpectralModel

Array = NDArray[np.float64]

TINY = float(np.finfo(float).tiny)
"""Lower limit of energies that have to be positive."""


def _power_integral(exponent: float, low: Array, high: Array) -> tuple[Array, Array]:
    """Integral of x**(exponent - 1) from low to high, and its derivative in `exponent`.

    Both are smooth where `exponent` passes through zero: with L = log(high / low) the integral is
    low**exponent * L * (exp(z) - 1) / z at z = exponent * L.
    """
    width = np.log(high / low)
    z = exponent * width
    small = np.abs(z) < 1e-3
    safe = np.where(small, 1.0, z)
    ratio = np.where(small, 1.0 + z / 2 + z**2 / 6 + z**3 / 24, np.expm1(safe) / safe)
    slope = np.where(
        small, 0.5 + z / 3 + z**2 / 8 + z**3 / 30, (safe * np.exp(safe) - np.expm1(safe)) / np.square(safe)
    )
    start = low**exponent
    return start * width * ratio, start * width * (np.log(low) * ratio + width * slope)


class _PowerLawShape(SpectralModel):
    """Scale x (energy / reference)**-index, whatever the names; parameters in the order index, scale, reference."""

    def _values(self) -> tuple[float, float, float]:
        index, scale, reference = (parameter.value for parameter in self.parameters.values())
        return index, scale, reference

    def value(self, energy: ArrayLike) -> Array:
        index, scale, reference = self._values()
        return scale * (np.asarray(energy, dtype=float) / reference) ** -index

    def gradient(self, energy: ArrayLike) -> Array:
        index, scale, reference = self._values()
        x = np.asarray(energy, dtype=float) / reference
        shape = x**-index
        value = scale * shape
        return np.stack([-np.log(x) * value, shape, index / reference * value])

    def _pieces(self, order: int, energy_min: ArrayLike, energy_max: ArrayLike) -> tuple[Array, Array]:
        """Integral of energy**order x value over the scale, and its derivative in the index."""
        index, _, reference = self._values()
        low = np.asarray(energy_min, dtype=float) / reference
        high = np.asarray(energy_max, dtype=float) / reference
        integral, slope = _power_integral(1.0 + order - index, low, high)
        factor = reference ** (1 + order)
        return factor * integral, -factor * slope

    def _moment(self, order: int, energy_min: ArrayLike, energy_max: ArrayLike) -> Array:
        _, scale, _ = self._values()
        return scale * self._pieces(order, energy_min, energy_max)[0]

    def _moment_gradient(self, order: int, energy_min: ArrayLike, energy_max: ArrayLike) -> Array:
        index, scale, reference = self._values()
        integral, slope = self._pieces(order, energy_min, energy_max)
        # scale * E**order * (E / E0)**-index depends on E0 as E0**index alone
        return np.stack([scale * slope, integral, index / reference * scale * integral])


class PowerLaw(_PowerLawShape):
    """Power law: amplitude x (energy / reference)**-index.

    Parameters
    ----------
    index : float
        Spectral index; default 2.
    amplitude : float
        Differential flux at the reference, TeV-1 s-1 m-2; default 1e-8 (1e-12 TeV-1 s-1 cm-2).
    reference : float
        Reference energy, TeV; default 1, frozen.
    """

    tag: ClassVar[tuple[str, ...]] = ("PowerLawSpectralModel", "pl")
    defaults: ClassVar[tuple[Parameter, ...]] = (
        Parameter("index", 2.0, scale=0.1),
        Parameter("amplitude", 1e-8, FLUX_UNIT),
        Parameter("reference", 1.0, "TeV", minimum=TINY, frozen=True),
    )


class PowerLawNorm(_PowerLawShape):
    """Power law without unit: norm x (energy / reference)**-tilt.

    Parameters
    ----------
    tilt : float
        Default 0, frozen.
    norm : float
        Factor at the reference; default 1.
    reference : float
        Reference energy, TeV; default 1, frozen.
    """

    tag: ClassVar[tuple[str, ...]] = ("PowerLawNormSpectralModel", "pl-norm")
    defaults: ClassVar[tuple[Parameter, ...]] = (
        Parameter("tilt", 0.0, frozen=True, scale=0.1),
        Parameter("norm", 1.0),
        Parameter("reference", 1.0, "TeV", minimum=TINY, frozen=True),
    )
    scale_parameter = "norm"


class PowerLaw2(SpectralModel):
    """Power law given by its flux between two energies.

    Parameters
    ----------
    amplitude : float
        Flux between ``emin`` and ``emax``, s-1 m-2; default 1e-8 (1e-12 s-1 cm-2).
    index : float
        Spectral index; default 2.
    emin, emax : float
        Energies, TeV; defaults 0.1 and 100, frozen.
    """

    tag: ClassVar[tuple[str, ...]] = ("PowerLaw2SpectralModel", "pl-2")
    defaults: ClassVar[tuple[Parameter, ...]] = (
        Parameter("amplitude", 1e-8, "s-1 m-2"),
        Parameter("index", 2.0, scale=0.1),
        Parameter("emin", 0.1, "TeV", minimum=TINY, frozen=True),
        Parameter("emax", 100.0, "TeV", minimum=TINY, frozen=True),
    )

    @property
    def unit(self) -> str:
        return f"TeV-1 {self.parameters['amplitude'].unit}".rstrip()

    def _norm(self) -> tuple[float, float]:
        """Integral of energy**-index from emin to emax, and the derivative of its logarithm in the index."""
        norm, slope = _power_integral(1.0 - self.index, np.array(self.emin), np.array(self.emax))
        return float(norm), -float(slope / norm)

    def value(self, energy: ArrayLike) -> Array:
        return self.amplitude / self._norm()[0] * np.asarray(energy, dtype=float) ** -self.index

    def _rows(self, shape: Array, index_slope: Array) -> Array:
        """Gradient of amplitude x shape / norm, given the derivative of the shape in the index."""
        norm, norm_slope = self._norm()
        value = self.amplitude / norm * shape
        return np.stack(
            [
                shape / norm,
                self.amplitude / norm * index_slope - value * norm_slope,
                value * self.emin**-self.index / norm,
                value * -(self.emax**-self.index) / norm,
            ]
        )

    def gradient(self, energy: ArrayLike) -> Array:
        energy = np.asarray(energy, dtype=float)
        shape = energy**-self.index
        return self._rows(shape, -np.log(energy) * shape)

    def _integral(self, order: int, energy_min: ArrayLike, energy_max: ArrayLike) -> tuple[Array, Array]:
        low, high = np.asarray(energy_min, dtype=float), np.asarray(energy_max, dtype=float)
        return _power_integral(1.0 + order - self.index, low, high)

    def _moment(self, order: int, energy_min: ArrayLike, energy_max: ArrayLike) -> Array:
        return self.amplitude / self._norm()[0] * self._integral(order, energy_min, energy_max)[0]

    def _moment_gradient(self, order: int, energy_min: ArrayLike, energy_max: ArrayLike) -> Array:
        integral, slope = self._integral(order, energy_min, energy_max)
        return self._rows(integral, -slope)


class BrokenPowerLaw(SpectralModel):
    """Two power laws that meet at an energy.

    Parameters
    ----------
    index1, index2 : float
        Spectral indices below and above the break; default 2.
    amplitude : float
        Differential flux at the break, TeV-1 s-1 m-2; default 1e-8.
    ebreak : float
        Energy of the break, TeV; default 1.
    """

    tag: ClassVar[tuple[str, ...]] = ("BrokenPowerLawSpectralModel", "bpl")
    defaults: ClassVar[tuple[Parameter, ...]] = (
        Parameter("index1", 2.0, scale=0.1),
        Parameter("index2", 2.0, scale=0.1),
        Parameter("amplitude", 1e-8, FLUX_UNIT),
        Parameter("ebreak", 1.0, "TeV", minimum=TINY),
    )

    @property
    def breaks(self) -> Array:
        return np.array([self.ebreak])

    def value(self, energy: ArrayLike) -> Array:
        x = np.asarray(energy, dtype=float) / self.ebreak
        return self.amplitude * x ** np.where(x < 1, -self.index1, -self.index2)

    def gradient(self, energy: ArrayLike) -> Array:
        x = np.asarray(energy, dtype=float) / self.ebreak
        below = x < 1
        index = np.where(below, self.index1, self.index2)
        shape = x**-index
        value = self.amplitude * shape
        slope = -np.log(x) * value
        return np.stack([np.where(below, slope, 0.0), np.where(below, 0.0, slope), shape, index / self.ebreak * value])

    def _pieces(self, order: int, energy_min: ArrayLike, energy_max: ArrayLike) -> list[tuple[Array, Array]]:
        """Integrals below and above the break over the amplitude, with their derivatives in the index."""
        low = np.asarray(energy_min, dtype=float) / self.ebreak
        high = np.asarray(energy_max, dtype=float) / self.ebreak
        factor = self.ebreak ** (1 + order)
        found = []
        for index, clip in ((self.index1, np.minimum), (self.index2, np.maximum)):
            integral, slope = _power_integral(1.0 + order - index, clip(low, 1.0), clip(high, 1.0))
            found.append((factor * integral, -factor * slope))
        return found

    def _moment(self, order: int, energy_min: ArrayLike, energy_max: ArrayLike) -> Array:
        (below, _), (above, _) = self._pieces(order, energy_min, energy_max)
        return self.amplitude * (below + above)

    def _moment_gradient(self, order: int, energy_min: ArrayLike, energy_max: ArrayLike) -> Array:
        (below, slope1), (above, slope2) = self._pieces(order, energy_min, energy_max)
        # the pieces are equal at the break, so that its shift changes the integral through the values alone
        moved = self.amplitude / self.ebreak * (self.index1 * below + self.index2 * above)
        return np.stack([self.amplitude * slope1, self.amplitude * slope2, below + above, moved])


class SmoothBrokenPowerLaw(ExponentialSpectrum):
    """Two power laws with a smooth break between them.

    amplitude x (energy / reference)**-index1 x (1 + (energy / ebreak)**(d / beta))**(-s beta), with d and s the absolute
    value and the sign of index2 - index1. Where both indices are equal the last factor is one, as in Gammapy, though it
    tends to 2**(-s beta) near it.

    Parameters
    ----------
    index1, index2 : float
        Spectral indices below and above the break; default 2.
    amplitude : float
        TeV-1 s-1 m-2; default 1e-8.
    ebreak : float
        Energy of the break, TeV; default 1.
    reference : float
        Reference energy, TeV; default 1, frozen.
    beta : float
        Smoothness of the break; default 1, frozen. Towards zero the break becomes sharp.
    """

    tag: ClassVar[tuple[str, ...]] = ("SmoothBrokenPowerLawSpectralModel", "sbpl")
    defaults: ClassVar[tuple[Parameter, ...]] = (
        Parameter("index1", 2.0, scale=0.1),
        Parameter("index2", 2.0, scale=0.1),
        Parameter("amplitude", 1e-8, FLUX_UNIT),
        Parameter("ebreak", 1.0, "TeV", minimum=TINY),
        Parameter("reference", 1.0, "TeV", minimum=TINY, frozen=True),
        Parameter("beta", 1.0, frozen=True, scale=0.1),
    )

    SHARPEST = 1e-290
    """Smoothness that stands for zero, so that nothing is divided by it."""

    @property
    def breaks(self) -> Array:
        width = abs(self.beta) / max(abs(self.index2 - self.index1), 1e-3)
        if width > 0.1:  # smooth on the scale of the quadrature's panels
            return np.empty(0)
        steps = max(width, 1e-12) * np.array([0.0, 2.0, 6.0, 14.0, 38.0])
        return np.unique(self.ebreak * np.exp(np.concatenate([-steps, steps])))

    def _bend(self, energy: Array) -> tuple[float, Array, Array]:
        """Smoothness, log(energy / ebreak), and log((energy / ebreak)**(d / beta))."""
        beta = self.beta if abs(self.beta) > self.SHARPEST else self.SHARPEST
        t = np.log(energy / self.ebreak)
        return beta, t, abs(self.index2 - self.index1) * t / beta

    def _exponent(self, energy: Array) -> Array:
        beta, _, z = self._bend(energy)
        bend = np.sign(self.index2 - self.index1) * beta * np.logaddexp(0.0, z)
        return np.asarray(-self.index1 * np.log(energy / self.reference) - bend)

    def _exponent_gradient(self, energy: Array) -> Mapping[str, Array | float]:
        _, t, z = self._bend(energy)
        difference = self.index2 - self.index1
        above = expit(z)
        distance = np.abs(z)
        return {
            "index1": above * t - np.log(energy / self.reference),
            "index2": -above * t,
            "ebreak": above * difference / self.ebreak,
            "reference": self.index1 / self.reference,
            "beta": -np.sign(difference) * (distance * expit(-distance) + np.log1p(np.exp(-distance))),
        }
