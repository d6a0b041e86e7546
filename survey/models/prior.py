"""Priors of parameters: what each adds to the fit statistic, -2 log of its probability density, and its derivative.

Definitions and names are Gammapy's. Values are in the canonical unit of the parameter that has the prior; in another
unit a density, and so the statistic, differs by a constant.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Prior(ABC):
    """Base of the priors. Plain values: they pickle and compare.

    Parameters
    ----------
    weight : float
        Factor on the statistic.
    """

    tag: ClassVar[tuple[str, ...]]
    """Gammapy's name."""

    weight: float = 1.0

    def __post_init__(self) -> None:
        problem = self._problem()
        wrong = [f"{name} {value}" for name, value in self._values().items() if not math.isfinite(value)]
        if wrong or problem:
            raise ValueError(f"{self.tag[0]}: {problem or ', '.join(wrong) + ', expected finite values'}")

    def _values(self) -> dict[str, float]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def parameters(self) -> dict[str, float]:
        """Its values by name, without the weight."""
        return {name: value for name, value in self._values().items() if name != "weight"}

    @abstractmethod
    def _problem(self) -> str:
        """What is wrong with the values; empty if nothing is."""

    @abstractmethod
    def _stat(self, value: Array) -> Array:
        """-2 log of the density."""

    @abstractmethod
    def _slope(self, value: Array) -> Array:
        """Derivative of `_stat`."""

    def value(self, value: ArrayLike) -> Array:
        """What it adds to the fit statistic at a value of the parameter; infinite where it excludes the value."""
        return np.asarray(self.weight * self._stat(np.asarray(value, dtype=float)))

    def gradient(self, value: ArrayLike) -> Array:
        """Derivative of `value`; zero where it is infinite."""
        return np.asarray(self.weight * self._slope(np.asarray(value, dtype=float)))


@dataclass(frozen=True, kw_only=True)
class GaussianPrior(Prior):
    """Normal distribution.

    Parameters
    ----------
    mu, sigma : float
        Mean and standard deviation.
    """

    tag: ClassVar[tuple[str, ...]] = ("GaussianPrior",)
    mu: float = 0.0
    sigma: float = 1.0

    def _problem(self) -> str:
        return "" if self.sigma > 0 else f"sigma {self.sigma}, expected a positive value"

    def _stat(self, value: Array) -> Array:
        return ((value - self.mu) / self.sigma) ** 2 + math.log(2 * math.pi) + 2 * math.log(self.sigma)

    def _slope(self, value: Array) -> Array:
        return 2 * (value - self.mu) / self.sigma**2


@dataclass(frozen=True, kw_only=True)
class UniformPrior(Prior):
    """The same density between two values, none elsewhere.

    Parameters
    ----------
    min, max : float
        The two values, which are inside.
    """

    tag: ClassVar[tuple[str, ...]] = ("UniformPrior",)
    min: float = 0.0
    max: float = 1.0

    def _problem(self) -> str:
        return "" if self.min < self.max else f"min {self.min} and max {self.max}, expected min < max"

    def _stat(self, value: Array) -> Array:
        return np.where((value >= self.min) & (value <= self.max), 2 * math.log(self.max - self.min), np.inf)

    def _slope(self, value: Array) -> Array:
        return np.zeros_like(value)


@dataclass(frozen=True, kw_only=True)
class LogUniformPrior(Prior):
    """The same density of the logarithm between two values, none elsewhere.

    Parameters
    ----------
    min, max : float
        The two values, which are inside; positive.
    """

    tag: ClassVar[tuple[str, ...]] = ("LogUniformPrior",)
    min: float = 1e-14
    max: float = 1e-10

    def _problem(self) -> str:
        return "" if 0 < self.min < self.max else f"min {self.min} and max {self.max}, expected 0 < min < max"

    def _inside(self, value: Array) -> NDArray[np.bool_]:
        return (value >= self.min) & (value <= self.max)

    def _stat(self, value: Array) -> Array:
        inside = self._inside(value)
        width = math.log(math.log(self.max / self.min))
        return np.where(inside, 2 * (np.log(np.where(inside, value, 1.0)) + width), np.inf)

    def _slope(self, value: Array) -> Array:
        inside = self._inside(value)
        return np.where(inside, 2 / np.where(inside, value, 1.0), 0.0)


@dataclass(frozen=True, kw_only=True)
class GeneralizedGaussianPrior(Prior):
    """Generalised normal distribution: the density falls as exp(-(|value - mu| / (sqrt(2) sigma))**(1 / eta)).

    Parameters
    ----------
    mu, sigma : float
        Mean and width.
    eta : float
        Shape: 0.5 is the normal distribution, 1 is Laplace's.
    """

    tag: ClassVar[tuple[str, ...]] = ("GeneralizedGaussianPrior",)
    mu: float = 0.0
    sigma: float = 1.0
    eta: float = 0.5

    def _problem(self) -> str:
        if self.sigma > 0 and self.eta > 0:
            return ""
        return f"sigma {self.sigma} and eta {self.eta}, expected positive values"

    def _stat(self, value: Array) -> Array:
        width = math.sqrt(2) * self.sigma
        norm = math.log(2 * width * self.eta) + float(gammaln(self.eta))
        return 2 * (np.abs((value - self.mu) / width) ** (1 / self.eta) + norm)

    def _slope(self, value: Array) -> Array:
        width = math.sqrt(2) * self.sigma
        scaled = (value - self.mu) / width
        power = np.zeros_like(scaled)
        np.power(np.abs(scaled), 1 / self.eta - 1, out=power, where=scaled != 0)
        return 2 / (self.eta * width) * np.sign(scaled) * power
