"""The responses under a source: exposure at its pixels, point spread function and dispersion in its response cells.

Both are ratios of additive variables of the cube. A pixel takes part in the cells around it by bilinear weights of their
centres, times their exposure: that is what interpolating the numerators and the denominator before dividing them means,
so that there are no steps and cells without exposure have no weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr
from numpy.typing import NDArray

Array = NDArray[np.float64]

ALL_APPLIED: Mapping[str, bool] = {"exposure": True, "psf": True, "edisp": True}
VARIABLES = ("exposure", "psf_exposure", "edisp_exposure", "irf_exposure")
"""Variables of a cube that predictions read."""


def axis_weights(size: int, cell: int) -> Array:
    """Share of every cell along an axis in every pixel, linear between the cells' centres and constant beyond the outer ones.

    Parameters
    ----------
    size : int
        Pixels of the axis, which starts at the border of a cell; the last cell may have fewer pixels.
    cell : int
        Pixels of a cell.

    Returns
    -------
    numpy.ndarray
        Shape (cells, pixels); over the cells it sums to one.
    """
    start = np.arange(0, size, cell)
    centers = 0.5 * (start + np.minimum(start + cell, size) - 1)
    place = np.interp(np.arange(size), centers, np.arange(centers.size))
    left = np.minimum(place.astype(np.int64), max(centers.size - 2, 0))
    share = place - left
    weights = np.zeros((centers.size, size))
    pixels = np.arange(size)
    weights[left, pixels] = 1.0 - share
    if centers.size > 1:
        weights[left + 1, pixels] = share
    return weights


def diagonal_dispersion(energy_true: Array, energy: Array) -> Array:
    """Dispersion of a source that is seen without one: the part of each true bin within each reconstructed bin.

    Parameters
    ----------
    energy_true, energy : numpy.ndarray
        Edges, TeV.

    Returns
    -------
    numpy.ndarray
        Shape (energy_true, energy).
    """
    low = np.maximum(energy_true[:-1, None], energy[:-1])
    high = np.minimum(energy_true[1:, None], energy[1:])
    return np.asarray(np.clip(high - low, 0.0, None) / np.diff(energy_true)[:, None])


@dataclass(frozen=True, eq=False)
class CellResponses:
    """Responses of a window of pixels that is made of whole cells.

    Parameters
    ----------
    exposure : numpy.ndarray
        Shape (energy_true, y, x), m2 s.
    psf : numpy.ndarray or None
        Exposure times point spread function of the cells, shape (y_irf, x_irf, energy_true, rad), m2 s sr-1; None when
        there is none to apply.
    edisp : numpy.ndarray
        Exposure times dispersion, which holds the safe fraction, shape (y_irf, x_irf, energy_true, energy), m2 s.
    denominator : numpy.ndarray
        Exposure of the cells, shape (y_irf, x_irf, energy_true), m2 s.
    weights_y, weights_x : numpy.ndarray
        From `axis_weights`.
    """

    exposure: Array
    psf: Array | None
    edisp: Array
    denominator: Array
    weights_y: Array
    weights_x: Array

    @classmethod
    def of(cls, dataset: xr.Dataset, applied: Mapping[str, bool] = ALL_APPLIED) -> CellResponses:
        """Those of a window of a cube, whose attribute ``cell`` is the size of a cell in pixels.

        Parameters
        ----------
        dataset : xarray.Dataset
            With `VARIABLES`; without ``psf_exposure`` nothing is convolved, without ``edisp_exposure`` energies stay.
        applied : mapping of str to bool
            Which of ``exposure``, ``psf``, ``edisp`` a model asks for. Without exposure a flux counts as counts in m2 s.

        Raises
        ------
        ValueError
            When variables are missing, or numbers of cells and of pixels do not fit.
        """
        if missing := [name for name in ("exposure", "irf_exposure") if name not in dataset]:
            raise ValueError(f"predicted counts: the cube has no {', '.join(missing)}; expected {', '.join(VARIABLES)}")
        cell = int(dataset.attrs["cell"])
        weights = {axis: axis_weights(dataset.sizes[axis], cell) for axis in ("y", "x")}
        for axis, values in weights.items():
            if (found := dataset.sizes[f"{axis}_irf"]) != len(values):
                raise ValueError(
                    f"window of {dataset.sizes[axis]} pixels along {axis} has {found} response cells; expected "
                    f"{len(values)} of {cell} pixels: windows must start and end at borders of cells"
                )
        denominator = _values(dataset, "irf_exposure", "y_irf", "x_irf", "energy_true")
        exposure = _values(dataset, "exposure", "energy_true", "y", "x")
        if not applied.get("exposure", True):
            exposure = np.where(exposure > 0, 1.0, 0.0)
        psf = None
        if applied.get("psf", True) and "psf_exposure" in dataset:
            psf = _values(dataset, "psf_exposure", "y_irf", "x_irf", "energy_true", "rad")
        if applied.get("edisp", True) and "edisp_exposure" in dataset:
            edisp = _values(dataset, "edisp_exposure", "y_irf", "x_irf", "energy_true", "energy")
        else:
            edges = [np.asarray(dataset[f"{name}_edges"].values, dtype=float) for name in ("energy_true", "energy")]
            edisp = denominator[..., None] * diagonal_dispersion(*edges)
        return cls(exposure, psf, edisp, denominator, weights["y"], weights["x"])

    @cached_property
    def relative_exposure(self) -> Array:
        """Exposure of the pixels over that of the cells interpolated to them, shape (energy_true, y, x)."""
        below = self.interpolated(self.denominator)
        return np.divide(self.exposure, below, out=np.zeros_like(below), where=below > 0)

    def interpolated(self, cells: Array) -> Array:
        """Values of the cells, shape (y_irf, x_irf, n), interpolated to the pixels, shape (n, y, x)."""
        along_y = np.tensordot(self.weights_y, cells, axes=(0, 0))
        return np.ascontiguousarray(np.moveaxis(np.tensordot(along_y, self.weights_x, axes=(1, 0)), 0, 1))

    def profiles(self, y: int, x: int, energies: NDArray[np.int64]) -> Array:
        """Point spread functions of a cell at some bins of true energy, shape (n, rad), sr-1."""
        assert self.psf is not None
        return np.asarray(self.psf[y, x, energies] / self.denominator[y, x, energies, None])


def _values(dataset: xr.Dataset, name: str, *dims: str) -> Array:
    return np.ascontiguousarray(dataset[name].transpose(*dims).values, dtype=float)
