"""The responses of an area in few terms, for sources that are evaluated many times.

Point spread functions and dispersions change little from cell to cell, so that those of all cells are combinations of few.
With them the counts of a source of shape s and of flux F_t in true energy t are, at reconstructed energy e,

    sum over terms a of  F_t(a) E_a(e) [K_a * (C_a s)],

where K_a is a kernel, C_a an image of the exposure's share in the term and E_a a dispersion. The images C_a are again
combinations of few *fields*. Only as many terms and fields are kept as the tolerance of the settings asks for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2

from survey.fitting.cell_responses import CellResponses
from survey.fitting.low_rank import low_rank, low_rank_images
from survey.fitting.psf_kernels import KernelMatrix
from survey.fitting.settings import PredictionSettings

Array = NDArray[np.float64]
Spectrum = NDArray[np.complex128]
Frequencies = slice | NDArray[np.int64]


class _Term(NamedTuple):
    energy: int
    kernel: Array
    dispersion: Array
    image: Array
    part: float
    """Greatest part that it may have in the counts of its true energy."""


@dataclass(frozen=True, eq=False)
class JoinedResponses:
    """Responses of an area of pixels.

    Parameters
    ----------
    shape : tuple of int
        Pixels of the area (y, x).
    half : int
        Pixels that the counts reach beyond the area on every side.
    fields : numpy.ndarray
        Shape (field, y, x).
    shares : numpy.ndarray
        Share of every field in the image of a term, shape (term, field).
    kernels : numpy.ndarray
        Fourier transforms of the terms' kernels around the origin, which are real and the same for negative frequencies,
        shape (term, y frequency, x frequency).
    dispersions : numpy.ndarray
        Shape (term, energy).
    energies : numpy.ndarray
        Bin of true energy of every term, shape (term,).
    layers : numpy.ndarray
        Number of the terms' common energy and dispersion, shape (term,).
    """

    shape: tuple[int, int]
    half: int
    fields: Array
    shares: Array
    kernels: Array
    dispersions: Array
    energies: NDArray[np.int64]
    layers: NDArray[np.int64]

    @property
    def fast(self) -> tuple[int, int]:
        """Size of the Fourier transforms."""
        return fast_shape(self.shape, self.half)

    @property
    def out_shape(self) -> tuple[int, int]:
        """Pixels that counts are given for (y, x)."""
        return self.shape[0] + 2 * self.half, self.shape[1] + 2 * self.half

    def spectra(self, images: Array) -> Spectrum:
        """Fourier transforms of images on the area, shape (n, y, x), as (n, frequency)."""
        padded = np.zeros((len(images), *self.fast))
        padded[:, self.half : self.half + self.shape[0], self.half : self.half + self.shape[1]] = images
        return np.asarray(rfft2(padded, overwrite_x=True)).reshape(len(images), -1)

    def images(self, spectra: Spectrum) -> Array:
        """Images of `out_shape` from Fourier transforms, shape (n, y, x); a view of a larger array."""
        ny, nx = self.fast
        found = irfft2(spectra.reshape(len(spectra), ny, nx // 2 + 1), (ny, nx), overwrite_x=True)
        return np.asarray(found[:, : self.out_shape[0], : self.out_shape[1]])

    def transfer(self, flux: Array, rows: Frequencies, columns: Frequencies) -> Array:
        """Transfer functions of a spectrum, from fields to counts, shape (energy, field, y frequency, x frequency).

        Parameters
        ----------
        flux : numpy.ndarray
            Integrals in the bins of true energy, shape (energy_true,), s-1 m-2.
        rows, columns : slice or numpy.ndarray
            Which frequencies along y and x.
        """
        weights = (flux[self.energies, None] * self.dispersions).T[:, None] * self.shares.T
        return np.tensordot(weights, self.kernels[:, rows][:, :, columns], axes=1)

    def layer_images(self, fractions: Array) -> Array:
        """Counts of a shape for a flux of one, by layer, shape (layer, *out_shape).

        Parameters
        ----------
        fractions : numpy.ndarray
            Fraction of the source in each pixel of the area, shape (y, x), or by true energy, (energy_true, y, x).
        """
        if fractions.ndim == 2:
            fields = self.spectra(self.fields * fractions)
            spectra = (self.shares @ fields.view(np.float64)).view(np.complex128)
        else:
            images = np.tensordot(self.shares, self.fields, axes=1)
            spectra = self.spectra(images * fractions[self.energies])
        ny, half = self.fast[0], self.kernels.shape[1]
        by_row = spectra.reshape(len(spectra), ny, -1)
        by_row[:, :half] *= self.kernels
        by_row[:, half:] *= self.kernels[:, ny - half : 0 : -1]
        start = np.flatnonzero(np.diff(self.layers, prepend=-1))
        return self.images(np.add.reduceat(spectra, start, axis=0))

    def layer_weights(self, flux: Array) -> Array:
        """Weights that make counts of `layer_images`, for a flux of shape (..., energy_true): shape (..., energy, layer)."""
        start = np.flatnonzero(np.diff(self.layers, prepend=-1))
        return np.asarray(flux[..., None, self.energies[start]] * self.dispersions[start].T)


def fast_shape(shape: tuple[int, int], half: int) -> tuple[int, int]:
    """Size of the Fourier transforms that hold an area and its surroundings."""
    ny, nx = (next_fast_len(size + 2 * half, real=True) for size in shape)
    return ny, nx


def join(
    responses: CellResponses,
    inner: tuple[slice, slice],
    kernels: KernelMatrix | None,
    settings: PredictionSettings,
    importance: Array,
) -> JoinedResponses:
    """Join the responses of the cells of a window.

    Parameters
    ----------
    responses : CellResponses
        Of the window.
    inner : tuple of slice
        The area: rows and columns of the window.
    kernels : KernelMatrix or None
        Kernels of the grid; None for no convolution.
    settings : PredictionSettings
        With the tolerance.
    importance : numpy.ndarray
        Of the area's pixels, from the brightest one's of one down, shape (y, x): the tolerance is of the counts of the
        source, of which little comes from where it is faint.
    """
    psf = None if kernels is None or responses.psf is None else kernels
    weight = _importance_of_cells(responses, inner, importance)
    terms: list[_Term] = []
    half = 0
    for energy in range(responses.denominator.shape[2]):
        of_energy, reach = _terms(responses, inner, psf, energy, settings, importance, weight)
        terms += of_energy
        half = max(half, reach)
    shape = inner[0].stop - inner[0].start, inner[1].stop - inner[1].start
    n_energy = responses.edisp.shape[3]
    if not terms:
        terms = [_Term(0, np.zeros(1), np.zeros(n_energy), np.zeros(shape), 1.0)]
        psf, half = None, 0
    fast = fast_shape(shape, half)
    different = list({id(term.kernel): term.kernel for term in terms}.values())
    place = {id(kernel): number for number, kernel in enumerate(different)}
    spectra = _transforms(np.array(different), psf, half, fast)[[place[id(term.kernel)] for term in terms]]
    flat = np.array([term.image.ravel() for term in terms])
    # values of one where a term is all that there is
    scale = np.array([[np.abs(term.image * importance).max() / term.part] for term in terms])
    scale[scale == 0] = 1.0
    flat /= scale
    shares, fields = low_rank_images(flat, importance.ravel(), settings.tolerance)
    # fields as great as what they matter, so that those that matter little do not ask for high frequencies
    part = np.abs(shares).max(axis=0)
    part[part == 0] = 1.0
    shares, fields = shares / part, fields * part[:, None]
    layers, number = [], -1
    for before, term in zip([None, *terms], terms, strict=False):
        number += before is None or term.dispersion is not before.dispersion
        layers.append(number)
    return JoinedResponses(
        shape=shape,
        half=half,
        fields=fields.reshape(-1, *shape),
        shares=shares * scale,
        kernels=spectra,
        dispersions=np.array([term.dispersion for term in terms]),
        energies=np.array([term.energy for term in terms]),
        layers=np.array(layers),
    )


def _terms(
    responses: CellResponses,
    inner: tuple[slice, slice],
    kernels: KernelMatrix | None,
    energy: int,
    settings: PredictionSettings,
    importance: Array,
    weights: Array,
) -> tuple[list[_Term], int]:
    """Terms of a bin of true energy, sorted by their dispersion, and the half-width of their kernels."""
    exposure = responses.relative_exposure[energy][inner]
    v, u = np.nonzero((responses.denominator[:, :, energy] > 0) & responses.edisp[:, :, energy].any(axis=2))
    if v.size == 0 or not exposure.any():
        return [], 0
    below = responses.denominator[v, u, energy]
    weight = weights[v, u]
    disperse, dispersions = _basis(responses.edisp[v, u, energy] / below[:, None], weight, settings.tolerance)
    spread, basis, half = np.ones((v.size, 1)), np.ones((1, 1)), 0
    if kernels is not None:
        assert responses.psf is not None
        profiles = responses.psf[v, u, energy] / below[:, None]
        half = int(kernels.half_widths(profiles, settings.psf_containment).max())
        images = kernels.distinct(profiles, settings.psf_containment) * kernels.multiplicity
        spread, basis = _basis(images, weight, settings.tolerance)
        basis = basis / kernels.multiplicity
    found = []
    cells = np.zeros((*responses.denominator.shape[:2], 1))
    sizes = []
    for j, dispersion in enumerate(dispersions):
        for k, kernel in enumerate(basis):
            cells[v, u, 0] = below * disperse[:, j] * spread[:, k]
            image = responses.interpolated(cells)[0][inner] * exposure
            reach = np.abs(kernel).sum() if kernels is None else np.abs(kernel * kernels.multiplicity).sum()
            sizes.append(np.abs(image * importance).max() * reach * np.abs(dispersion).sum())
            found.append(_Term(energy, kernel, dispersion, image, 1.0))
    terms = [term._replace(part=size / max(sizes)) for term, size in zip(found, sizes, strict=True) if size > 0]
    return [term for term in terms if term.part > 0.1 * settings.tolerance], half


def _importance_of_cells(responses: CellResponses, inner: tuple[slice, slice], importance: Array) -> Array:
    """Greatest importance of a pixel in every cell, times the cell's weight there, shape (y_irf, x_irf)."""
    rows = np.array([(weights[:, None] * importance).max(axis=0) for weights in responses.weights_y[:, inner[0]]])
    cells = np.array([(weights * rows).max(axis=1) for weights in responses.weights_x[:, inner[1]]]).T
    return np.maximum(cells, importance.min())


def _basis(rows: Array, importance: Array, tolerance: float) -> tuple[Array, Array]:
    """Few rows that all are combinations of, to a part of the greatest sum of a row."""
    return low_rank(rows, importance, tolerance * float((np.abs(rows).sum(axis=1) * importance).max()))


def _transforms(kernels: Array, matrix: KernelMatrix | None, half: int, fast: tuple[int, int]) -> Array:
    """Fourier transforms of kernels around the origin, shape (n, y frequency, x frequency), none of them negative.

    They are real, sums of cosines, as kernels are the same in all directions.
    """
    quarters = kernels[:, :1, None] if matrix is None else matrix.images(kernels, half)[:, half:, half:]
    pixels = np.arange(half + 1)
    waves = [np.cos(2 * np.pi / size * np.outer(np.arange(size // 2 + 1), pixels)) for size in fast]
    along_y, along_x = (wave * np.where(pixels == 0, 1.0, 2.0) for wave in waves)
    return np.asarray(along_y @ (quarters @ along_x.T))
