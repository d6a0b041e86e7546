"""Predicted counts of one source, again and again as a fit asks for them: what did not change is not done again.

A changed norm costs no convolution and no fold, a changed spectrum no spatial step; a changed position or shape redoes the
spatial step, and the responses are looked up anew only when the source leaves the area that they were joined for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from survey.fitting.cell_responses import ALL_APPLIED, VARIABLES, CellResponses
from survey.fitting.cutout import PixelCut, cells_around, check_square, cut, cut_dataset, pixels_of, source_window
from survey.fitting.joined_responses import JoinedResponses, join
from survey.fitting.kernels_fold import add_scaled
from survey.fitting.low_rank import low_rank_images
from survey.fitting.psf_kernels import kernel_matrix
from survey.fitting.settings import PredictionSettings
from survey.fitting.shape_fractions import shape_fractions, shape_gradients
from survey.fitting.transfer import Transfer
from survey.models.spatial import Pixels, SpatialModel
from survey.models.spectral import SpectralModel
from survey.sky.pixels import EMPTY, Window

Array = NDArray[np.float64]

MARGIN = 0.1
"""A source may move so far, deg, before responses are joined for another area; or by a tenth of its radius."""


TRANSFER_PART = 0.2
"""Part of the tolerance that goes to the transfer of a spectrum."""

LEAST_IMPORTANCE = 0.02
"""Of pixels that hold next to nothing of a source: their responses are joined this much less closely."""


@dataclass(frozen=True, eq=False)
class SourceCounts:
    """Predicted counts of a source in its safe bins: an array that is kept, and a factor.

    Parameters
    ----------
    values : numpy.ndarray
        Shape (energy, y, x); shared with the evaluator, not to be changed.
    factor : float
        What `values` are to be multiplied by.
    window : Window
        Pixels of the dataset that `values` belong to.
    """

    values: Array
    factor: float
    window: Window

    @property
    def array(self) -> Array:
        """The counts, shape (energy, y, x)."""
        return self.values if self.factor == 1.0 else self.values * self.factor

    def add_to(self, total: Array) -> None:
        """Add the counts to those of the whole dataset, shape (energy, y, x), in place."""
        y, x = self.window.slices
        add_scaled(self.values, self.factor, total[:, y, x])


class _Area(NamedTuple):
    window: Window
    """Pixels of the dataset under the source."""
    pixels: PixelCut
    responses: JoinedResponses
    target: Window
    """Pixels of the dataset that counts reach."""
    inner: tuple[slice, slice]
    """The same among those of the responses' images."""
    safe: Array | None
    """One in safe bins and zero elsewhere, shape (energy, y, x); None when all are."""


