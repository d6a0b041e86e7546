"""Cubes with responses in closed form, and sources on them: what both sides predict counts for. NumPy alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SPECTRUM = {"index": 2.2, "amplitude": 4e-11}
"""Power law; amplitude at 1 TeV in TeV-1 s-1 cm-2."""

SOURCES = {
    f"{name}-{place}": {"type": name, "east": east, "north": north, **values}
    for name, values in {
        "point": {},
        "gauss": {"sigma": 0.2},
        "disk": {"r_0": 0.3},
        "shell": {"radius": 0.25, "width": 0.1},
    }.items()
    for place, east, north in (("centre", 0.013, 0.007), ("off", 1.2, -0.9))
}
"""Shapes by name; places as degrees from the middle of the grid, in longitude and latitude."""

LARGE = {"large": {"type": "gauss", "sigma": 0.7, "east": 0.8, "north": 0.3}}
"""The source that responses vary under."""


@dataclass(frozen=True)
class Responses:
    """Responses by offset (deg) from the middle of the grid; those of the middle everywhere if they do not vary."""

    varies: bool
    binsize: float = 0.02
    size: int = 300
    cell: int = 10
    lon: float = 10.0
    n_energy: int = 20
    n_true: int = 30

    @property
    def energy(self) -> np.ndarray:
        """Edges of reconstructed energy, TeV."""
        return np.geomspace(0.5, 50, self.n_energy + 1)

    @property
    def energy_true(self) -> np.ndarray:
        """Edges of true energy, TeV."""
        return np.geomspace(0.2, 100, self.n_true + 1)

    @property
    def center(self) -> np.ndarray:
        """Centres of the bins of true energy."""
        return np.sqrt(self.energy_true[1:] * self.energy_true[:-1])

    rad = np.linspace(0, 0.66, 67)

    def _offset(self, offset):
        return np.asarray(offset) * float(self.varies)

    def exposure(self, offset):
        """Shape (energy_true, ...), m2 s: falls faster at low energies."""
        offset = self._offset(offset)
        center = self.center.reshape(-1, *[1] * offset.ndim)
        return 2e10 * center**0.3 / (1 + center**-1.5) * np.exp(-0.5 * (offset / (1.1 + 0.25 * np.log10(center))) ** 2)

    def psf_sigma(self, offset):
        """Width of the Gaussian PSF in deg, shape (energy_true, ...)."""
        offset = self._offset(offset)
        return 0.07 * self.center.reshape(-1, *[1] * offset.ndim) ** -0.12 * (1 + 0.12 * offset**2)

    def bias(self, offset):
        """Shift of the logarithm of the energy, and its width."""
        offset = self._offset(offset)
        return 0.04 * offset**2, 0.12 + 0.03 * offset

    def dispersion(self, offset):
        """Shape (energy_true, energy, ...)."""
        from scipy.special import erf

        shift, width = self.bias(offset)
        center = self.center.reshape(-1, 1, *[1] * np.ndim(offset))
        edges = self.energy.reshape(1, -1, *[1] * np.ndim(offset))
        return np.diff(0.5 * (1 + erf((np.log(edges / center) - shift) / width / np.sqrt(2))), axis=1)

    def pixel_offset(self, y, x):
        """Offset of pixels from the middle of the grid, deg."""
        middle = (self.size - 1) / 2
        return self.binsize * np.hypot(np.asarray(y) - middle, np.asarray(x) - middle)
