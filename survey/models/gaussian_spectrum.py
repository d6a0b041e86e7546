"""A line: a Gaussian in energy."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erf, erfc

from survey.models.parameters import Parameter
from survey.models.power_laws import TINY
from survey.models.spectral import SpectralModel

Array = NDArray[np.float64]


class GaussianSpectrum(SpectralModel):
    """Gaussian in energy, normalised over all energies (negative ones count): a line.

    Parameters
    ----------
    amplitude : float
        Flux of the line, s-1 m-2; default 1e-8 (1e-12 s-1 cm-2).
    mean : float
        Energy of the line, TeV; default 1.
    sigma : float
        Width, TeV; default 2.
    """

    tag: ClassVar[tuple[str, ...]] = ("GaussianSpectralModel", "gauss")
    defaults: ClassVar[tuple[Parameter, ...]] = (
        Parameter("amplitude", 1e-8, "s-1 m-2"),
        Parameter("mean", 1.0, "TeV"),
        Parameter("sigma", 2.0, "TeV", minimum=TINY),
    )

    @property
    def unit(self) -> str:
        return f"TeV-1 {self.parameters['amplitude'].unit}".rstrip()

    @property
    def breaks(self) -> Array:
        # in a product with another spectrum the quadrature has to see a narrow line
        if self.sigma > 0.1 * abs(self.mean):
            return np.empty(0)
        places = self.mean + self.sigma * np.linspace(-9, 9, 7)
        return places[places > 0]

    def _density(self, energy: Array) -> Array:
        """Value over the amplitude, TeV-1."""
        z = (energy - self.mean) / self.sigma
        return np.exp(-0.5 * z**2) / (self.sigma * np.sqrt(2 * np.pi))

    def value(self, energy: ArrayLike) -> Array:
        return self.amplitude * self._density(np.asarray(energy, dtype=float))

    def gradient(self, energy: ArrayLike) -> Array:
        energy = np.asarray(energy, dtype=float)
        z = (energy - self.mean) / self.sigma
        density = self._density(energy)
        value = self.amplitude * density
        return np.stack([density, value * z / self.sigma, value * (z**2 - 1) / self.sigma])

    def _between(self, low: Array, high: Array) -> Array:
        """Fraction of the line between two energies; in the tails of the difference of the complements."""
        u, v = ((energy - self.mean) / (np.sqrt(2) * self.sigma) for energy in (low, high))
        return 0.5 * np.where(
            np.minimum(u, v) > 0,
            erfc(u) - erfc(v),
            np.where(np.maximum(u, v) < 0, erfc(-v) - erfc(-u), erf(v) - erf(u)),
        )

    def _moment(self, order: int, energy_min: ArrayLike, energy_max: ArrayLike) -> Array:
        low, high = np.asarray(energy_min, dtype=float), np.asarray(energy_max, dtype=float)
        fraction = self._between(low, high)
        if order == 0:
            return self.amplitude * fraction
        shift = self.sigma**2 * (self._density(low) - self._density(high))
        return self.amplitude * (shift + self.mean * fraction)

    def _moment_gradient(self, order: int, energy_min: ArrayLike, energy_max: ArrayLike) -> Array:
        low, high = np.asarray(energy_min, dtype=float), np.asarray(energy_max, dtype=float)
        start, stop = self._density(low), self._density(high)
        z0, z1 = (low - self.mean) / self.sigma, (high - self.mean) / self.sigma
        fraction = self._between(low, high)
        if order == 0:
            rows = [fraction, self.amplitude * (start - stop), self.amplitude * (z0 * start - z1 * stop)]
        else:
            rows = [
                self.sigma**2 * (start - stop) + self.mean * fraction,
                self.amplitude * (fraction + low * start - high * stop),
                self.amplitude * (self.sigma * (start - stop) + low * z0 * start - high * z1 * stop),
            ]
        return np.stack(rows)
