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
from scipy.fft import fft, ifft, irfft, irfft2, next_fast_len, rfft, rfft2

from survey.fitting.cell_responses import CellResponses
from survey.fitting.kernels_fold import apply_transfer
from survey.fitting.low_rank import low_rank, low_rank_images
from survey.fitting.psf_kernels import KernelMatrix
from survey.fitting.settings import PredictionSettings

Array = NDArray[np.float64]
Spectrum = NDArray[np.complex128]


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
        Fourier transforms of the terms' kernels around the origin, which are real, shape (term, frequency).
    dispersions : numpy.ndarray
        Shape (term, energy).
    energies : numpy.ndarray
        Bin of true energy of every term, shape (term,).
    layers : numpy.ndarray
        Number of the terms' common energy and dispersion, shape (term,).
    least : float
        The highest frequencies of a shape, with this part of its amplitude in quadrature, are left out by `counts`.
    """

    shape: tuple[int, int]
    half: int
    fields: Array
    shares: Array
    kernels: Array
    dispersions: Array
    energies: NDArray[np.int64]
    layers: NDArray[np.int64]
    least: float

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

    def transfer(self, flux: Array) -> Array:
        """Transfer functions of a spectrum, from fields to counts, shape (energy, field, frequency).

        Parameters
        ----------
        flux : numpy.ndarray
            Integrals in the bins of true energy, shape (energy_true,), s-1 m-2.
        """
        weights = (flux[self.energies, None] * self.dispersions).T[:, None] * self.shares.T
        n_energy, n_field, n_term = weights.shape
        return (weights.reshape(-1, n_term) @ self.kernels).reshape(n_energy, n_field, -1)

    def counts(self, fractions: Array, transfer: Array) -> Array:
        """Counts of a shape, for the spectrum of a transfer, shape (energy, *out_shape).

        Parameters
        ----------
        fractions : numpy.ndarray
            Fraction of the source in each pixel of the area, shape (y, x).
        transfer : numpy.ndarray
            From `transfer`.
        """
        ny, nx = self.fast
        spectra = self._low_frequencies(self.fields * fractions)
        frequency = np.minimum(np.arange(ny), ny - np.arange(ny))
        power = np.zeros(int(frequency.max()) + 1)
        for part in (spectra.real, spectra.imag):
            np.add.at(power, frequency, np.einsum("fyx,fyx->y", part, part))
        rows = np.flatnonzero(frequency < _needed(power, self.least))
        out = np.zeros((transfer.shape[0], ny, spectra.shape[2]), dtype=np.complex128)
        apply_transfer(transfer.reshape(*transfer.shape[:2], ny, -1), spectra, rows, out)
        columns = ifft(out, axis=1, overwrite_x=True)[:, : self.out_shape[0]]
        return np.asarray(irfft(columns, nx, axis=2, overwrite_x=True)[:, :, : self.out_shape[1]])

    def _low_frequencies(self, images: Array) -> Spectrum:
        """Fourier transforms (n, y frequency, x frequency) of images on the area, up to the x frequency where they end."""
        ny, nx = self.fast
        y, x = (slice(self.half, self.half + size) for size in self.shape)
        padded = np.zeros((len(images), self.shape[0], x.stop))
        padded[:, :, x] = images
        along_x = rfft(padded, nx, axis=2, overwrite_x=True)
        power = np.einsum("fyx,fyx->x", along_x.real, along_x.real)
        power += np.einsum("fyx,fyx->x", along_x.imag, along_x.imag)
        last = _needed(power, self.least)
        columns = np.zeros((len(images), ny, last), dtype=np.complex128)
        columns[:, y] = along_x[:, :, :last]
        return np.asarray(fft(columns, axis=1, overwrite_x=True))

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
        spectra *= self.kernels
        start = np.flatnonzero(np.diff(self.layers, prepend=-1))
        return self.images(np.add.reduceat(spectra, start, axis=0))

    def layer_weights(self, flux: Array) -> Array:
        """Weights that make counts of `layer_images`, for a flux of shape (..., energy_true): shape (..., energy, layer)."""
        start = np.flatnonzero(np.diff(self.layers, prepend=-1))
        return np.asarray(flux[..., None, self.energies[start]] * self.dispersions[start].T)


def _needed(power: Array, least: float) -> int:
    """How many of the lowest frequencies leave out no more than a part of the amplitude, in quadrature; one at least."""
    rest = np.cumsum(power[::-1])[::-1]
    return max(int(np.count_nonzero(rest > least**2 * rest[0])), 1)


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
    terms: list[_Term] = []
    half = 0
    for energy in range(responses.denominator.shape[2]):
        of_energy, reach = _terms(responses, inner, psf, energy, settings, importance)
        terms += of_energy
        half = max(half, reach)
    shape = inner[0].stop - inner[0].start, inner[1].stop - inner[1].start
    n_energy = responses.edisp.shape[3]
    if not terms:
        terms = [_Term(0, np.zeros(1), np.zeros(n_energy), np.zeros(shape), 1.0)]
        psf, half = None, 0
    fast = fast_shape(shape, half)
    spectra = np.empty((len(terms), fast[0] * (fast[1] // 2 + 1)))
    images: dict[int, Array] = {}
    for number, term in enumerate(terms):
        if id(term.kernel) not in images:
            images[id(term.kernel)] = _transform(term.kernel, psf, half, fast)
        spectra[number] = images[id(term.kernel)]
    flat = np.array([term.image.ravel() for term in terms])
    # values of one where a term is all that there is
    scale = np.abs(flat * importance.ravel()).max(axis=1, keepdims=True) / np.array([[term.part] for term in terms])
    scale[scale == 0] = 1.0
    shares, fields = low_rank_images(flat / scale, importance.ravel(), settings.tolerance)
    # fields as great as what they matter, so that those that matter little do not ask for high frequencies
    part = np.abs(shares).max(axis=0)
    part[part == 0] = 1.0
    shares, fields = shares / part, fields * part[:, None]
    layers, number = [], -1
    for place, term in enumerate(terms):
        number += place == 0 or term.dispersion is not terms[place - 1].dispersion
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
        least=0.5 * settings.tolerance,
    )


def _terms(
    responses: CellResponses,
    inner: tuple[slice, slice],
    kernels: KernelMatrix | None,
    energy: int,
    settings: PredictionSettings,
    importance: Array,
) -> tuple[list[_Term], int]:
    """Terms of a bin of true energy, sorted by their dispersion, and the half-width of their kernels."""
    exposure = responses.relative_exposure[energy][inner]
    v, u = np.nonzero((responses.denominator[:, :, energy] > 0) & responses.edisp[:, :, energy].any(axis=2))
    if v.size == 0 or not exposure.any():
        return [], 0
    below = responses.denominator[v, u, energy]
    weight = _importance_of_cells(responses, inner, importance)[v, u]
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


def _transform(kernel: Array, kernels: KernelMatrix | None, half: int, fast: tuple[int, int]) -> Array:
    """Fourier transform of a kernel around the origin; real, as the kernel is the same in all directions."""
    around = np.zeros(fast)
    if kernels is None:
        around[0, 0] = kernel[0]
    else:
        around[: 2 * half + 1, : 2 * half + 1] = kernels.images(kernel, half)
        around = np.roll(around, (-half, -half), (0, 1))
    return np.asarray(rfft2(around)).real.ravel()
