"""A small analytic cube: its responses are known everywhere, so that what a source predicts can be worked out apart."""

from dataclasses import dataclass

import numpy as np
import pytest
import xarray as xr
from scipy.special import erf

from survey.models import PowerLaw


@dataclass(frozen=True)
class Sky:
    """Analytic responses that change with the distance from the pointing, the middle of the grid."""

    ny: int = 80
    nx: int = 80
    cell: int = 4
    binsize: float = 0.05
    level: float = 1.0

    energy = np.geomspace(0.5, 20, 5)
    energy_true = np.geomspace(0.3, 40, 9)
    rad = np.linspace(0, 0.7, 71)

    def offset(self, y, x):
        return self.binsize * np.hypot(y - (self.ny - 1) / 2, x - (self.nx - 1) / 2)

    def exposure(self, y, x):
        center = np.sqrt(self.energy_true[1:] * self.energy_true[:-1]).reshape(-1, *[1] * np.ndim(y))
        return 3e9 * center**0.4 * np.exp(-0.5 * (self.offset(y, x) / (1.2 + 0.2 * np.log10(center))) ** 2)

    def psf_sigma(self, y, x):
        center = np.sqrt(self.energy_true[1:] * self.energy_true[:-1]).reshape(-1, *[1] * np.ndim(y))
        return 0.09 * center**-0.15 * (1 + 0.25 * self.offset(y, x) ** 2 / 4)

    def edisp(self, y, x):
        """Shape (energy_true, energy, ...)."""
        center = np.sqrt(self.energy_true[1:] * self.energy_true[:-1]).reshape(-1, 1, *[1] * np.ndim(y))
        edges = self.energy.reshape(1, -1, *[1] * np.ndim(y))
        width = 0.15 + 0.02 * self.offset(y, x)
        return np.diff(0.5 * (1 + erf(np.log(edges / center) / width / np.sqrt(2))), axis=1)

    def source(self, y0, x0, flux_model, width=0.0):
        """Expected counts of a Gaussian source (deg; 0: point) on a pixel centre: own integration, own responses."""
        edges = self.energy_true
        flux = flux_model.integral(edges[:-1], edges[1:])
        sigma = np.hypot(self.psf_sigma(y0, x0), width)[:, None]
        cut = 1 / (1 - np.exp(-0.5 * (self.rad[-1] / self.psf_sigma(y0, x0)) ** 2))
        shape = []
        for size, place in ((self.ny, y0), (self.nx, x0)):
            edge = (np.arange(size + 1) - 0.5 - place) * self.binsize
            shape.append(np.diff(0.5 * (1 + erf(edge / sigma / np.sqrt(2))), axis=1))
        weight = (flux * self.exposure(y0, x0) * cut)[:, None] * self.edisp(y0, x0)
        return np.einsum("te,ty,tx->eyx", weight, *shape)

    def dataset(self, counts=None, safe=None):
        y, x = np.indices((self.ny, self.nx))
        safe = np.ones((self.energy.size - 1, self.ny, self.nx)) if safe is None else safe
        seen = safe.any(axis=0)
        exposure = self.exposure(y, x) * seen
        spectrum = np.diff(-(self.energy**-1.7))[:, None, None]
        background = self.level * spectrum * np.exp(-0.5 * (self.offset(y, x) / 1.5) ** 2) * safe
        edges = [np.arange(0, size, self.cell) for size in (self.ny, self.nx)]

        def over_cells(values):
            total = np.add.reduceat(np.add.reduceat(values, edges[0], axis=-2), edges[1], axis=-1)
            pixels = np.add.reduceat(np.add.reduceat(np.ones((self.ny, self.nx)), edges[0], axis=0), edges[1], axis=1)
            return total / pixels

        middle = [
            0.5 * (edge + np.minimum(edge + self.cell, size) - 1)
            for edge, size in zip(edges, (self.ny, self.nx), strict=True)
        ]
        yc, xc = np.meshgrid(*middle, indexing="ij")
        sigma = np.radians(self.psf_sigma(yc, xc))[:, None]
        rad = np.radians(0.5 * (self.rad[1:] + self.rad[:-1]))[None, :, None, None]
        psf = np.exp(-0.5 * (rad / sigma) ** 2) / (2 * np.pi * sigma**2)
        solid_angle = 2 * np.pi * -np.diff(np.cos(np.radians(self.rad)))[None, :, None, None]
        psf /= (psf * solid_angle).sum(axis=1, keepdims=True)
        return xr.Dataset(
            {
                "counts": (("energy", "y", "x"), background.copy() if counts is None else counts),
                "background": (("energy", "y", "x"), background),
                "n_safe": (("energy", "y", "x"), safe),
                "exposure": (("energy_true", "y", "x"), exposure),
                "psf_exposure": (("energy_true", "rad", "y_irf", "x_irf"), over_cells(exposure)[:, None] * psf),
                "edisp_exposure": (
                    ("energy_true", "energy", "y_irf", "x_irf"),
                    over_cells(exposure[:, None] * safe) * self.edisp(yc, xc),
                ),
                "irf_exposure": (("energy_true", "y_irf", "x_irf"), over_cells(exposure)),
            },
            {
                "energy_edges": ("energy_edge", self.energy),
                "energy_true_edges": ("energy_true_edge", self.energy_true),
                "rad_edges": ("rad_edge", self.rad),
            },
            {"binsize": self.binsize, "cell": self.cell},
        )


@pytest.fixture
def sky():
    return Sky()


@pytest.fixture
def make_sky():
    return Sky


@pytest.fixture
def crab():
    """A bright source."""
    return PowerLaw(index=2.3, amplitude=3e-8)
