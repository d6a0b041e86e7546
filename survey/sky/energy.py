"""Energy axes, reconstructed and true, and the radial axis of the PSF: edges of bins [low, high).

The edges have the bits that Gammapy's ``MapAxis`` gives for the same bounds, so that an event on an edge lands alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

NAMES = ("energy", "energy_true")

RAD_MAX = 0.66
"""Outer edge of the default radial axis, deg: the widest PSF of ground-based instruments at their threshold."""

RAD_EDGES: NDArray[np.float64] = np.linspace(0.0, RAD_MAX, 67)
"""Edges of the default radial axis of the PSF, deg: 66 bins, those of Gammapy's ``RAD_AXIS_DEFAULT``. Read only."""
RAD_EDGES.setflags(write=False)


@dataclass(frozen=True, eq=False)
class EnergyAxis:
    """Bins in energy.

    Parameters
    ----------
    name : str
        ``energy`` (reconstructed) or ``energy_true``.
    edges : numpy.ndarray
        The ``size + 1`` edges, TeV, float64, positive and strictly increasing. Kept read only.
    """

    name: str
    edges: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise ValueError(f"energy axis: name is {self.name!r}, expected one of {', '.join(NAMES)}")
        edges = np.array(self.edges, dtype=np.float64)
        if edges.ndim != 1 or edges.size < 2:
            raise ValueError(f"axis {self.name}: edges of shape {edges.shape}, expected at least two edges in one row")
        if not np.all(np.isfinite(edges)) or edges[0] <= 0 or np.any(np.diff(edges) <= 0):
            raise ValueError(
                f"axis {self.name}: edges {edges.tolist()} TeV, expected positive, finite and increasing energies"
            )
        edges.setflags(write=False)
        object.__setattr__(self, "edges", edges)

    @classmethod
    def from_bounds(cls, name: str, low: float, high: float, nbin: int) -> EnergyAxis:
        """Logarithmic bins between two energies.

        Parameters
        ----------
        name : str
            ``energy`` or ``energy_true``.
        low, high : float
            First and last edge, TeV.
        nbin : int
            Number of bins.

        Raises
        ------
        ValueError
            For an empty range, or no bin.
        """
        if not (0 < low < high and np.isfinite(high)):
            raise ValueError(f"axis {name}: empty energy range {low} to {high} TeV, expected 0 < min < max")
        if nbin < 1:
            raise ValueError(f"axis {name}: {nbin} bins, expected at least 1")
        # Through the logarithm and back, as Gammapy goes from its nodes to its edges: the last bit follows.
        return cls(name, np.exp(np.log(np.geomspace(low, high, int(nbin) + 1))))

    @property
    def size(self) -> int:
        """Number of bins."""
        return self.edges.size - 1

    @property
    def low(self) -> NDArray[np.float64]:
        """Lower edges, shape (size,), TeV."""
        return self.edges[:-1]

    @property
    def high(self) -> NDArray[np.float64]:
        """Upper edges, shape (size,), TeV."""
        return self.edges[1:]

    @cached_property
    def centers(self) -> NDArray[np.float64]:
        """Geometric centres, shape (size,), TeV."""
        centers = np.sqrt(self.low * self.high)
        centers.setflags(write=False)
        return centers

    @cached_property
    def widths(self) -> NDArray[np.float64]:
        """Widths, shape (size,), TeV."""
        return np.diff(self.edges)

    def index(self, values: ArrayLike) -> NDArray[np.int64]:
        """Bins [low, high) of some energies.

        Parameters
        ----------
        values : array-like
            TeV, any shape.

        Returns
        -------
        numpy.ndarray
            int64 of the same shape; -1 outside the axis and for NaN.
        """
        index = np.searchsorted(self.edges, np.asarray(values, dtype=np.float64), side="right").astype(np.int64) - 1
        return np.where(index == self.size, np.int64(-1), index)

    def key(self) -> list[float]:
        """The edges as plain numbers, for hashing and JSON; ``EnergyAxis(name, key)`` gives the axis back."""
        return [float(edge) for edge in self.edges]

    def same_edges(self, other: EnergyAxis | Sequence[float] | NDArray[Any]) -> bool:
        """Whether another axis, or a row of edges, has exactly these edges."""
        edges = other.edges if isinstance(other, EnergyAxis) else np.asarray(other, dtype=np.float64)
        return bool(np.array_equal(self.edges, edges))
