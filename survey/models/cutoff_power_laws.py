"""Power laws with an exponential cut-off: Gammapy's own, and those of the Fermi-LAT catalogues.

Definitions are Gammapy's. Their integrals have no closed form whose derivative in the index were elementary, so all
are those of the quadrature.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from survey.models.parameters import Parameter
from survey.models.power_laws import TINY
from survey.models.spectral import FLUX_UNIT, ExponentialSpectrum

Array = NDArray[np.float64]

MEV = 1e6
"""MeV in a TeV."""

_AMPLITUDE = Parameter("amplitude", 1e-8, FLUX_UNIT)
_REFERENCE = Parameter("reference", 1.0, "TeV", minimum=TINY, frozen=True)
_ECUT = Parameter("ecut", 10.0, "TeV", minimum=TINY)
_LAMBDA = Parameter("lambda_", 0.1, "TeV-1")
_ALPHA = Parameter("alpha", 1.0, frozen=True, scale=0.1)
_INDEX_1 = Parameter("index_1", 1.5, scale=0.1)
_INDEX_2 = Parameter("index_2", 2.0, scale=0.1)


class _CutoffShape(ExponentialSpectrum):
    """What the exponential cut-off power law and its norm share."""

    def _cutoff(self, energy: Array) -> tuple[Array, Array]:
        """Absolute value of lambda_ x energy, never zero, and its power alpha with the sign of lambda_."""
        # a fit may step to a lambda_ below zero: for alpha = 1 this is the same function, else its odd continuation
        size = np.maximum(np.abs(self.lambda_ * energy), TINY)
        return size, np.sign(self.lambda_) * size**self.alpha

    def _exponent(self, energy: Array) -> Array:
        return np.asarray(-self.index * np.log(energy / self.reference) - self._cutoff(energy)[1])

    def _exponent_gradient(self, energy: Array) -> Mapping[str, Array | float]:
        size, cutoff = self._cutoff(energy)
        return {
            "index": -np.log(energy / self.reference),
            "reference": self.index / self.reference,
            "lambda_": -self.alpha * size ** (self.alpha - 1.0) * energy,
            "alpha": -cutoff * np.log(size),
        }


class ExpCutoffPowerLaw(_CutoffShape):
    """Power law with an exponential cut-off: amplitude x (energy / reference)**-index x exp(-(lambda_ energy)**alpha).

    Parameters
    ----------
    index : float
        Spectral index; default 1.5.
    amplitude : float
        TeV-1 s-1 m-2; default 1e-8 (1e-12 TeV-1 s-1 cm-2).
    reference : float
        Reference energy, TeV; default 1, frozen.
    lambda_ : float
        Inverse of the cut-off energy, TeV-1; default 0.1. Zero is no cut-off.
    alpha : float
        Sharpness of the cut-off; default 1, frozen.
    """

    tag: ClassVar[tuple[str, ...]] = ("ExpCutoffPowerLawSpectralModel", "ecpl")
    defaults: ClassVar[tuple[Parameter, ...]] = (
        Parameter("index", 1.5, scale=0.1),
        _AMPLITUDE,
        _REFERENCE,
        _LAMBDA,
        _ALPHA,
    )


class ExpCutoffPowerLawNorm(_CutoffShape):
    """Power law with an exponential cut-off, without unit.

    Parameters
    ----------
    index : float
        Default 0.
    norm : float
        Default 1.
    reference, lambda_, alpha : float
        As those of `ExpCutoffPowerLaw`.
    """

    tag: ClassVar[tuple[str, ...]] = ("ExpCutoffPowerLawNormSpectralModel", "ecpl-norm")
    defaults: ClassVar[tuple[Parameter, ...]] = (
        Parameter("index", 0.0, scale=0.1),
        Parameter("norm", 1.0),
        _REFERENCE,
        _LAMBDA,
        _ALPHA,
    )
    scale_parameter = "norm"


class ExpCutoffPowerLaw3FGL(ExponentialSpectrum):
    """Cut-off power law of 3FGL: amplitude x (energy / reference)**-index x exp((reference - energy) / ecut).

    Acero et al. (2015), ApJS 218, 23.

    Parameters
    ----------
    index : float
        Default 1.5.
    amplitude : float
        Differential flux at the reference, TeV-1 s-1 m-2; default 1e-8.
    reference : float
        TeV; default 1, frozen.
    ecut : float
        Cut-off energy, TeV; default 10.
    """

    tag: ClassVar[tuple[str, ...]] = ("ExpCutoffPowerLaw3FGLSpectralModel", "ecpl-3fgl")
    defaults: ClassVar[tuple[Parameter, ...]] = (Parameter("index", 1.5, scale=0.1), _AMPLITUDE, _REFERENCE, _ECUT)

    def _exponent(self, energy: Array) -> Array:
        return np.asarray(-self.index * np.log(energy / self.reference) + (self.reference - energy) / self.ecut)

    def _exponent_gradient(self, energy: Array) -> Mapping[str, Array | float]:
        return {
            "index": -np.log(energy / self.reference),
            "reference": self.index / self.reference + 1 / self.ecut,
            "ecut": (energy - self.reference) / self.ecut**2,
        }


class SuperExpCutoffPowerLaw3FGL(ExponentialSpectrum):
    """Super-exponential cut-off of 3FGL.

    amplitude x (energy / reference)**-index_1 x exp((reference / ecut)**index_2 - (energy / ecut)**index_2);
    Acero et al. (2015), ApJS 218, 23.

    Parameters
    ----------
    amplitude : float
        Differential flux at the reference, TeV-1 s-1 m-2; default 1e-8.
    reference : float
        TeV; default 1, frozen.
    ecut : float
        Cut-off energy, TeV; default 10.
    index_1, index_2 : float
        Defaults 1.5 and 2.
    """

    tag: ClassVar[tuple[str, ...]] = ("SuperExpCutoffPowerLaw3FGLSpectralModel", "secpl-3fgl")
    defaults: ClassVar[tuple[Parameter, ...]] = (_AMPLITUDE, _REFERENCE, _ECUT, _INDEX_1, _INDEX_2)

    def _exponent(self, energy: Array) -> Array:
        start, there = (self.reference / self.ecut) ** self.index_2, (energy / self.ecut) ** self.index_2
        return np.asarray(-self.index_1 * np.log(energy / self.reference) + start - there)

    def _exponent_gradient(self, energy: Array) -> Mapping[str, Array | float]:
        start, there = (self.reference / self.ecut) ** self.index_2, (energy / self.ecut) ** self.index_2
        return {
            "reference": (self.index_1 + self.index_2 * start) / self.reference,
            "ecut": self.index_2 / self.ecut * (there - start),
            "index_1": -np.log(energy / self.reference),
            "index_2": start * np.log(self.reference / self.ecut) - there * np.log(energy / self.ecut),
        }


class SuperExpCutoffPowerLaw4FGL(ExponentialSpectrum):
    """Super-exponential cut-off of 4FGL (DR1, DR2).

    amplitude x (energy / reference)**-index_1 x exp(expfactor x (reference**index_2 - energy**index_2)), with the
    energies of the last factor in MeV; Abdollahi et al. (2020), ApJS 247, 33, equation 4.

    Parameters
    ----------
    amplitude : float
        Differential flux at the reference, TeV-1 s-1 m-2; default 1e-8.
    reference : float
        TeV; default 1, frozen.
    expfactor : float
        In MeV**-index_2, written as a pure number; default 1e-14.
    index_1, index_2 : float
        Defaults 1.5 and 2.
    """

    tag: ClassVar[tuple[str, ...]] = ("SuperExpCutoffPowerLaw4FGLSpectralModel", "secpl-4fgl")
    defaults: ClassVar[tuple[Parameter, ...]] = (
        _AMPLITUDE,
        _REFERENCE,
        Parameter("expfactor", 1e-14),
        _INDEX_1,
        _INDEX_2,
    )

    def _exponent(self, energy: Array) -> Array:
        start, there = (MEV * self.reference) ** self.index_2, (MEV * energy) ** self.index_2
        return np.asarray(-self.index_1 * np.log(energy / self.reference) + self.expfactor * (start - there))

    def _exponent_gradient(self, energy: Array) -> Mapping[str, Array | float]:
        start, there = (MEV * self.reference) ** self.index_2, (MEV * energy) ** self.index_2
        logs = start * np.log(MEV * self.reference) - there * np.log(MEV * energy)
        return {
            "reference": (self.index_1 + self.expfactor * self.index_2 * start) / self.reference,
            "expfactor": start - there,
            "index_1": -np.log(energy / self.reference),
            "index_2": self.expfactor * logs,
        }


@cache
def _series(first: int, count: int = 16) -> Array:
    """Coefficients 1 / (first + k)!, highest power first."""
    return 1.0 / np.cumprod(np.concatenate([[np.prod(np.arange(1.0, first + 1))], first + np.arange(1.0, count)]))[::-1]


def _curvature(z: Array) -> tuple[Array, Array]:
    """(exp(z) - 1 - z) / z**2 and its derivative, smooth at zero."""
    small = np.abs(z) < 0.5
    inside, outside = np.where(small, z, 0.0), np.where(small, 1.0, z)
    coefficients = _series(2)
    value = np.where(small, np.polyval(coefficients, inside), (np.expm1(outside) - outside) / outside**2)
    direct = (outside * np.exp(outside) - 2 * np.expm1(outside) + outside) / outside**3
    return value, np.where(small, np.polyval(np.polyder(coefficients), inside), direct)


class SuperExpCutoffPowerLaw4FGLDR3(ExponentialSpectrum):
    """Super-exponential cut-off of 4FGL-DR3.

    amplitude x (energy / reference)**(expfactor / index_2 - index_1) x exp(expfactor / index_2**2 x
    (1 - (energy / reference)**index_2)), smooth where index_2 x log(energy / reference) passes through zero;
    Abdollahi et al. (2022), ApJS 260, 53, equations 2 and 3.

    Parameters
    ----------
    amplitude : float
        Differential flux at the reference, TeV-1 s-1 m-2; default 1e-8.
    reference : float
        TeV; default 1, frozen.
    expfactor : float
        Default 1e-2.
    index_1, index_2 : float
        Defaults 1.5 and 2.
    """

    tag: ClassVar[tuple[str, ...]] = ("SuperExpCutoffPowerLaw4FGLDR3SpectralModel", "secpl-4fgl-dr3")
    defaults: ClassVar[tuple[Parameter, ...]] = (
        _AMPLITUDE,
        _REFERENCE,
        Parameter("expfactor", 1e-2),
        _INDEX_1,
        _INDEX_2,
    )

    def _exponent(self, energy: Array) -> Array:
        t = np.log(energy / self.reference)
        return np.asarray(-self.index_1 * t - self.expfactor * t**2 * _curvature(self.index_2 * t)[0])

    def _exponent_gradient(self, energy: Array) -> Mapping[str, Array | float]:
        t = np.log(energy / self.reference)
        z = self.index_2 * t
        curvature, slope = _curvature(z)
        # the derivative of t**2 x curvature in t is (exp(z) - 1) / index_2 = t x (1 + z x curvature)
        return {
            "reference": (self.index_1 + self.expfactor * t * (1 + z * curvature)) / self.reference,
            "expfactor": -(t**2) * curvature,
            "index_1": -t,
            "index_2": -self.expfactor * t**3 * slope,
        }
