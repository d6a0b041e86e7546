"""Spectral models: differential flux, its integrals, derivatives in every parameter, error propagation; sums, products.

Energies are in TeV, differential fluxes in TeV-1 s-1 m-2, integral fluxes in s-1 m-2, energy fluxes in TeV s-1 m-2. A
norm is a spectral model without a unit, which multiplies others. The models themselves are in files of their own:
`power_laws`, `cutoff_power_laws`, `log_parabolas`, `constant_spectrum`, `gaussian_spectrum`, `tabulated_spectra`,
`absorption`, `crab`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from survey.models.model import Model
from survey.models.parameters import Parameter, Parameters
from survey.models.quadrature import integrate

Array = NDArray[np.float64]

FLUX_UNIT = "TeV-1 s-1 m-2"
"""Canonical unit of a differential flux."""


class SpectralModel(Model):
    """Base of the spectral models. Gradients have a leading axis over the model's parameters, in order.

    A model has to give `value` and `gradient`; integrals are those of the quadrature unless it has closed forms.
    ``a * b`` and ``a + b`` make a `CompoundSpectrum`.
    """

    scale_parameter: ClassVar[str] = "amplitude"
    """The parameter that multiplies the whole spectrum; the value has its unit."""

    @property
    def unit(self) -> str:
        """Unit of `value`: that of a differential flux, or none for a norm."""
        return self.parameters[self.scale_parameter].unit

    @property
    def is_norm(self) -> bool:
        """Whether the model is a factor without unit."""
        return not self.unit

    @property
    def breaks(self) -> Array:
        """Energies in TeV at which the spectrum is not smooth; the quadrature respects them."""
        return np.empty(0)

    @abstractmethod
    def value(self, energy: ArrayLike) -> Array:
        """Differential flux at energies (TeV), in TeV-1 s-1 m-2."""

    @abstractmethod
    def gradient(self, energy: ArrayLike) -> Array:
        """Derivatives of `value` in every parameter, shape (n parameters, ...)."""

    def _moment(self, order: int, energy_min: ArrayLike, energy_max: ArrayLike) -> Array:
        """Integral of energy**order x value."""
        return integrate(self.value, energy_min, energy_max, order=order, breaks=self.breaks)

    def _moment_gradient(self, order: int, energy_min: ArrayLike, energy_max: ArrayLike) -> Array:
        """Derivatives of that integral in every parameter, shape (n parameters, ...)."""
        return integrate(self.gradient, energy_min, energy_max, order=order, breaks=self.breaks)

    def integral(self, energy_min: ArrayLike, energy_max: ArrayLike) -> Array:
        """Flux between energies (TeV), in s-1 m-2."""
        return self._moment(0, energy_min, energy_max)

    def energy_flux(self, energy_min: ArrayLike, energy_max: ArrayLike) -> Array:
        """Energy flux between energies (TeV), in TeV s-1 m-2."""
        return self._moment(1, energy_min, energy_max)

    def integral_gradient(self, energy_min: ArrayLike, energy_max: ArrayLike) -> Array:
        """Derivatives of `integral` in every parameter, shape (n parameters, ...)."""
        return self._moment_gradient(0, energy_min, energy_max)

    def energy_flux_gradient(self, energy_min: ArrayLike, energy_max: ArrayLike) -> Array:
        """Derivatives of `energy_flux` in every parameter, shape (n parameters, ...)."""
        return self._moment_gradient(1, energy_min, energy_max)

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

    def __mul__(self, other: SpectralModel) -> CompoundSpectrum:
        return CompoundSpectrum(self, other, "mul") if isinstance(other, SpectralModel) else NotImplemented

    def __add__(self, other: SpectralModel) -> CompoundSpectrum:
        return CompoundSpectrum(self, other, "add") if isinstance(other, SpectralModel) else NotImplemented

    def __sub__(self, other: SpectralModel) -> CompoundSpectrum:
        return CompoundSpectrum(self, other, "sub") if isinstance(other, SpectralModel) else NotImplemented


class ExponentialSpectrum(SpectralModel):
    """Base of the spectra that are their scale parameter times the exponential of a function of energy."""

    @abstractmethod
    def _exponent(self, energy: Array) -> Array:
        """Logarithm of the value over the scale parameter."""

    @abstractmethod
    def _exponent_gradient(self, energy: Array) -> Mapping[str, Array | float]:
        """Derivatives of the exponent in every parameter but the scale."""

    def value(self, energy: ArrayLike) -> Array:
        scale = self.parameters[self.scale_parameter].value
        return scale * np.exp(self._exponent(np.asarray(energy, dtype=float)))

    def gradient(self, energy: ArrayLike) -> Array:
        energy = np.asarray(energy, dtype=float)
        shape = np.exp(self._exponent(energy))
        value = self.parameters[self.scale_parameter].value * shape
        slopes = self._exponent_gradient(energy)
        return np.stack([shape if name == self.scale_parameter else value * slopes[name] for name in self.parameters])


OPERATORS = ("add", "sub", "mul")
"""Names of the operators, as Gammapy writes them."""


class CompoundSpectrum(SpectralModel):
    """Sum, difference or product of two spectral models.

    Its parameters are those of both, in order, named ``model1.index``, ``model2.norm`` and so on; `model1` and `model2`
    have them under their own names. Links work across both. A product has at most one factor with a unit.

    Parameters
    ----------
    model1, model2 : SpectralModel
        The two models.
    operator : str
        ``add``, ``sub`` or ``mul``.
    """

    tag: ClassVar[tuple[str, ...]] = ("CompoundSpectralModel", "compound")
    defaults: ClassVar[tuple[Parameter, ...]] = ()

    def __init__(self, model1: SpectralModel, model2: SpectralModel, operator: str = "mul") -> None:
        if operator not in OPERATORS:
            raise ValueError(f"{self.tag[0]}: operator {operator!r}; expected one of {', '.join(OPERATORS)}")
        units = f"{model1.tag[0]} in {model1.unit or 'no unit'} and {model2.tag[0]} in {model2.unit or 'no unit'}"
        if operator == "mul" and model1.unit and model2.unit:
            raise ValueError(f"{self.tag[0]}: a product of {units}; expected one of them to be a norm, without unit")
        if operator != "mul" and model1.unit != model2.unit:
            raise ValueError(f"{self.tag[0]}: {operator} of {units}; expected the same unit of both")
        self.model1 = model1
        self.model2 = model2
        self.operator = operator
        self._parameters = Parameters(
            [
                replace(parameter, name=f"{which}.{name}")
                for which, model in (("model1", model1), ("model2", model2))
                for name, parameter in model.parameters.items()
            ]
        )

    @property
    def unit(self) -> str:
        return self.model1.unit or self.model2.unit

    @property
    def breaks(self) -> Array:
        return np.union1d(self.model1.breaks, self.model2.breaks)

    def with_parameters(self, parameters: Parameters) -> Self:
        own: dict[str, list[Parameter]] = {"model1": [], "model2": []}
        for name, parameter in parameters.items():
            which, _, inner = name.partition(".")
            own[which].append(replace(parameter, name=inner))
        return type(self)(
            self.model1.with_parameters(Parameters(own["model1"])),
            self.model2.with_parameters(Parameters(own["model2"])),
            self.operator,
        )

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, CompoundSpectrum)
            and self.operator == other.operator
            and self.model1 == other.model1
            and self.model2 == other.model2
        )

    def __hash__(self) -> int:
        return hash((self.operator, self.model1, self.model2))

    def __repr__(self) -> str:
        return f"({self.model1!r} {dict(add='+', sub='-', mul='*')[self.operator]} {self.model2!r})"

    def key(self) -> dict[str, float | str]:
        parts = {"model1": self.model1.key(), "model2": self.model2.key()}
        named = {f"{which}.{name}": value for which, part in parts.items() for name, value in part.items()}
        return {"type": self.tag[1], "operator": self.operator, **named}

    def value(self, energy: ArrayLike) -> Array:
        one, two = self.model1.value(energy), self.model2.value(energy)
        if self.operator == "mul":
            return one * two
        return one + two if self.operator == "add" else one - two

    def gradient(self, energy: ArrayLike) -> Array:
        one, two = self.model1.gradient(energy), self.model2.gradient(energy)
        if self.operator == "mul":
            return np.concatenate([one * self.model2.value(energy), self.model1.value(energy) * two])
        return np.concatenate([one, two if self.operator == "add" else -two])

    def _moment(self, order: int, energy_min: ArrayLike, energy_max: ArrayLike) -> Array:
        if self.operator == "mul":
            return super()._moment(order, energy_min, energy_max)
        one = self.model1._moment(order, energy_min, energy_max)
        two = self.model2._moment(order, energy_min, energy_max)
        return one + two if self.operator == "add" else one - two

    def _moment_gradient(self, order: int, energy_min: ArrayLike, energy_max: ArrayLike) -> Array:
        if self.operator == "mul":
            return super()._moment_gradient(order, energy_min, energy_max)
        one = self.model1._moment_gradient(order, energy_min, energy_max)
        two = self.model2._moment_gradient(order, energy_min, energy_max)
        return np.concatenate([one, two if self.operator == "add" else -two])
