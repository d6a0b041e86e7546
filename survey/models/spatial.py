"""Shapes of sources: brightness on the sphere, integral over the pixels of a grid, evaluation radius.

Angles are in degrees, brightness in sr-1 so that the whole sphere integrates to one. Separations and position angles
are true ones on the sphere; definitions and parameter names are Gammapy's.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import cache
from typing import ClassVar, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import quad
from scipy.special import erf

from survey.models.kernels_spatial import fractional_pixel, pixel_steps
from survey.models.model import Model
from survey.models.parameters import Parameter, Parameters

Array = NDArray[np.float64]

FRAMES = ("icrs", "galactic")
MAX_OVERSAMPLING = 200
"""A shape narrower than a pixel divided by this is a point for the integral."""

_LON = Parameter("lon_0", 0.0, "deg", scale=0.01)
_LAT = Parameter("lat_0", 0.0, "deg", minimum=-90.0, maximum=90.0, scale=0.01)
_ECCENTRICITY = Parameter("e", 0.0, minimum=0.0, maximum=1.0, frozen=True, scale=0.05)
_PHI = Parameter("phi", 0.0, "deg", minimum=-180.0, maximum=180.0, frozen=True, scale=5.0)


class Pixels(Protocol):
    """What the integral needs of a grid's pixels (`survey.sky`'s pixel geometry has it)."""

    @property
    def vectors(self) -> Array:
        """ICRS unit vectors of the pixel centres, shape (3, y, x), NaN where there is no sky."""

    @property
    def solid_angle(self) -> Array:
        """Solid angle of the pixels in sr, shape (y, x)."""


@cache
def _to_icrs(frame: str) -> Array:
    """Rotation matrix from a frame to ICRS."""
    if frame == "icrs":
        return np.eye(3)
    from astropy.coordinates import SkyCoord

    axes = SkyCoord([0, 90, 0], [0, 0, 90], unit="deg", frame=frame)
    return np.asarray(axes.icrs.cartesian.xyz.value)


def _unit_vectors(lon: ArrayLike, lat: ArrayLike) -> Array:
    """Unit vectors, shape (3, ...), of a longitude and a latitude in degrees."""
    lon, lat = np.broadcast_arrays(np.radians(np.asarray(lon, dtype=float)), np.radians(np.asarray(lat, dtype=float)))
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])


class SpatialModel(Model):
    """Base of the shapes.

    Parameters
    ----------
    frame : str
        Frame of the position and of position angles, ``icrs`` or ``galactic``.
    **values : float or Parameter
        Parameters by name.
    """

    def __init__(self, *, frame: str = "icrs", **values: float | Parameter) -> None:
        super().__init__(**values)
        if frame not in FRAMES:
            raise ValueError(f"{self.tag[0]}: frame {frame!r}; expected one of {', '.join(FRAMES)}")
        self.frame = frame

    def _settings(self) -> dict[str, str]:
        return {"frame": self.frame}

    def with_parameters(self, parameters: Parameters) -> Self:
        return type(self)(frame=self.frame, **parameters)

    @abstractmethod
    def profile(self, separation: ArrayLike, position_angle: ArrayLike = 0.0) -> Array:
        """Brightness in sr-1 at a separation and position angle (deg, east of north) from the centre."""

    @property
    @abstractmethod
    def evaluation_radius(self) -> float:
        """Radius in degrees outside which the shape need not be evaluated."""

    @property
    @abstractmethod
    def resolution(self) -> float:
        """Pixel size in degrees that is fine enough to integrate the shape by its values at pixel centres."""

    @property
    def is_isotropic(self) -> bool:
        """Whether the brightness depends on the separation alone."""
        return not self.parameters["e"].value if "e" in self.parameters else True

    def _basis(self) -> Array:
        """Centre, east and north as unit vectors in the model's frame, shape (3 of them, 3)."""
        lon, lat = np.radians(self.lon_0), np.radians(self.lat_0)
        return np.array(
            [
                [np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)],
                [-np.sin(lon), np.cos(lon), 0.0],
                [-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)],
            ]
        )

    @property
    def center(self) -> Array:
        """ICRS unit vector of the position, shape (3,)."""
        return np.asarray(_to_icrs(self.frame) @ self._basis()[0])

    def _value(self, basis: Array, vectors: Array) -> Array:
        along, east, north = np.einsum("ki,i...->k...", basis, vectors)
        separation = np.degrees(np.arctan2(np.hypot(east, north), along))
        return self.profile(separation, np.degrees(np.arctan2(east, north)))

    def value(self, lon: ArrayLike, lat: ArrayLike) -> Array:
        """Brightness in sr-1 at positions (deg) in the model's own frame."""
        return self._value(self._basis(), _unit_vectors(lon, lat))

    def value_at(self, vectors: Array) -> Array:
        """Brightness in sr-1 at ICRS unit vectors of shape (3, ...)."""
        return self._value(self._basis() @ _to_icrs(self.frame).T, vectors)

    def integral(self, pixels: Pixels) -> Array:
        """Fraction of the source in every pixel.

        Pixels wider than `resolution` are divided; only pixels within the evaluation radius are looked at.

        Parameters
        ----------
        pixels : Pixels
            Centres and solid angles, shapes (3, y, x) and (y, x).

        Returns
        -------
        numpy.ndarray
            Shape (y, x); zero where there is no sky.
        """
        vectors, solid_angle = np.asarray(pixels.vectors), np.asarray(pixels.solid_angle)
        result = np.zeros(solid_angle.shape)
        distance = np.sqrt(np.sum((vectors - self.center[:, None, None]) ** 2, axis=0))  # chord, rad
        known = np.isfinite(distance)
        if not known.any():
            return result
        size = np.degrees(np.sqrt(np.max(solid_angle[known])))
        if self.resolution * MAX_OVERSAMPLING < size:
            return self._integral_of_point(vectors, solid_angle)
        near = known & (distance <= 2 * np.sin(np.radians(min(self.evaluation_radius + size, 180.0)) / 2))
        y, x = np.nonzero(near)
        if y.size == 0:
            return result
        factor = int(np.ceil(size / self.resolution))
        step_y, step_x = pixel_steps(vectors, solid_angle)
        shift = (np.arange(factor) + 0.5) / factor - 0.5
        total = np.zeros(y.size)
        for dy in shift:
            for dx in shift:
                place = vectors[:, y, x] + dy * step_y[:, y, x] + dx * step_x[:, y, x]
                total += self.value_at(place / np.sqrt(np.sum(place**2, axis=0)))
        result[y, x] = total / factor**2 * solid_angle[y, x]
        return result

    def _integral_of_point(self, vectors: Array, solid_angle: Array) -> Array:
        """All of the source on the four pixels around it, with weights that keep the centroid."""
        ny, nx = solid_angle.shape
        result = np.zeros((ny, nx))
        py, px = fractional_pixel(vectors, solid_angle, self.center)
        for y in (int(np.floor(py)), int(np.floor(py)) + 1):
            for x in (int(np.floor(px)), int(np.floor(px)) + 1):
                if 0 <= y < ny and 0 <= x < nx and np.isfinite(vectors[0, y, x]):
                    result[y, x] = (1 - abs(py - y)) * (1 - abs(px - x))
        return result


