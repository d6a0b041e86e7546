"""The axes of a survey: reconstructed energy, true energy and distance from the centre of the PSF."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from survey.sky.energy import EnergyAxis


@dataclass(frozen=True, eq=False)
class Axes:
    """Axes that every observation of a survey is brought to.

    Parameters
    ----------
    energy : EnergyAxis
        Reconstructed energy, TeV.
    energy_true : EnergyAxis
        True energy, TeV.
    rad_edges : numpy.ndarray
        Edges of the bins in distance from the centre of the PSF, deg, increasing.
    """

    energy: EnergyAxis
    energy_true: EnergyAxis
    rad_edges: NDArray[np.float64]

    @property
    def rad_centers(self) -> NDArray[np.float64]:
        """Centres of the bins in distance, deg."""
        return 0.5 * (self.rad_edges[:-1] + self.rad_edges[1:])

    @property
    def n_rad(self) -> int:
        """Number of bins in distance."""
        return self.rad_edges.size - 1

    def key(self) -> dict[str, list[float]]:
        """Edges as plain numbers, for the key of a unit of work."""
        return {
            "energy": self.energy.key(),
            "energy_true": self.energy_true.key(),
            "rad": [float(edge) for edge in self.rad_edges],
        }
