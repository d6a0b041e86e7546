"""What every shape of a source is, and the two without a size: a point, and a sky of constant brightness.

Brightness on the sphere, integral over the pixels of a grid, its derivatives, sampling. Angles are in degrees, brightness
in sr-1 so that the whole sphere integrates to one. Separations and position angles are true ones on the sphere;
definitions and parameter names are Gammapy's. Gaussians are in `spatial_gauss`, disks and shells in `spatial_disk`,
images and cubes in `spatial_template`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import cache
from typing import ClassVar, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from survey.models.kernels_spatial import fractional_pixel, pixel_steps
from survey.models.model import Model
from survey.models.parameters import Parameter, Parameters

Array = NDArray[np.float64]

FRAMES = ("icrs", "galactic")
MAX_OVERSAMPLING = 200
"""A shape narrower than a pixel divided by this is a point for the integral."""

LON = Parameter("lon_0", 0.0, "deg", scale=0.01)
LAT = Parameter("lat_0", 0.0, "deg", minimum=-90.0, maximum=90.0, scale=0.01)
ECCENTRICITY = Parameter("e", 0.0, minimum=0.0, maximum=1.0, frozen=True, scale=0.05)
PHI = Parameter("phi", 0.0, "deg", minimum=-180.0, maximum=180.0, frozen=True, scale=5.0)

NUMBER_STEPS = {"e": 0.01, "eta": 0.01, "edge_width": 0.01, "phi": 1.5}
"""Steps of the differences in parameters that are no lengths; ``phi`` in deg."""


class Pixels(Protocol):
    """What the integral needs of a grid's pixels (`survey.sky`'s pixel geometry has it)."""

    @property
    def vectors(self) -> Array:
        """ICRS unit vectors of the pixel centres, shape (3, y, x), NaN where there is no sky."""

    @property
    def solid_angle(self) -> Array:
        """Solid angle of the pixels in sr, shape (y, x)."""


@cache
def to_icrs_matrix(frame: str) -> Array:
    """Rotation matrix from a frame to ICRS."""
    if frame == "icrs":
        return np.eye(3)
    from astropy.coordinates import SkyCoord

    axes = SkyCoord([0, 90, 0], [0, 0, 90], unit="deg", frame=frame)
    return np.asarray(axes.icrs.cartesian.xyz.value)


def unit_vectors(lon: ArrayLike, lat: ArrayLike) -> Array:
    """Unit vectors, shape (3, ...), of a longitude and a latitude in degrees."""
    lon, lat = np.broadcast_arrays(np.radians(np.asarray(lon, dtype=float)), np.radians(np.asarray(lat, dtype=float)))
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])


def lon_lat(vectors: Array) -> tuple[Array, Array]:
    """Longitude in [0, 360) and latitude, deg, of vectors of shape (3, ...)."""
    x, y, z = vectors
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))


def semi_axis(major: float, eccentricity: float, phi: float, position_angle: ArrayLike) -> Array | float:
    """Half-width of an ellipse (unit of `major`) towards a position angle (deg)."""
    if eccentricity == 0:
        return major
    minor = major * np.sqrt(1 - eccentricity**2)
    angle = np.radians(phi - np.asarray(position_angle, dtype=float))
    return major * minor / np.hypot(major * np.sin(angle), minor * np.cos(angle))


def sphere_over_plane(separation: Array) -> Array:
    """Area on the sphere over that on the tangent plane at a separation (rad): sin(s) / s, none beyond the antipode."""
    return np.where(separation < np.pi, np.sinc(separation / np.pi), 0.0)


class SpatialModel(Model):
    """Base of the shapes.

    Parameters
    ----------
    frame : str
        Frame of the position and of position angles, ``icrs`` or ``galactic``.
    **values : float or Parameter
        Parameters by name.
    """

    difference: ClassVar[float] = 0.5
    """Step of the differences in positions and sizes, in units of `resolution`; see `gradient`."""

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

    @property
    def is_energy_dependent(self) -> bool:
        """Whether the shape changes with energy; only cubes do: see `TemplateSpatial.at_energy`."""
        return False

    @property
    def total(self) -> float:
        """What the whole sphere integrates to: one but for shapes that are not normalised.

        Elongated and generalised Gaussians and shells are normalised on the tangent plane, as Gammapy's are. The
        sphere then holds less by a fraction of about their size squared (rad) over six: 5e-5 at 1 degree.
        """
        return 1.0

    @property
    def position(self) -> tuple[float, float]:
        """Longitude and latitude of the centre in the own frame, deg."""
        return self.lon_0, self.lat_0

    def _basis(self) -> Array:
        """Centre, east and north as unit vectors in the model's frame, shape (3 of them, 3)."""
        lon, lat = np.radians(self.position)
        return np.array(
            [
                [np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)],
                [-np.sin(lon), np.cos(lon), 0.0],
                [-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)],
            ]
        )

    def _icrs_basis(self) -> Array:
        """The basis as ICRS vectors, shape (3 of them, 3)."""
        return np.asarray(self._basis() @ to_icrs_matrix(self.frame).T)

    @property
    def center(self) -> Array:
        """ICRS unit vector of the position, shape (3,)."""
        return np.asarray(to_icrs_matrix(self.frame) @ self._basis()[0])

    def _value(self, basis: Array, vectors: Array) -> Array:
        along, east, north = np.einsum("ki,i...->k...", basis, vectors)
        separation = np.degrees(np.arctan2(np.hypot(east, north), along))
        return self.profile(separation, np.degrees(np.arctan2(east, north)))

    def value(self, lon: ArrayLike, lat: ArrayLike) -> Array:
        """Brightness in sr-1 at positions (deg) in the model's own frame."""
        return self._value(self._basis(), unit_vectors(lon, lat))

    def value_at(self, vectors: Array) -> Array:
        """Brightness in sr-1 at ICRS unit vectors of shape (3, ...)."""
        return self._value(self._icrs_basis(), vectors)

    def _mean_at(self, vectors: Array, width: float) -> Array:
        """Brightness at ICRS unit vectors, averaged over cells of a width (deg) as far as the shape knows how."""
        return self.value_at(vectors)

    def _is_point(self, size: float) -> bool:
        """Whether the shape is a point on pixels of a size (deg)."""
        return self.resolution * MAX_OVERSAMPLING < size

    def integral(self, pixels: Pixels) -> Array:
        """Fraction of the source in every pixel.

        Pixels wider than `resolution` are divided; only pixels within the evaluation radius are looked at. A shape that
        is very small against a pixel goes to the four pixels around it, with weights that keep the centroid.

        Parameters
        ----------
        pixels : Pixels
            Centres and solid angles, shapes (3, y, x) and (y, x).

        Returns
        -------
        numpy.ndarray
            Shape (y, x); zero where there is no sky.
        """
        size = pixel_size(pixels)
        if size > 0 and self._is_point(size):
            return self._integral_of_point(np.asarray(pixels.vectors), np.asarray(pixels.solid_angle))
        return self._integrated(self._mean_at, pixels, size)

    def _integrated(
        self, function: Callable[[Array, float], Array], pixels: Pixels, size: float, *, count: int | None = None
    ) -> Array:
        """Integral over pixels of a function of ICRS vectors and the width (deg) of the cells that they stand for.

        The function gives shape (n,) and the result is (y, x), or with `count` (count, n) and (count, y, x).
        """
        vectors, solid_angle = np.asarray(pixels.vectors), np.asarray(pixels.solid_angle)
        leading = () if count is None else (count,)
        result = np.zeros((*leading, *solid_angle.shape))
        if size == 0:
            return result
        distance = np.sqrt(np.sum((vectors - self.center[:, None, None]) ** 2, axis=0))  # chord, rad
        radius = self.evaluation_radius + size
        near = np.isfinite(distance) & (distance <= (2 * np.sin(np.radians(radius) / 2) if radius < 180 else np.inf))
        y, x = np.nonzero(near)
        if y.size == 0:
            return result
        factor = min(int(np.ceil(size / self.resolution)), MAX_OVERSAMPLING)
        # a single sample is at the pixel's centre
        steps = pixel_steps(vectors, solid_angle) if factor > 1 else (np.zeros_like(vectors),) * 2
        step_y, step_x = (step[:, y, x] for step in steps)
        shift = (np.arange(factor) + 0.5) / factor - 0.5
        total = np.zeros((*leading, y.size))
        for dy in shift:
            for dx in shift:
                place = vectors[:, y, x] + dy * step_y + dx * step_x
                total += function(place / np.sqrt(np.sum(place**2, axis=0)), size / factor)
        result[..., y, x] = total / factor**2 * solid_angle[y, x]
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

    def difference_step(self, name: str, size: float) -> float:
        """Step, in the parameter's unit, of the central difference in a parameter on pixels of a size (deg).

        A hundredth of a pixel, or `difference` times `resolution` if that is more, for positions (on the sky, not in
        longitude) and sizes: a step much below the spacing of the samples would give noise. `NUMBER_STEPS` for others.
        """
        if name in NUMBER_STEPS:
            return NUMBER_STEPS[name]
        step = max(self.difference * self.resolution, 0.01 * size)
        return step / max(np.cos(np.radians(self.position[1])), 1e-3) if name == "lon_0" else step

    def gradient(self, pixels: Pixels) -> Array:
        """Derivatives of `integral` in every parameter: by central differences of `difference_step` unless said otherwise.

        Parameters
        ----------
        pixels : Pixels
            Centres and solid angles, shapes (3, y, x) and (y, x).

        Returns
        -------
        numpy.ndarray
            Shape (n parameters, y, x), per unit of the parameter. One-sided at a parameter's limit.
        """
        size = pixel_size(pixels)
        result = np.zeros((len(self.parameters), *np.shape(pixels.solid_angle)))
        for k, (name, parameter) in enumerate(self.parameters.items() if size > 0 else ()):
            step = self.difference_step(name, size)
            low, high = max(parameter.value - step, parameter.minimum), min(parameter.value + step, parameter.maximum)
            if low < high:
                above, below = self.replaced(**{name: high}), self.replaced(**{name: low})
                result[k] = (above.integral(pixels) - below.integral(pixels)) / (high - low)
        return result

    @abstractmethod
    def _propose(self, rng: np.random.Generator, n: int) -> tuple[Array, Array, Array | float]:
        """Trial positions: separation and position angle (rad), and the probability with which each is kept."""

    def sample(self, rng: np.random.Generator, n: int) -> tuple[Array, Array]:
        """Random positions, distributed as the brightness on the sphere exactly.

        Parameters
        ----------
        rng : numpy.random.Generator
        n : int
            How many.

        Returns
        -------
        tuple of numpy.ndarray
            Longitude in [0, 360) and latitude in the model's frame, deg, shape (n,).
        """
        separation, angle = np.empty(n), np.empty(n)
        done = 0
        while done < n:
            trial_separation, trial_angle, chance = self._propose(rng, n - done + (n - done) // 4 + 16)
            keep = np.flatnonzero(rng.random(trial_separation.size) < chance)[: n - done]
            separation[done : done + keep.size] = trial_separation[keep]
            angle[done : done + keep.size] = trial_angle[keep]
            done += keep.size
        center, east, north = self._basis()[:, :, None]
        across = np.sin(angle) * east + np.cos(angle) * north
        return lon_lat(np.cos(separation) * center + np.sin(separation) * across)


def pixel_size(pixels: Pixels) -> float:
    """Side of the largest pixel, deg; zero where there is no sky at all."""
    known = np.isfinite(np.asarray(pixels.vectors)[0])
    return float(np.degrees(np.sqrt(np.max(np.asarray(pixels.solid_angle)[known])))) if known.any() else 0.0


class Point(SpatialModel):
    """Point source at ``lon_0``, ``lat_0`` (deg)."""

    tag: ClassVar[tuple[str, ...]] = ("PointSpatialModel", "point")
    defaults: ClassVar[tuple[Parameter, ...]] = (LON, LAT)

    evaluation_radius = 0.0
    resolution = 0.0

    def profile(self, separation: ArrayLike, position_angle: ArrayLike = 0.0) -> Array:
        """Infinite at the point itself, zero elsewhere."""
        return np.where(np.asarray(separation, dtype=float) == 0, np.inf, 0.0)

    def _propose(self, rng: np.random.Generator, n: int) -> tuple[Array, Array, Array | float]:
        return np.zeros(n), np.zeros(n), 1.0


class ConstantSpatial(SpatialModel):
    """A sky of the same brightness everywhere. It has no centre; its only parameter is not normalised to the sphere.

    Parameters
    ----------
    value : float
        Brightness, sr-1; frozen. As ``parameters["value"]``: the attribute is the method that evaluates.
    """

    tag: ClassVar[tuple[str, ...]] = ("ConstantSpatialModel", "const")
    defaults: ClassVar[tuple[Parameter, ...]] = (Parameter("value", 1.0, "sr-1", frozen=True),)

    evaluation_radius = 180.0
    resolution = 180.0
    position = (0.0, 0.0)

    @property
    def total(self) -> float:
        return 4 * np.pi * self.parameters["value"].value

    def profile(self, separation: ArrayLike, position_angle: ArrayLike = 0.0) -> Array:
        shape = np.broadcast_shapes(np.shape(separation), np.shape(position_angle))
        return np.full(shape, self.parameters["value"].value)

    def integral(self, pixels: Pixels) -> Array:
        return np.asarray(self.parameters["value"].value * self.gradient(pixels)[0])

    def gradient(self, pixels: Pixels) -> Array:
        """Derivative of `integral` in ``value``: the solid angle, shape (1, y, x)."""
        known = np.isfinite(np.asarray(pixels.vectors)[0])
        return np.where(known, np.asarray(pixels.solid_angle), 0.0)[None]

    def _propose(self, rng: np.random.Generator, n: int) -> tuple[Array, Array, Array | float]:
        return np.arccos(rng.uniform(-1, 1, n)), rng.uniform(0, 2 * np.pi, n), 1.0
