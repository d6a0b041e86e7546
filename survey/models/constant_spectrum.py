"""A spectrum that does not depend on energy, and a factor in front of another spectrum."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from survey.models.parameters import Parameter, Parameters
from survey.models.spectral import FLUX_UNIT, SpectralModel

Array = NDArray[np.float64]


class ConstantSpectrum(SpectralModel):
    """The same differential flux at every energy.

    Parameters
    ----------
    const : float
        TeV-1 s-1 m-2; default 1e-8 (1e-12 TeV-1 s-1 cm-2). A `Parameter` without unit makes a norm of it.
    """

    tag: ClassVar[tuple[str, ...]] = ("ConstantSpectralModel", "const")
    defaults: ClassVar[tuple[Parameter, ...]] = (Parameter("const", 1e-8, FLUX_UNIT),)
    scale_parameter = "const"

    def value(self, energy: ArrayLike) -> Array:
        return np.full(np.shape(energy), self.const)[()]

    def gradient(self, energy: ArrayLike) -> Array:
        return np.ones((1, *np.shape(energy)))

    def _moment(self, order: int, energy_min: ArrayLike, energy_max: ArrayLike) -> Array:
        return self.const * self._moment_gradient(order, energy_min, energy_max)[0]

    def _moment_gradient(self, order: int, energy_min: ArrayLike, energy_max: ArrayLike) -> Array:
        low, high = np.asarray(energy_min, dtype=float), np.asarray(energy_max, dtype=float)
        # a product of sum and difference keeps what narrow bins lose in a difference of squares
        return np.asarray((high - low) * (1.0 if order == 0 else 0.5 * (high + low)))[None]


class Scale(SpectralModel):
    """Another spectral model, whose parameters are hidden and stay, times a norm.

    Parameters
    ----------
    model : SpectralModel
        The model.
    norm : float or Parameter
        Default 1.
    """

    tag: ClassVar[tuple[str, ...]] = ("ScaleSpectralModel", "scale")
    defaults: ClassVar[tuple[Parameter, ...]] = (Parameter("norm", 1.0),)

    def __init__(self, model: SpectralModel, *, norm: float | Parameter = 1.0) -> None:
        super().__init__(norm=norm)
        self.model = model

    @property
    def unit(self) -> str:
        return self.model.unit

    @property
    def breaks(self) -> Array:
        return self.model.breaks

    def with_parameters(self, parameters: Parameters) -> Self:
        return type(self)(self.model, norm=parameters["norm"])

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other) and isinstance(other, Scale) and self.model == other.model

    def __hash__(self) -> int:
        return hash((super().__hash__(), self.model))

    def __repr__(self) -> str:
        return f"Scale({self.model!r}, norm={self.norm:g})"

    def key(self) -> dict[str, float | str]:
        return super().key() | {f"model.{name}": value for name, value in self.model.key().items()}

    def value(self, energy: ArrayLike) -> Array:
        return self.norm * self.model.value(energy)

    def gradient(self, energy: ArrayLike) -> Array:
        return np.asarray(self.model.value(energy))[None]

    def _moment(self, order: int, energy_min: ArrayLike, energy_max: ArrayLike) -> Array:
        return self.norm * self.model._moment(order, energy_min, energy_max)

    def _moment_gradient(self, order: int, energy_min: ArrayLike, energy_max: ArrayLike) -> Array:
        return np.asarray(self.model._moment(order, energy_min, energy_max))[None]