class Point(SpatialModel):
    """Point source at ``lon_0``, ``lat_0`` (deg)."""

    tag: ClassVar[tuple[str, ...]] = ("PointSpatialModel", "point")
    defaults: ClassVar[tuple[Parameter, ...]] = (_LON, _LAT)

    evaluation_radius = 0.0
    resolution = 0.0

    def profile(self, separation: ArrayLike, position_angle: ArrayLike = 0.0) -> Array:
        """Infinite at the point itself, zero elsewhere."""
        return np.where(np.asarray(separation, dtype=float) == 0, np.inf, 0.0)


def _semi_axis(major: float, eccentricity: float, phi: float, position_angle: ArrayLike) -> Array | float:
    """Half-width of an ellipse (unit of `major`) towards a position angle (deg)."""
    if eccentricity == 0:
        return major
    minor = major * np.sqrt(1 - eccentricity**2)
    angle = np.radians(phi - np.asarray(position_angle, dtype=float))
    return major * minor / np.hypot(major * np.sin(angle), minor * np.cos(angle))


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
        _LON,
        _LAT,
        Parameter("sigma", 1.0, "deg", minimum=0.0, scale=0.01),
        _ECCENTRICITY,
        _PHI,
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
        width = 2 * np.sin(np.radians(_semi_axis(self.sigma, self.e, self.phi, position_angle)) / 2) ** 2
        if self.e == 0:
            norm = 1 / (4 * np.pi * width * -np.expm1(-1 / width))
        else:
            norm = 1 / (2 * np.pi * sigma**2 * np.sqrt(1 - self.e**2))
        return np.asarray(norm * np.exp(-0.5 * haversine / width))


