"""Log parabolas, with and without unit. Definitions are Gammapy's (Massaro et al. 2004, A&A 413, 489, natural logarithm).

Their integrals are those of the quadrature: the closed forms by error functions cancel where the curvature is small, and
so do their derivatives, while the quadrature is good to 1e-12 for every curvature.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from survey.models.parameters import Parameter
from survey.models.power_laws import TINY
from survey.models.spectral import FLUX_UNIT, ExponentialSpectrum

Array = NDArray[np.float64]

_REFERENCE = Parameter("reference", 10.0, "TeV", minimum=TINY, frozen=True)


class _Parabola(ExponentialSpectrum):
    """What both log parabolas share."""

    def _exponent(self, energy: Array) -> Array:
        t = np.log(energy / self.reference)
        return np.asarray(-(self.alpha + self.beta * t) * t)

    def _exponent_gradient(self, energy: Array) -> Mapping[str, Array | float]:
        t = np.log(energy / self.reference)
        return {"reference": (self.alpha + 2 * self.beta * t) / self.reference, "alpha": -t, "beta": -(t**2)}


class LogParabola(_Parabola):
    """Log parabola: amplitude x (energy / reference)**(-alpha - beta log(energy / reference)).

    Parameters
    ----------
    amplitude : float
        Differential flux at the reference, TeV-1 s-1 m-2; default 1e-8 (1e-12 TeV-1 s-1 cm-2).
    reference : float
        Reference energy, TeV; default 10, frozen.
    alpha : float
        Spectral index at the reference; default 2.
    beta : float
        Curvature, of the natural logarithm; default 1.
    """

    tag: ClassVar[tuple[str, ...]] = ("LogParabolaSpectralModel", "lp")
    defaults: ClassVar[tuple[Parameter, ...]] = (
        Parameter("amplitude", 1e-8, FLUX_UNIT),
        _REFERENCE,
        Parameter("alpha", 2.0, scale=0.1),
        Parameter("beta", 1.0, scale=0.1),
    )


class LogParabolaNorm(_Parabola):
    """Log parabola without unit: norm x (energy / reference)**(-alpha - beta log(energy / reference)).

    Parameters
    ----------
    norm : float
        Default 1.
    reference : float
        Reference energy, TeV; default 10, frozen.
    alpha, beta : float
        Default 0.
    """

    tag: ClassVar[tuple[str, ...]] = ("LogParabolaNormSpectralModel", "lp-norm")
    defaults: ClassVar[tuple[Parameter, ...]] = (
        Parameter("norm", 1.0),
        _REFERENCE,
        Parameter("alpha", 0.0, scale=0.1),
        Parameter("beta", 0.0, scale=0.1),
    )
    scale_parameter = "norm"
