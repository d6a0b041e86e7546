"""Forward folding of one source, response cell by response cell: exact, and the same whichever window it is done in.

The source's flux is parted among the cells by their weights; every cell's share is convolved with the cell's own point
spread function and folded with its own dispersion. All steps are linear in the flux, so their sum is too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2

from survey.fitting.cell_responses import CellResponses
from survey.fitting.psf_kernels import KernelMatrix
from survey.fitting.settings import PredictionSettings

Array = NDArray[np.float64]

FEW_PIXELS = 6
"""Up to so many pixels with flux in a cell, kernels are added pixel by pixel, which is faster than Fourier transforms."""


def fold_by_cell(
    responses: CellResponses,
    fractions: Array,
    flux: Array,
    kernels: KernelMatrix | None,
    settings: PredictionSettings,
) -> Array:
    """Predicted counts of a source, before pixels that are not safe are left out.

    Parameters
    ----------
    responses : CellResponses
        Of a window of pixels that holds the source, or the part of it that matters.
    fractions : numpy.ndarray
        Fraction of the source in each pixel of the window, shape (y, x), or by true energy, (energy_true, y, x).
    flux : numpy.ndarray
        Integral of the spectrum in each bin of true energy, shape (energy_true,), s-1 m-2.
    kernels : KernelMatrix or None
        Kernels of the grid; None leaves the source as it is.
    settings : PredictionSettings

    Returns
    -------
    numpy.ndarray
        Shape (energy, y + 2 half, x + 2 half) with the `half` of the kernels, zero without.
    """
    shape = fractions if fractions.ndim == 3 else fractions[None]
    half = kernels.half if kernels is not None and responses.psf is not None else 0
    ny, nx = shape.shape[1:]
    out = np.zeros((responses.edisp.shape[3], ny + 2 * half, nx + 2 * half))
    rows, columns = shape.any(axis=(0, 2)), shape.any(axis=(0, 1))
    used_y: list[int] = np.flatnonzero((responses.weights_y[:, rows] > 0).any(axis=1)).tolist()
    used_x: list[int] = np.flatnonzero((responses.weights_x[:, columns] > 0).any(axis=1)).tolist()
    for v in used_y:
        y = _span(responses.weights_y[v] > 0)
        for u in used_x:
            x = _span(responses.weights_x[u] > 0)
            weight = responses.weights_y[v, y, None] * responses.weights_x[u, x]
            used = (responses.denominator[v, u] > 0) & (flux != 0) & responses.edisp[v, u].any(axis=1)
            energies = np.flatnonzero(used)
            emission = responses.relative_exposure[energies, y, x] * weight
            emission = emission * (shape[:, y, x] if len(shape) == 1 else shape[energies, y, x])
            seen = emission.any(axis=(1, 2))
            if not seen.any():
                continue
            emission, energies = emission[seen], energies[seen]
            fold = flux[energies, None] * responses.edisp[v, u, energies]
            if not half or kernels is None:
                out[:, y.start + half : y.stop + half, x.start + half : x.stop + half] += np.tensordot(
                    fold, emission, axes=(0, 0)
                )
                continue
            profiles = responses.profiles(v, u, energies)
            here = int(kernels.half_widths(profiles, settings.psf_containment).max())
            images = kernels.images(kernels.distinct(profiles, settings.psf_containment), here)
            skip = half - here
            target = out[:, y.start + skip : y.stop + 2 * half - skip, x.start + skip : x.stop + 2 * half - skip]
            _add_convolved(target, emission, images, fold)
    return out


def _span(mask: NDArray[np.bool_]) -> slice:
    """From the first to the last place where a mask holds."""
    places = np.flatnonzero(mask)
    return slice(int(places[0]), int(places[-1]) + 1)


def _add_convolved(out: Array, emission: Array, kernels: Array, fold: Array) -> None:
    """Add to `out` (energy, y + 2 half, x + 2 half) an emission (n, y, x), each convolved with its kernel, then folded."""
    size = kernels.shape[1]
    places = np.argwhere(emission.any(axis=0))
    if len(places) <= FEW_PIXELS:
        flat = kernels.reshape(len(kernels), -1)
        for y, x in places:
            weights = fold * emission[:, y, x, None]
            out[:, y : y + size, x : x + size] += (weights.T @ flat).reshape(-1, size, size)
        return
    ny, nx = out.shape[1:]
    fast = next_fast_len(ny, real=True), next_fast_len(nx, real=True)
    spectra = rfft2(emission, fast) * rfft2(kernels, fast)
    # real weights on complex numbers: real and imaginary parts as columns of one real matrix
    folded = fold.T @ spectra.view(np.float64).reshape(len(spectra), -1)
    counts = irfft2(folded.view(np.complex128).reshape(-1, *spectra.shape[1:]), fast)
    out += counts[:, :ny, :nx]
