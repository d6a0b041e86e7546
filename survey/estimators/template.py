"""Templates of the TS map: a shape seen through a PSF, in pixels around a source at the centre of a pixel.

A template is linear in the radial profile of the PSF, so it is a matrix from the bins of the profile to pixels. The
matrix depends on the settings alone and is made once; every response cell and energy then costs one product.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2

from survey.estimators.settings import PSF_RADIUS, TSMapSettings
from survey.models import Point, SpatialModel

Array = NDArray[np.float64]


def half_width(settings: TSMapSettings, binsize: float) -> int:
    """Pixels of a template on each side of its centre.

    Parameters
    ----------
    settings : TSMapSettings
    binsize : float
        Pixel size, deg.
    """
    if settings.kernel_width is not None:
        pixels = math.ceil(round(settings.kernel_width / binsize, 9))
        return pixels // 2
    return math.ceil((PSF_RADIUS + settings.spatial_model.evaluation_radius) / binsize)


@dataclass(frozen=True, eq=False)
class Template:
    """Matrix from radial PSF profiles to templates.

    Parameters
    ----------
    matrix : numpy.ndarray
        Fraction of the source in a pixel for a PSF of one in one radial bin, shape (distinct pixels, rad), sr.
    contents, sums : numpy.ndarray
        What a PSF of one in one radial bin holds: by the solid angle of the bin, and summed over all pixels of the
        matrix' grid without end, shape (rad,), sr. They differ by the discretisation only.
    index : numpy.ndarray
        Row of the matrix for every pixel of the template, shape (2 half + 1, 2 half + 1): mirrored pixels are the same.
    """

    matrix: Array
    contents: Array
    sums: Array
    index: NDArray[np.int64]

    @property
    def half(self) -> int:
        """Pixels on each side of the centre."""
        return self.index.shape[0] // 2

    @cached_property
    def multiplicity(self) -> Array:
        """How often every row of the matrix is in the template."""
        return np.bincount(self.index.ravel(), minlength=self.matrix.shape[0]).astype(float)

    def apply(self, profiles: Array) -> tuple[Array, Array, Array]:
        """Templates of radial profiles, their sums and their greatest values.

        Parameters
        ----------
        profiles : numpy.ndarray
            PSF in sr-1, times any weight, shape (..., energy, rad).

        Returns
        -------
        tuple of numpy.ndarray
            Templates of shape (..., 2 half + 1, 2 half + 1, energy): y, x, energy, the order that `kernels_ts` works
            in; sums and greatest values of shape (..., energy).
        """
        found, wanted = profiles @ self.sums, profiles @ self.contents
        scale = np.divide(wanted, found, out=np.zeros_like(found), where=found > 0)
        distinct = np.ascontiguousarray(((profiles @ self.matrix.T) * scale[..., None]).swapaxes(-1, -2))
        sums = self.multiplicity @ distinct
        return np.take(distinct, self.index, axis=-2), sums, distinct.max(axis=-2)


@lru_cache(maxsize=8)
def make_template(shape: SpatialModel, binsize: float, half: int, rad_edges: tuple[float, ...]) -> Template:
    """Template matrix of a shape.

    The profile is linear between the centres of its bins, and scaled so that all pixels without end hold what the
    profile holds, whatever the pixel size: the sum of a template is the contained fraction of the source.

    Parameters
    ----------
    shape : SpatialModel
        Its centre is put at the centre of the middle pixel, its position angle counts from the y axis.
    binsize : float
        Pixel size, deg.
    half : int
        Pixels on each side of the middle one.
    rad_edges : tuple of float
        Edges of the bins of the profile, deg.
    """
    edges = np.array(rad_edges)
    radius = 0.0 if isinstance(shape, Point) else shape.evaluation_radius
    # odd, so that pixels have a middle; at least two samples in a bin of the profile
    factor = 2 * min(math.ceil(binsize / np.diff(edges).min()), 4) + 1
    step = binsize / factor
    contents = 2 * np.pi * -np.diff(np.cos(np.radians(edges)))
    fractions = _fractions(shape, step, radius) if radius > 0 else None
    pixels = np.empty((contents.size, 2 * half + 1, 2 * half + 1))
    sums = np.empty(contents.size)
    for k, image in enumerate(_radial_basis(step, edges)):
        image *= np.radians(step) ** 2
        sums[k] = image.sum()
        pixels[k] = _binned(image if fractions is None else _convolved(image, fractions), factor, half)
    size = 2 * half + 1
    if shape.is_isotropic:
        y, x = np.indices((size, size)) - half
        major, minor = np.maximum(abs(y), abs(x)), np.minimum(abs(y), abs(x))
        index = major * (major + 1) // 2 + minor
        rows, columns = np.tril_indices(half + 1)
        matrix = pixels[:, half + rows, half + columns].T
    else:
        index = np.arange(size**2).reshape(size, size)
        matrix = pixels.reshape(contents.size, -1).T
    return Template(np.ascontiguousarray(matrix), contents, sums, index.astype(np.int64))


def _radial_basis(step: float, edges: Array) -> Iterator[Array]:
    """Hat functions between the centres of radial bins on a grid of points, shape (y, x)."""
    reach = math.ceil(edges[-1] / step) + 1
    offset = np.arange(-reach, reach + 1) * step
    distance = np.hypot(offset[:, None], offset)
    inside = distance <= edges[-1]
    centers = 0.5 * (edges[1:] + edges[:-1])
    place = np.interp(distance, centers, np.arange(centers.size))
    if centers.size > 1:
        # a profile is even in the radius: a parabola up to the second centre, with weights beyond 0 and 1 at the middle
        parabola = (distance**2 - centers[0] ** 2) / (centers[1] ** 2 - centers[0] ** 2)
        place = np.where(distance < centers[1], parabola, place)
    left = np.clip(np.floor(place), 0, max(centers.size - 2, 0))
    share = place - left
    for k in range(centers.size):
        yield inside * (np.where(left == k, 1 - share, 0.0) + np.where(left == k - 1, share, 0.0))


def _fractions(shape: SpatialModel, step: float, radius: float) -> Array:
    """Fraction of a shape in square pixels of a size in deg, shape (y, x), with a sum of one."""
    reach = math.ceil(radius / step)
    finer = 2 * min(math.ceil(0.5 * step / shape.resolution), 50) + 1
    offset = (np.arange((2 * reach + 1) * finer) + 0.5) / finer - 0.5 - reach
    y, x = np.meshgrid(offset * step, offset * step, indexing="ij")
    # longitude grows to the left, so east is towards -x
    brightness = shape.profile(np.hypot(y, x), np.degrees(np.arctan2(-x, y)))
    fraction = brightness.reshape(2 * reach + 1, finer, 2 * reach + 1, finer).sum(axis=(1, 3))
    return np.asarray(fraction / fraction.sum())


def _convolved(image: Array, kernel: Array) -> Array:
    """An image convolved with a kernel of odd size, grown by its half-width."""
    size = image.shape[0] + kernel.shape[0] - 1
    fast = (next_fast_len(size, real=True),) * 2
    return np.asarray(irfft2(rfft2(image, fast) * rfft2(kernel, fast), fast)[:size, :size])


def _binned(image: Array, factor: int, half: int) -> Array:
    """Sums of factor x factor points around the middle, shape (2 half + 1, 2 half + 1)."""
    size = (2 * half + 1) * factor
    missing = max(size - image.shape[0], 0) // 2
    start = max(image.shape[0] - size, 0) // 2
    cut = np.pad(image, missing)[start : start + size, start : start + size]
    return np.asarray(cut.reshape(2 * half + 1, factor, 2 * half + 1, factor).sum(axis=(1, 3)))
