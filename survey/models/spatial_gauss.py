"""Gaussian shapes: the Gaussian on the sphere, elongated or not, and the generalised one between a disk and a cusp."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gamma, gammainccinv

from survey.models.kernels_gauss import gaussian_image
from survey.models.parameters import Parameter
from survey.models.spatial import (
    ECCENTRICITY,
    LAT,
    LON,
    PHI,
    Array,
    Pixels,
    SpatialModel,
    pixel_size,
    semi_axis,
    sphere_over_plane,
)


class Gaussian(SpatialModel):
    """Gaussian, elongated if ``e`` is not zero.

    Parameters
    ----------
    lon_0, lat_0 : float
        Centre, deg.
    sigma : float
        Width along the major axis, deg.
    e : float
        Eccentricity.
    phi : float
        Position angle of the major axis, deg, from north through east.
    """

    tag: ClassVar[tuple[str, ...]] = ("GaussianSpatialModel", "gauss")
    defaults: ClassVar[tuple[Parameter, ...]] = (
        LON,
        LAT,
        Parameter("sigma", 1.0, "deg", minimum=0.0, scale=0.01),
        ECCENTRICITY,
        PHI,
    )

    @property
    def evaluation_radius(self) -> float:
        return 5.0 * self.sigma

    @property
    def resolution(self) -> float:
        return self.sigma * np.sqrt(1 - self.e**2) / 3.0

    def profile(self, separation: ArrayLike, position_angle: ArrayLike = 0.0) -> Array:
        sigma = np.radians(self.sigma)
        haversine = 2 * np.sin(np.radians(np.asarray(separation, dtype=float)) / 2) ** 2  # 1 - cos
        width = 2 * np.sin(np.radians(semi_axis(self.sigma, self.e, self.phi, position_angle)) / 2) ** 2
        if self.e == 0:
            norm = 1 / (4 * np.pi * width * -np.expm1(-1 / width))
        else:
            norm = 1 / (2 * np.pi * sigma**2 * np.sqrt(1 - self.e**2))
        return np.asarray(norm * np.exp(-0.5 * haversine / width))

    def integral(self, pixels: Pixels) -> Array:
        size = pixel_size(pixels)
        if self.e != 0 or not 0 < size <= self.resolution:
            return super().integral(pixels)
        # one sample a pixel: what fits ask for again and again
        width = 2 * np.sin(np.radians(self.sigma) / 2) ** 2
        radius = self.evaluation_radius + size
        chord = 2 * np.sin(np.radians(radius) / 2) if radius < 180 else np.inf
        vectors, solid_angle = np.asarray(pixels.vectors, dtype=float), np.asarray(pixels.solid_angle, dtype=float)
        norm = float(self.profile(0.0))
        return np.asarray(gaussian_image(vectors, solid_angle, self.center, -0.25 / width, norm, chord**2))

    def gradient(self, pixels: Pixels) -> Array:
        """Derivatives of `integral` in every parameter, shape (5, y, x): analytic.

        Where the shape is a point, those of the position by differences, the others zero. At ``e`` = 0 the derivatives
        in ``e`` and ``phi`` are zero: the shape depends on ``e`` squared.
        """
        size = pixel_size(pixels)
        if size > 0 and self._is_point(size):
            return super().gradient(pixels)
        basis = self._icrs_basis()
        return self._integrated(lambda place, width: self._derivatives(basis, place), pixels, size, count=5)

    def _derivatives(self, basis: Array, vectors: Array) -> Array:
        """Derivatives of the brightness at vectors (3, n), shape (5, n), per deg for angles."""
        along, east, north = basis @ vectors
        lat, major = np.radians(self.position[1]), np.radians(self.sigma)
        squared = east**2 + north**2
        separation = np.arctan2(np.sqrt(squared), along)
        haversine = 2 * np.sin(separation / 2) ** 2
        angle = np.arctan2(east, north)
        value = self.profile(np.degrees(separation), np.degrees(angle))
        # how 1 - cos(separation) changes with the centre
        by_lon, by_lat = -np.cos(lat) * east, -north
        if self.e == 0:
            width = 2 * np.sin(major / 2) ** 2
            inverse = 1 / width
            wrapped = inverse**2 / np.expm1(inverse) if inverse < 700 else 0.0
            by_sigma = (wrapped - inverse + 0.5 * haversine * inverse**2) * np.sin(major)
            zero = np.zeros_like(value)
            logs = [-0.5 * inverse * by_lon, -0.5 * inverse * by_lat, by_sigma, zero, zero]
        else:
            ratio = np.sqrt(1 - self.e**2)
            psi = np.radians(self.phi) - angle
            sine, cosine = np.sin(psi), np.cos(psi)
            cubed = (sine**2 + ratio**2 * cosine**2) ** 1.5
            axis = major * ratio / np.cbrt(cubed)
            width = 2 * np.sin(axis / 2) ** 2
            # how the logarithm changes with the half-width of the ellipse in the direction of the place, and that with psi
            by_axis = 0.5 * haversine / width**2 * np.sin(axis)
            by_psi = by_axis * (-major * ratio * self.e**2 * sine * cosine / cubed)
            safe = np.maximum(squared, np.finfo(float).tiny)
            turn_lon = (north * (np.sin(lat) * north - np.cos(lat) * along) + east * np.sin(lat) * east) / safe
            turn_lat = east * along / safe
            logs = [
                -0.5 / width * by_lon - by_psi * turn_lon,
                -0.5 / width * by_lat - by_psi * turn_lat,
                by_axis * axis / major - 2 / major,
                (self.e / ratio**2 - by_axis * major * self.e * sine**2 / (ratio * cubed)) / np.radians(1),
                by_psi,
            ]
        return np.radians(np.stack(logs)) * value

    def _propose(self, rng: np.random.Generator, n: int) -> tuple[Array, Array, Array | float]:
        # a direction as of points in the ellipse, kept by what the sphere holds there; then 1 - cos is exponential
        major = np.radians(self.sigma)
        turn = rng.uniform(0, 2 * np.pi, n)
        x, y = major * np.cos(turn), major * np.sqrt(1 - self.e**2) * np.sin(turn)
        axis = np.hypot(x, y)
        width = 2 * np.sin(axis / 2) ** 2
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            whole = np.where(width > 0, -np.expm1(-1 / width), 1.0)
            chance = np.where(axis > 0, 2 * width * whole / axis**2, 1.0)
        haversine = -2 * width * np.log1p(-rng.random(n) * whole)
        separation = 2 * np.arcsin(np.sqrt(np.clip(haversine / 2, 0, 1)))
        return separation, np.radians(self.phi) + np.arctan2(y, x), chance


class GeneralizedGaussian(SpatialModel):
    """Generalised Gaussian: exp(-(separation / r_0)**(1 / eta)), elongated if ``e`` is not zero.

    A disk for small ``eta``, a Gaussian of sigma = r_0 / sqrt(2) at 0.5, an exponential at 1.

    Parameters
    ----------
    lon_0, lat_0 : float
        Centre, deg.
    r_0 : float
        Major semi-axis, deg.
    eta : float
        Shape, from 0.01 to 1.
    e : float
        Eccentricity.
    phi : float
        Position angle of the major axis, deg, from north through east.
    """

    tag: ClassVar[tuple[str, ...]] = ("GeneralizedGaussianSpatialModel", "gauss-general")
    defaults: ClassVar[tuple[Parameter, ...]] = (
        LON,
        LAT,
        Parameter("r_0", 1.0, "deg", minimum=0.0, scale=0.01),
        Parameter("eta", 0.5, minimum=0.01, maximum=1.0, scale=0.05),
        ECCENTRICITY,
        PHI,
    )

    OUTSIDE = 1e-6
    """Fraction of the source outside the evaluation radius."""

    @property
    def evaluation_radius(self) -> float:
        return float(self.r_0 * gammainccinv(2 * self.eta, self.OUTSIDE) ** self.eta)

    @property
    def resolution(self) -> float:
        # a hard edge wants more samples than a smooth slope
        return self.r_0 * np.sqrt(1 - self.e**2) * min(1 / 60 + 0.2 * self.eta**2, 0.125)

    def profile(self, separation: ArrayLike, position_angle: ArrayLike = 0.0) -> Array:
        minor = np.radians(self.r_0) * np.sqrt(1 - self.e**2)
        norm = 1 / (2 * np.pi * minor * np.radians(self.r_0) * self.eta * gamma(2 * self.eta))
        ratio = np.asarray(separation, dtype=float) / semi_axis(self.r_0, self.e, self.phi, position_angle)
        with np.errstate(over="ignore", under="ignore"):
            return np.asarray(norm * np.exp(-(ratio ** (1 / self.eta))))

    def _propose(self, rng: np.random.Generator, n: int) -> tuple[Array, Array, Array | float]:
        radius = np.radians(self.r_0) * rng.standard_gamma(2 * self.eta, n) ** self.eta
        turn = rng.uniform(0, 2 * np.pi, n)
        x, y = radius * np.cos(turn), radius * np.sqrt(1 - self.e**2) * np.sin(turn)
        separation = np.hypot(x, y)
        return separation, np.radians(self.phi) + np.arctan2(y, x), sphere_over_plane(separation)
