"""Kernels of the point spread function: what falls into the pixels around a pixel whose centre holds all of a source.

A kernel is linear in the radial profile, so it is a matrix from the bins of the profile to pixels; pixels that mirror one
another are one row of it. The matrix depends on the grid alone; a response cell and energy then costs one product.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MAX_SAMPLES = 20
"""Half of the samples, at most, along the side of a pixel."""


@dataclass(frozen=True, eq=False)
class KernelMatrix:
    """Matrix from radial profiles to kernels.

    Parameters
    ----------
    matrix : numpy.ndarray
        What a PSF of one in one radial bin puts into a pixel, shape (distinct pixels, rad), sr.
    contents, sums : numpy.ndarray
        What it puts into all pixels: by the solid angle of the bin, and summed over pixels without end, shape (rad,), sr.
        They differ by the discretisation only; kernels are scaled by their ratio.
    index : numpy.ndarray
        Row of the matrix for every pixel of a kernel, shape (2 half + 1, 2 half + 1).
    rings : numpy.ndarray
        Pixels from the middle to each of the distinct ones, the greater of the two directions, shape (distinct pixels,).
    rad_edges : numpy.ndarray
        Edges of the profile's bins, deg.
    binsize : float
        Pixel size, deg.
    """

    matrix: Array
    contents: Array
    sums: Array
    index: NDArray[np.int64]
    rings: NDArray[np.int64]
    rad_edges: Array
    binsize: float

    @property
    def half(self) -> int:
        """Pixels on each side of the middle."""
        return self.index.shape[0] // 2

    @cached_property
    def multiplicity(self) -> Array:
        """How often each of the distinct pixels is in a kernel."""
        return np.bincount(self.index.ravel(), minlength=self.matrix.shape[0]).astype(float)

    def half_widths(self, profiles: Array, containment: float) -> NDArray[np.int64]:
        """Pixels on each side of the middle that hold a fraction of what a profile has, no more than `half`.

        Parameters
        ----------
        profiles : numpy.ndarray
            Shape (..., rad).
        containment : float
            The fraction.
        """
        inside = np.cumsum(profiles * self.contents, axis=-1)
        # the first edge that holds the fraction: noise that makes the sum fall again does not matter
        reached = inside >= containment * inside[..., -1:]
        edge = self.rad_edges[1:][reached.argmax(axis=-1)]
        return np.minimum(np.ceil(np.round(edge / self.binsize, 9)).astype(np.int64), self.half)

    def distinct(self, profiles: Array, containment: float = 1.0) -> Array:
        """Kernels of radial profiles, in their distinct pixels; zero beyond their own half-width.

        Parameters
        ----------
        profiles : numpy.ndarray
            Point spread functions in sr-1, shape (..., rad).
        containment : float
            Fraction of the profile that a kernel reaches to.

        Returns
        -------
        numpy.ndarray
            Shape (..., distinct pixels). Over its pixels a kernel sums to what it contains of the profile.
        """
        found, wanted = profiles @ self.sums, profiles @ self.contents
        scale = np.divide(wanted, found, out=np.zeros_like(found), where=found > 0)
        inside = self.rings <= self.half_widths(profiles, containment)[..., None]
        return np.asarray((profiles @ self.matrix.T) * np.where(inside, scale[..., None], 0.0))

    def images(self, distinct: Array, half: int) -> Array:
        """Kernels of shape (..., 2 half + 1, 2 half + 1) from their distinct pixels."""
        cut = slice(self.half - half, self.half + half + 1)
        return np.take(distinct, self.index[cut, cut], axis=-1)


@lru_cache(maxsize=8)
def kernel_matrix(binsize: float, half: int, rad_edges: tuple[float, ...]) -> KernelMatrix:
    """Matrix of a grid.

    A profile is linear between the centres of its bins and even at the middle. Pixels are sampled so finely that a bin of
    the profile holds two samples at least, so that the sum is right where the PSF is narrower than a pixel.

    Parameters
    ----------
    binsize : float
        Pixel size, deg.
    half : int
        Pixels on each side of the middle.
    rad_edges : tuple of float
        Edges of the bins of the profile, deg.
    """
    edges = np.array(rad_edges)
    reach = max(half, math.ceil(edges[-1] / binsize) + 1)
    major, minor = np.tril_indices(reach + 1)
    factor = 2 * min(math.ceil(binsize / np.diff(edges).min()), MAX_SAMPLES) + 1
    shift = (np.arange(factor) + 0.5) / factor - 0.5
    matrix = np.zeros((major.size, edges.size - 1))
    for dy in shift:
        for dx in shift:
            _add_hats(matrix, np.hypot(major + dy, minor + dx) * binsize, edges)
    matrix *= (np.radians(binsize) / factor) ** 2
    twice = np.where(minor == major, 1, 2) * np.where(minor == 0, 1, 2)
    sums = np.where(major == 0, 1, 2 * twice) @ matrix
    y, x = np.abs(np.indices((2 * half + 1, 2 * half + 1)) - half)
    high, low = np.maximum(y, x), np.minimum(y, x)
    kept = major <= half
    return KernelMatrix(
        matrix=np.ascontiguousarray(matrix[kept]),
        contents=2 * np.pi * -np.diff(np.cos(np.radians(edges))),
        sums=sums,
        index=(high * (high + 1) // 2 + low).astype(np.int64),
        rings=major[kept].astype(np.int64),
        rad_edges=edges,
        binsize=binsize,
    )


def _add_hats(matrix: Array, distance: Array, edges: Array) -> None:
    """Add hat functions between the centres of radial bins at distances (deg), shape (rows, rad), in place."""
    centers = 0.5 * (edges[1:] + edges[:-1])
    last = centers.size - 1
    place = np.interp(distance, centers, np.arange(centers.size))
    if last:
        # a profile is even in the radius: a parabola up to the second centre, with weights beyond 0 and 1 at the middle
        parabola = (distance**2 - centers[0] ** 2) / (centers[1] ** 2 - centers[0] ** 2)
        place = np.where(distance < centers[1], parabola, place)
    left = np.clip(np.floor(place), 0, max(last - 1, 0)).astype(np.int64)
    inside = distance <= edges[-1]
    rows = np.arange(distance.size)
    share = np.where(inside, place - left, 0.0)
    matrix[rows, left] += np.where(inside, 1.0, 0.0) - share
    matrix[rows, np.minimum(left + 1, last)] += share
