"""Spectral models: differential flux, its integrals, derivatives in every parameter, and error propagation.

Energies are in TeV, differential fluxes in TeV-1 s-1 m-2, integral fluxes in s-1 m-2, energy fluxes in TeV s-1 m-2.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from survey.models.model import Model
from survey.models.parameters import Parameter

Array = NDArray[np.float64]


class SpectralModel(Model):
    """Base of the spectral models. Gradients have a leading axis over the model's parameters, in order."""

    @abstractmethod
    def value(self, energy: ArrayLike) -> Array:
        """Differential flux at energies (TeV), in TeV-1 s-1 m-2."""

    @abstractmethod
    def integral(self, energy_min: ArrayLike, energy_max: ArrayLike) -> Array:
        """Flux between energies (TeV), in s-1 m-2."""

    @abstractmethod
    def energy_flux(self, energy_min: ArrayLike, energy_max: ArrayLike) -> Array:
        """Energy flux between energies (TeV), in TeV s-1 m-2."""

    @abstractmethod
    def gradient(self, energy: ArrayLike) -> Array:
        """Derivatives of `value` in every parameter, shape (n parameters, ...)."""

    @abstractmethod
    def integral_gradient(self, energy_min: ArrayLike, energy_max: ArrayLike) -> Array:
        """Derivatives of `integral` in every parameter, shape (n parameters, ...)."""

    @abstractmethod
    def energy_flux_gradient(self, energy_min: ArrayLike, energy_max: ArrayLike) -> Array:
        """Derivatives of `energy_flux` in every parameter, shape (n parameters, ...)."""

    def value_error(self, energy: ArrayLike, covariance: ArrayLike | None = None) -> Array:
        """Standard deviation of `value`; see `propagate`."""
        return self.propagate(self.gradient(energy), covariance)

    def integral_error(
        self, energy_min: ArrayLike, energy_max: ArrayLike, covariance: ArrayLike | None = None
    ) -> Array:
        """Standard deviation of `integral`; see `propagate`."""
        return self.propagate(self.integral_gradient(energy_min, energy_max), covariance)

    def energy_flux_error(
        self, energy_min: ArrayLike, energy_max: ArrayLike, covariance: ArrayLike | None = None
    ) -> Array:
        """Standard deviation of `energy_flux`; see `propagate`."""
        return self.propagate(self.energy_flux_gradient(energy_min, energy_max), covariance)

    def propagate(self, gradient: Array, covariance: ArrayLike | None = None) -> Array:
        """Standard deviation of a quantity by linear propagation.

        Parameters
        ----------
        gradient : numpy.ndarray
            Derivatives of the quantity, shape (n parameters, ...).
        covariance : array_like or None
            Covariance of the parameters, shape (n parameters, n parameters), canonical units. Without it the
            parameters' errors are taken as independent.

        Returns
        -------
        numpy.ndarray
            Shape of the quantity.
        """
        matrix = np.diag(self.parameters.errors**2) if covariance is None else np.asarray(covariance, dtype=float)
        if matrix.shape != (len(self.parameters), len(self.parameters)):
            raise ValueError(
                f"{self.tag[0]}: the covariance has shape {matrix.shape}, "
                f"expected one row and column for each of {', '.join(self.parameters)}"
            )
        variance = np.einsum("i...,ij,j...->...", gradient, matrix, gradient)
        return np.sqrt(np.maximum(variance, 0.0))


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


class PowerLaw(SpectralModel):
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
        Parameter("amplitude", 1e-8, "TeV-1 s-1 m-2"),
        Parameter("reference", 1.0, "TeV", minimum=np.finfo(float).tiny, frozen=True),
    )

    def value(self, energy: ArrayLike) -> Array:
        return self.amplitude * (np.asarray(energy, dtype=float) / self.reference) ** -self.index

    def gradient(self, energy: ArrayLike) -> Array:
        x = np.asarray(energy, dtype=float) / self.reference
        shape = x**-self.index
        value = self.amplitude * shape
        return np.stack([-np.log(x) * value, shape, self.index / self.reference * value])

    def _moment(self, order: int, energy_min: ArrayLike, energy_max: ArrayLike) -> tuple[Array, Array]:
        """Integral of energy**order x flux, and its gradient."""
        low = np.asarray(energy_min, dtype=float) / self.reference
        high = np.asarray(energy_max, dtype=float) / self.reference
        integral, slope = _power_integral(1.0 + order - self.index, low, high)
        factor = self.reference ** (1 + order)
        moment = self.amplitude * factor * integral
        # amplitude * E**order * (E / E0)**-index depends on E0 as E0**index alone
        gradient = [-self.amplitude * factor * slope, factor * integral, self.index / self.reference * moment]
        return moment, np.stack(gradient)

    def integral(self, energy_min: ArrayLike, energy_max: ArrayLike) -> Array:
        return self._moment(0, energy_min, energy_max)[0]

    def integral_gradient(self, energy_min: ArrayLike, energy_max: ArrayLike) -> Array:
        return self._moment(0, energy_min, energy_max)[1]

    def energy_flux(self, energy_min: ArrayLike, energy_max: ArrayLike) -> Array:
        return self._moment(1, energy_min, energy_max)[0]

    def energy_flux_gradient(self, energy_min: ArrayLike, energy_max: ArrayLike) -> Array:
        return self._moment(1, energy_min, energy_max)[1]
