"""From the image of a shape to counts for one spectrum, in few images: what a changed position costs.

The transfer functions of neighbouring energies are nearly the same, and so is what they do to the fields of the responses:
counts are combinations of few images, each of them a few convolutions of the shape. How many, and up to which frequencies,
follows from what the shape leaves of them; `Transfer.covers` says whether another shape is as sharp.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fft, ifft, irfft, rfft

from survey.fitting.joined_responses import JoinedResponses
from survey.fitting.kernels_fold import apply_transfer

Array = NDArray[np.float64]

SIMILAR = (0.4, 1.6)
"""Bounds of the sharpness of a shape over that of the one that a transfer was made for."""

BLOCK = 3
"""Transfer functions change little over so many frequencies."""


@dataclass(frozen=True, eq=False)
class Transfer:
    """Transfer of a spectrum.

    Parameters
    ----------
    half : int
        Pixels that the counts reach beyond the area on every side.
    fast : tuple of int
        Size of the Fourier transforms (y, x).
    inner : tuple of slice
        What is given of the counts.
    fields : numpy.ndarray
        Shape (field, y, x).
    functions : numpy.ndarray
        Shape (image, field, y frequency, x frequency), the same for negative frequencies.
    mix : numpy.ndarray
        Part of every image in the counts, shape (energy, image).
    sharpness : float
        From `sharpness`, of the shape that it was made for.
    """

    half: int
    fast: tuple[int, int]
    inner: tuple[slice, slice]
    fields: Array
    functions: Array
    mix: Array
    sharpness: float

    @classmethod
    def of(
        cls, joined: JoinedResponses, flux: Array, shapes: Array, inner: tuple[slice, slice], tolerance: float
    ) -> Transfer:
        """The transfer of a spectrum for shapes such as some.

        Parameters
        ----------
        joined : JoinedResponses
        flux : numpy.ndarray
            Integrals in the bins of true energy, shape (energy_true,), s-1 m-2.
        shapes : numpy.ndarray
            Images on the area, shape (n, y, x).
        inner : tuple of slice
            Rows and columns of `JoinedResponses.out_shape` that are wanted.
        tolerance : float
            Part of the counts of an energy that may be misplaced, in quadrature.
        """
        power = _power(joined, shapes)
        rows, columns = _band(joined, flux, power, tolerance)
        power = power[:, :rows, :columns]
        functions = joined.transfer(flux, slice(rows), slice(columns))
        size = np.sqrt(np.einsum("efyx,fyx->e", functions**2, power))
        size[size == 0] = 1.0
        functions /= size[:, None, None, None]
        left, values, _ = np.linalg.svd((functions * np.sqrt(power)).reshape(len(size), -1), full_matrices=False)
        rest = np.sqrt(np.cumsum((left * values)[:, ::-1] ** 2, axis=1).max(axis=0))[::-1]
        left = left[:, : max(int(np.count_nonzero(rest > tolerance)), 1)]
        images = np.tensordot(left.T, functions, axes=1)
        combined, size_of_fields = _combinations(images, power, tolerance)
        return cls(
            half=joined.half,
            fast=joined.fast,
            inner=inner,
            fields=np.tensordot(combined / size_of_fields, joined.fields, axes=1),
            functions=np.ascontiguousarray(np.einsum("ifyx,gf->igyx", images, combined * size_of_fields)),
            mix=left * size[:, None],
            sharpness=max(sharpness(shape) for shape in shapes),
        )

    def covers(self, shapes: Array) -> bool:
        """Whether shapes (n, y, x) are about as sharp as those that the transfer was made for."""
        least, most = (bound * self.sharpness for bound in SIMILAR)
        return least <= max(sharpness(shape) for shape in shapes) <= most

    def counts(self, fractions: Array) -> Array:
        """Counts of a shape, shape (energy, y, x).

        Parameters
        ----------
        fractions : numpy.ndarray
            Fraction of the source in each pixel of the area, shape (y, x).
        """
        n_image, n_field, _, columns = self.functions.shape
        (ny, nx), (size_y, size_x) = self.fast, fractions.shape
        padded = np.zeros((n_field, size_y, nx))
        np.multiply(self.fields, fractions, out=padded[:, :, self.half : self.half + size_x])
        spectra = np.zeros((n_field, ny, columns), dtype=np.complex128)
        spectra[:, self.half : self.half + size_y] = rfft(padded, axis=2)[:, :, :columns]
        spectra = fft(spectra, axis=1, overwrite_x=True)
        out = np.zeros((n_image, ny, columns), dtype=np.complex128)
        apply_transfer(self.functions, spectra, out)
        y, x = self.inner
        images = irfft(ifft(out, axis=1, overwrite_x=True)[:, y], nx, axis=2, overwrite_x=True)[:, :, x]
        return np.asarray((self.mix @ images.reshape(n_image, -1)).reshape(len(self.mix), *images.shape[1:]))


def sharpness(shape: Array) -> float:
    """Mean square of the frequencies of an image, by the differences of its pixels; zero of an empty one."""
    total = float(np.vdot(shape, shape))
    if total == 0.0:
        return 0.0
    along_y, along_x = np.diff(shape, axis=0), np.diff(shape, axis=1)
    return (float(np.vdot(along_y, along_y)) + float(np.vdot(along_x, along_x))) / total


def _power(joined: JoinedResponses, shapes: Array) -> Array:
    """Power of the fields of shapes of any brightness, shape (field, y frequency, x frequency), none of them negative."""
    ny, nx = joined.fast
    half = ny // 2 + 1
    total = np.zeros((len(joined.fields), half, nx // 2 + 1))
    for shape in shapes:
        spectra = joined.spectra(joined.fields * shape).reshape(-1, ny, nx // 2 + 1)
        power = spectra.real**2 + spectra.imag**2
        found = power[:, :half].copy()
        found[:, 1 : ny - half + 1] += power[:, : half - 1 : -1]
        total += found / max(float(found.sum()), np.finfo(float).tiny)
    return total


def _band(joined: JoinedResponses, flux: Array, power: Array, tolerance: float) -> tuple[int, int]:
    """Numbers of the lowest frequencies along y and x that leave out a part of the amplitude at any energy."""
    picked = [np.minimum(np.arange(0, size, BLOCK) + BLOCK // 2, size - 1) for size in power.shape[1:]]
    functions = joined.transfer(flux, *picked)
    starts = [np.arange(0, size, BLOCK) for size in power.shape[1:]]
    blocks = np.add.reduceat(np.add.reduceat(power, starts[0], axis=1), starts[1], axis=2)
    passed = np.einsum("efyx,fyx->eyx", functions**2, blocks)
    found = []
    for axis, size in ((2, power.shape[1]), (1, power.shape[2])):
        rest = np.cumsum(passed.sum(axis=axis)[:, ::-1], axis=1)[:, ::-1]
        needed = int(np.count_nonzero((rest > tolerance**2 * rest[:, :1]).any(axis=0)))
        found.append(min(max(needed, 1) * BLOCK, size))
    return found[0], found[1]


def _combinations(images: Array, power: Array, tolerance: float) -> tuple[Array, Array]:
    """Orthonormal combinations of fields, in units of some size, that matter to images (image, field, ...).

    Returns
    -------
    tuple of numpy.ndarray
        Shape (combination, field), and the sizes of the fields, shape (field,).
    """
    size = np.sqrt(power.sum(axis=(1, 2)))
    size = np.maximum(size, 1e-12 * max(float(size.max()), np.finfo(float).tiny))
    envelope = (power / (size**2)[:, None, None]).max(axis=0)
    scaled = images * size[:, None, None] * np.sqrt(envelope)
    rows = np.moveaxis(scaled, 1, -1).reshape(-1, len(size))
    _, values, right = np.linalg.svd(rows, full_matrices=False)
    rest = np.sqrt(np.cumsum(values[::-1] ** 2))[::-1]
    return right[: max(int(np.count_nonzero(rest > tolerance)), 1)], size
