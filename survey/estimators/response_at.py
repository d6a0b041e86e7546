"""The responses of a cube at its pixels: where the cells lie, and what a spectrum gives in reconstructed energy.

A response is the ratio of two additive variables of the cube. Both are interpolated bilinearly between the centres of
the cells before they are divided, so that maps have no steps and cells without exposure have no weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from survey.estimators.kernels_response import exposure_at_pixels, interpolation
from survey.models import SpectralModel

Array = NDArray[np.float64]
Neighbours = tuple[NDArray[np.int64], NDArray[np.int64], Array]


def energy_edges(dataset: xr.Dataset, name: str) -> Array:
    """Edges in TeV of an energy axis of a cube, `energy` or `energy_true`."""
    return np.asarray(dataset[f"{name}_edges"].values, dtype=float)


def band_slices(edges: Array, bands: tuple[tuple[float, float], ...]) -> list[slice]:
    """Bins of each energy band, whose ends move to the nearest edges of the axis.

    Parameters
    ----------
    edges : numpy.ndarray
        Edges of the axis, TeV.
    bands : tuple
        Bands (low, high) in TeV.

    Raises
    ------
    ValueError
        When a band has no bin.
    """
    slices = []
    for low, high in bands:
        first, last = (int(np.abs(np.log(edges / end)).argmin()) for end in (low, high))
        if first == last:
            raise ValueError(
                f"energy band {low:g} to {high:g} TeV has no bin of the cube, whose axis runs from {edges[0]:g} "
                f"to {edges[-1]:g} TeV in {edges.size - 1} bins; widen the band or refine the axis"
            )
        slices.append(slice(first, last))
    return slices


@dataclass(frozen=True, eq=False)
class CellGrid:
    """Where the response cells of a window lie among its pixels.

    Parameters
    ----------
    cell : int
        Size of a cell in pixels.
    shape : tuple of int
        Pixels of the window (y, x). The window starts at the border of a cell; the last cell may have fewer pixels
        (at the edge of the grid).
    """

    cell: int
    shape: tuple[int, int]

    @classmethod
    def of(cls, dataset: xr.Dataset) -> CellGrid:
        """That of a window, whose attribute `cell` is the size of a cell in pixels.

        Raises
        ------
        ValueError
            When the numbers of cells and of pixels do not fit.
        """
        grid = cls(int(dataset.attrs["cell"]), (dataset.sizes["y"], dataset.sizes["x"]))
        for axis in ("y", "x"):
            expected, found = grid.centers(axis).size, dataset.sizes[f"{axis}_irf"]
            if expected != found:
                raise ValueError(
                    f"window of {dataset.sizes[axis]} pixels along {axis} has {found} response cells; expected "
                    f"{expected} of {grid.cell} pixels: windows must start and end at borders of cells"
                )
        return grid

    def centers(self, axis: str) -> Array:
        """Centres of the cells along `y` or `x` in pixels of the window; those at the edge of the pixels they have."""
        size = self.shape[0 if axis == "y" else 1]
        start = np.arange(0, size, self.cell)
        stop = np.minimum(start + self.cell, size)
        return np.asarray(0.5 * (start + stop - 1), dtype=float)

    def neighbours(self, axis: str, start: int, stop: int) -> Neighbours:
        """Left cell, right cell and share of the right one, for pixels from `start` to `stop` along an axis."""
        pixels = np.arange(start, stop)
        left, right, share = np.empty_like(pixels), np.empty_like(pixels), np.empty(pixels.size)
        interpolation(self.centers(axis), pixels, left, right, share)
        return left, right, share


@dataclass(frozen=True, eq=False)
class Responses:
    """Dispersion and exposure of the cells of a window, ready for a spectrum.

    Parameters
    ----------
    dataset : xarray.Dataset
        Window of a cube with `exposure`, `edisp_exposure` and `irf_exposure`.
    spectrum : SpectralModel
        Spectrum that is folded.
    bins : slice
        Bins of reconstructed energy.
    """

    dataset: xr.Dataset
    spectrum: SpectralModel
    bins: slice

    @cached_property
    def cells(self) -> CellGrid:
        """Where the cells lie."""
        return CellGrid.of(self.dataset)

    @cached_property
    def flux(self) -> Array:
        """Integral of the spectrum in each bin of true energy, shape (energy_true,), s-1 m-2."""
        edges = energy_edges(self.dataset, "energy_true")
        return self.spectrum.integral(edges[:-1], edges[1:])

    @cached_property
    def edisp(self) -> Array:
        """Exposure times dispersion, shape (y_irf, x_irf, energy_true, energy), m2 s."""
        values = self.dataset["edisp_exposure"].transpose("y_irf", "x_irf", "energy_true", "energy").values
        return np.ascontiguousarray(values[..., self.bins], dtype=float)

    @cached_property
    def denominator(self) -> Array:
        """Exposure of the cells, shape (y_irf, x_irf, energy_true), m2 s."""
        values = self.dataset["irf_exposure"].transpose("y_irf", "x_irf", "energy_true").values
        return np.ascontiguousarray(values, dtype=float)

    def exposure(self, y0: int, y1: int, x0: int, x1: int) -> Array:
        """Expected counts of a source of the spectrum at each pixel, before the PSF and within the safe range.

        Parameters
        ----------
        y0, y1, x0, x1 : int
            Pixels of the window.

        Returns
        -------
        numpy.ndarray
            Shape (y, x, energy).
        """
        values = self.dataset["exposure"].transpose("energy_true", "y", "x").values[:, y0:y1, x0:x1]
        out = np.empty((y1 - y0, x1 - x0, self.edisp.shape[3]))
        exposure_at_pixels(
            np.ascontiguousarray(values, dtype=float),
            np.asarray(self.flux, dtype=float),
            self.edisp,
            self.denominator,
            self.cells.neighbours("y", y0, y1),
            self.cells.neighbours("x", x0, x1),
            out,
        )
        return out
