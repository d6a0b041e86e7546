"""Pulses in time: the Gaussian one, and the generalised one that rises and falls at different rates."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from scipy.special import erf, gamma, gammainc

from survey.models.parameters import Parameter
from survey.models.temporal import Array, TemporalModel, reference


class GaussianTime(TemporalModel):
    """Gaussian pulse of height one.

    Parameters
    ----------
    t_ref : float
        Time of the peak, MJD.
    sigma : float
        Width, d.
    """

    tag: ClassVar[tuple[str, ...]] = ("GaussianTemporalModel", "gauss")
    defaults: ClassVar[tuple[Parameter, ...]] = (reference(frozen=False), Parameter("sigma", 1.0, "d"))

    def _norm(self, elapsed: Array) -> Array:
        return np.exp(-0.5 * (elapsed / self.sigma) ** 2)

    def _primitive(self, elapsed: Array) -> Array:
        return np.sqrt(np.pi / 2) * self.sigma * erf(elapsed / (np.sqrt(2) * self.sigma))


class GeneralizedGaussianTime(TemporalModel):
    """Pulse of height one: exp(-0.5 (|time - t_ref| / t_rise)**(1 / eta)) before its peak, with t_decay after it.

    Parameters
    ----------
    t_ref : float
        Time of the peak, MJD.
    t_rise, t_decay : float
        Widths before and after, d.
    eta : float
        Shape: 0.5 is Gaussian, larger is more peaked.
    """

    tag: ClassVar[tuple[str, ...]] = ("GeneralizedGaussianTemporalModel", "gengauss")
    defaults: ClassVar[tuple[Parameter, ...]] = (
        reference(frozen=False),
        Parameter("t_rise", 1.0, "d"),
        Parameter("t_decay", 1.0, "d"),
        Parameter("eta", 0.5, scale=0.05),
    )

    def _exponent(self, elapsed: Array) -> tuple[Array, Array]:
        """0.5 (|elapsed| / width)**(1 / eta), and the width, by side."""
        width = np.where(elapsed < 0, self.t_rise, self.t_decay)
        with np.errstate(over="ignore"):
            return 0.5 * (np.abs(elapsed) / width) ** (1 / self.eta), width

    def _norm(self, elapsed: Array) -> Array:
        return np.exp(-self._exponent(elapsed)[0])

    def _primitive(self, elapsed: Array) -> Array:
        # with u the exponent, the time is width (2 u)**eta: an incomplete gamma function
        exponent, width = self._exponent(elapsed)
        area = width * 2**self.eta * self.eta * gamma(self.eta)
        return np.sign(elapsed) * area * gammainc(self.eta, exponent)