class Disk(SpatialModel):
    """Disk of constant brightness with a smooth edge, elongated if ``e`` is not zero.

    Parameters
    ----------
    lon_0, lat_0 : float
        Centre, deg.
    r_0 : float
        Major semi-axis, deg.
    e : float
        Eccentricity.
    phi : float
        Position angle of the major axis, deg, from north through east.
    edge_width : float
        Fraction of ``r_0`` within which the brightness falls from 95 % to 5 %.
    """

    tag: ClassVar[tuple[str, ...]] = ("DiskSpatialModel", "disk")
    defaults: ClassVar[tuple[Parameter, ...]] = (
        _LON,
        _LAT,
        Parameter("r_0", 1.0, "deg", minimum=0.0, scale=0.01),
        _ECCENTRICITY,
        _PHI,
        Parameter("edge_width", 0.01, minimum=0.0, maximum=1.0, frozen=True, scale=0.01),
    )

    EDGE_95 = 2.326174307353347
    """Two times the argument at which erf is 0.9."""

    @property
    def evaluation_radius(self) -> float:
        # the edge's tail is 1.6e-5 at 1.3 edge widths out
        return self.r_0 * (1 + 1.3 * self.edge_width)

    @property
    def resolution(self) -> float:
        # counting pixels in a circle of n pixels radius errs by about n**-1.5
        return self.r_0 * np.sqrt(1 - self.e**2) / 60.0

    def profile(self, separation: ArrayLike, position_angle: ArrayLike = 0.0) -> Array:
        axis = _semi_axis(self.r_0, self.e, self.phi, position_angle)
        outside = np.asarray(separation, dtype=float) - axis
        if self.edge_width == 0:
            inside = np.where(outside <= 0, 1.0, 0.0)
        else:
            inside = 0.5 * (1 - erf(self.EDGE_95 * outside / (axis * self.edge_width)))
        return np.asarray(inside / _disk_solid_angle(self.r_0, self.e))


@cache
def _disk_solid_angle(major: float, eccentricity: float) -> float:
    """Solid angle in sr of an elliptical disk with semi-axes (deg) taken on the sphere."""
    if eccentricity == 0:
        return float(4 * np.pi * np.sin(np.radians(major) / 2) ** 2)
    minor = np.radians(major) * np.sqrt(1 - eccentricity**2)

    def slice_area(angle: float) -> float:
        axis = np.radians(major) * minor / np.hypot(np.radians(major) * np.sin(angle), minor * np.cos(angle))
        return float(2 * np.sin(axis / 2) ** 2)

    return float(4 * quad(slice_area, 0, np.pi / 2, epsrel=1e-10)[0])