class SourceEvaluator:
    """Predicted counts of a source on a window of a cube.

    Parameters
    ----------
    dataset : xarray.Dataset
        Window of a cube of whole response cells, in memory, with `survey.fitting.cell_responses.VARIABLES`, ``n_safe`` and
        the edges of its energies.
    shape : SpatialModel
        The source's shape, where it is at first.
    settings : PredictionSettings, optional
    pixels : Pixels, optional
        Where the pixels look; from the dataset's attributes unless given.
    applied : mapping of str to bool
        Which of ``exposure``, ``psf``, ``edisp`` are applied.
    name : str
        Of the source, for messages.
    """

    def __init__(
        self,
        dataset: xr.Dataset,
        shape: SpatialModel,
        settings: PredictionSettings | None = None,
        *,
        pixels: Pixels | None = None,
        applied: Mapping[str, bool] = ALL_APPLIED,
        name: str = "source",
    ) -> None:
        self._dataset = dataset[[variable for variable in (*VARIABLES, "n_safe") if variable in dataset]]
        self._pixels = pixels_of(dataset) if pixels is None else pixels
        self._settings = settings or PredictionSettings()
        self._applied = dict(applied)
        self._name = name
        self._edges = np.asarray(dataset["energy_true_edges"].values, dtype=float)
        self._n_energy = dataset.sizes["energy"]
        self._rad_edges: tuple[float, ...] = ()
        if "psf_exposure" in dataset:
            self._rad_edges = tuple(float(edge) for edge in dataset["rad_edges"].values)
        self.done: Counter[str] = Counter()
        """How often each step was done: ``responses``, ``spatial``, ``layers``, ``fold``."""
        self._area: _Area | None = None
        self._fractions = np.zeros((0, 0))
        self._transfers: dict[str, tuple[Array, Transfer]] = {}
        self._layers: tuple[Array, Array] | None = None
        self._values: Array | None = None
        self._flux = np.zeros(0)
        self._prepare(shape)

    @property
    def window(self) -> Window:
        """Pixels of the dataset that counts are given for; empty when the source is not on it."""
        return EMPTY if self._area is None else self._area.target

    def flux(self, spectrum: SpectralModel) -> Array:
        """Integrals of a spectrum in the bins of true energy, shape (energy_true,), s-1 m-2."""
        return np.asarray(spectrum.integral(self._edges[:-1], self._edges[1:]), dtype=float)

    def counts(self, shape: SpatialModel, spectrum: SpectralModel) -> SourceCounts:
        """Predicted counts of a source of a shape and a spectrum.

        Parameters
        ----------
        shape : SpatialModel
        spectrum : SpectralModel

        Returns
        -------
        SourceCounts
        """
        flux = self.flux(spectrum)
        same = shape == self._shape
        if not same:
            self._move(shape)
        area = self._area
        if area is None:
            return SourceCounts(np.zeros((self._n_energy, 0, 0)), 1.0, EMPTY)
        if same and self._values is not None and (factor := _ratio(flux, self._flux)) is not None:
            return SourceCounts(self._values, factor, area.target)
        if (same and self._values is not None) or self._fractions.ndim == 3:
            self._values = self._folded(area, flux)
        else:
            self._values = self._convolved(area, "shape", self._fractions[None], flux)[0]
        self._flux = flux
        return SourceCounts(self._values, 1.0, area.target)

    def spectral_gradient(self, shape: SpatialModel, spectrum: SpectralModel) -> Array:
        """Derivatives of the counts in the parameters of the spectrum, shape (parameter, energy, y, x).

        Counts are linear in the flux of every bin of true energy: the derivatives of the integrals are folded.
        """
        if shape != self._shape:
            self._move(shape)
        slopes = np.asarray(spectrum.integral_gradient(self._edges[:-1], self._edges[1:]), dtype=float)
        if self._area is None:
            return np.zeros((len(slopes), self._n_energy, 0, 0))
        return self._folded(self._area, slopes)

    def spatial_gradient(self, shape: SpatialModel, spectrum: SpectralModel) -> Array:
        """Derivatives of the counts in the parameters of the shape, shape (parameter, energy, y, x).

        They are the counts of a source with the derivatives of the shape's integrals over the pixels.
        """
        if shape != self._shape:
            self._move(shape)
        area, flux = self._area, self.flux(spectrum)
        if area is None:
            return np.zeros((len(shape.parameters), self._n_energy, 0, 0))
        slopes = shape_gradients(shape, area.pixels, self._edges)
        if slopes.ndim == 4:
            weights = area.responses.layer_weights(flux)
            images = (np.tensordot(weights, area.responses.layer_images(slope), axes=1) for slope in slopes)
            return np.stack([self._cut(area, image) for image in images])
        return np.stack(self._convolved(area, "slopes", slopes, flux))

    def _move(self, shape: SpatialModel) -> None:
        """Take another shape; join responses for another area if it has left this one."""
        needed = source_window(self._pixels, shape)
        if needed is None:
            self._shape, self._area = shape, None
            self._forget()
        elif self._area is None or not self._area.window.contains(needed):
            self._prepare(shape)
        else:
            self._place(shape)

    def _prepare(self, shape: SpatialModel) -> None:
        self._transfers.clear()
        cell, binsize = int(self._dataset.attrs["cell"]), float(self._dataset.attrs["binsize"])
        margin = max(MARGIN, 0.1 * min(shape.evaluation_radius, 90.0))
        area = source_window(self._pixels, shape, margin=margin)
        self._area, self._shape = None, shape
        self._forget()
        if area is None:
            return
        ny, nx = self._dataset.sizes["y"], self._dataset.sizes["x"]
        whole = cells_around(area, cell, (ny, nx))
        part = cut_dataset(self._dataset, whole)
        kernels = None
        if self._rad_edges:
            kernels = kernel_matrix(binsize, self._settings.half_width(binsize), self._rad_edges)
        responses = CellResponses.of(part, self._applied)
        check_square(self._pixels.solid_angle[area.slices], binsize, self._name)
        pixels = cut(self._pixels, area)
        importance = self._importance(shape, pixels, margin / binsize)
        joined = join(responses, area.relative_to(whole).slices, kernels, self._settings, importance)
        self.done["responses"] += 1
        reach = area.grown(joined.half)
        target = reach.intersection(Window(0, ny, 0, nx))
        safe = None
        if "n_safe" in self._dataset:
            y, x = target.slices
            found = self._dataset["n_safe"].transpose("energy", "y", "x").values[:, y, x] > 0
            safe = None if found.all() else found.astype(float)
        self._area = _Area(area, pixels, joined, target, target.relative_to(reach).slices, safe)
        self._place(shape)

    def _importance(self, shape: SpatialModel, pixels: PixelCut, margin: float) -> Array:
        """Brightness of a shape that may move by a margin (pixels), from one down to `LEAST_IMPORTANCE`, shape (y, x)."""
        fractions = shape_fractions(shape, pixels, self._edges)
        brightness = np.abs(fractions if fractions.ndim == 2 else fractions.sum(axis=0))
        spread = maximum_filter(brightness, size=2 * int(np.ceil(margin)) + 1)
        return np.maximum(spread / max(float(spread.max()), np.finfo(float).tiny), LEAST_IMPORTANCE)

    def _place(self, shape: SpatialModel) -> None:
        assert self._area is not None
        self._forget()
        self._shape = shape
        self._fractions = shape_fractions(shape, self._area.pixels, self._edges)

    def _forget(self) -> None:
        self._values = self._layers = None

    def _convolved(self, area: _Area, kind: str, images: Array, flux: Array) -> list[Array]:
        """Counts of images on the area (n, y, x) by the transfer of a spectrum, which is kept by their kind."""
        before, transfer = self._transfers.get(kind, (None, None))
        factor = None if before is None else _ratio(flux, before)
        if transfer is None or factor is None or not transfer.covers(images):
            transfer = Transfer.of(area.responses, flux, images, area.inner, TRANSFER_PART * self._settings.tolerance)
            self._transfers[kind], factor = (flux, transfer), 1.0
            self.done["fold"] += 1
        self.done["spatial"] += 1
        found = [transfer.counts(image if factor == 1.0 else factor * image) for image in images]
        if area.safe is not None:
            for counts in found:
                counts *= area.safe
        return found

    def _folded(self, area: _Area, flux: Array) -> Array:
        """Counts of a flux (..., energy_true) from the images of the layers, which are kept."""
        if self._layers is None:
            images = area.responses.layer_images(self._fractions)[:, *area.inner]
            scale = np.abs(images).max(axis=(1, 2))
            scale[scale == 0] = 1.0
            rows = images.reshape(len(images), -1) / scale[:, None]
            shares, basis = low_rank_images(rows, np.ones(rows.shape[1]), 0.1 * self._settings.tolerance)
            self._layers = shares * scale[:, None], basis
            self.done["layers"] += 1
        self.done["fold"] += 1
        shares, basis = self._layers
        folded = (area.responses.layer_weights(flux) @ shares) @ basis
        folded = folded.reshape(*flux.shape[:-1], self._n_energy, *area.target.shape)
        if area.safe is not None:
            folded *= area.safe
        return folded

    def _cut(self, area: _Area, images: Array) -> Array:
        """The dataset's pixels of images, and their safe bins."""
        inner = images[:, *area.inner]
        return np.ascontiguousarray(inner) if area.safe is None else inner * area.safe


def _ratio(flux: Array, before: Array) -> float | None:
    """Factor between two spectra that differ by their norm alone; None when they differ otherwise."""
    if not np.any(before):
        return None if np.any(flux) else 1.0
    place = int(np.argmax(np.abs(before)))
    factor = float(flux[place] / before[place])
    return factor if np.allclose(flux, factor * before, rtol=1e-13, atol=0.0) else None
