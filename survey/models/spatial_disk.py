"""Disks and shells: shapes with an edge."""

from __future__ import annotations

from abc import abstractmethod
from functools import cache
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import erf, erfc

from survey.models.parameters import Parameter
from survey.models.spatial import (
    ECCENTRICITY,
    LAT,
    LON,
    MAX_OVERSAMPLING,
    PHI,
    Array,
    SpatialModel,
    semi_axis,
    sphere_over_plane,
)


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
        LON,
        LAT,
        Parameter("r_0", 1.0, "deg", minimum=0.0, scale=0.01),
        ECCENTRICITY,
        PHI,
        Parameter("edge_width", 0.01, minimum=0.0, maximum=1.0, frozen=True, scale=0.01),
    )

    difference = 1.5

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

    @property
    def total(self) -> float:
        """One plus what a smooth edge adds outside more than it takes inside: in second order of its width."""
        return 1.0 + 0.5 * (self.edge_width / self.EDGE_95) ** 2

    def profile(self, separation: ArrayLike, position_angle: ArrayLike = 0.0) -> Array:
        axis = semi_axis(self.r_0, self.e, self.phi, position_angle)
        outside = np.asarray(separation, dtype=float) - axis
        if self.edge_width == 0:
            inside = np.where(outside <= 0, 1.0, 0.0)
        else:
            inside = 0.5 * (1 - erf(self.EDGE_95 * outside / (axis * self.edge_width)))
        return np.asarray(inside / _disk_solid_angle(self.r_0, self.e))

    def _propose(self, rng: np.random.Generator, n: int) -> tuple[Array, Array, Array | float]:
        # at two edge widths out the edge is 5e-11 of the middle
        radius = (1 + 2 * self.edge_width) * np.sqrt(rng.random(n))
        turn = rng.uniform(0, 2 * np.pi, n)
        x = np.radians(self.r_0) * radius * np.cos(turn)
        y = np.radians(self.r_0) * radius * np.sqrt(1 - self.e**2) * np.sin(turn)
        separation = np.hypot(x, y)
        chance = sphere_over_plane(separation)
        if self.edge_width > 0:
            chance = chance * 0.5 * erfc(self.EDGE_95 * (radius - 1) / self.edge_width)
        return separation, np.radians(self.phi) + np.arctan2(y, x), chance


@cache
def _disk_solid_angle(major: float, eccentricity: float) -> float:
    """Solid angle in sr of an elliptical disk with semi-axes (deg) taken on the sphere."""
    if eccentricity == 0:
        return float(4 * np.pi * np.sin(np.radians(major) / 2) ** 2)
    minor = np.radians(major) * np.sqrt(1 - eccentricity**2)

    def slice_area(angle: float) -> float:
        axis = np.radians(major) * minor / np.hypot(np.radians(major) * np.sin(angle), minor * np.cos(angle))
        return float(2 * np.sin(axis / 2) ** 2)

    from scipy.integrate import quad  # which brings most of scipy: too much for every worker to import

    return float(4 * quad(slice_area, 0, np.pi / 2, epsrel=1e-10)[0])


class _ProjectedShell(SpatialModel):
    """A spherical shell that shines evenly, seen from far away."""

    difference = 1.5

    @property
    @abstractmethod
    def radii(self) -> tuple[float, float]:
        """Inner radius and width, deg."""

    @property
    def evaluation_radius(self) -> float:
        return sum(self.radii)

    @property
    def resolution(self) -> float:
        """As a disk's; half the width of a thin shell, but not below a 200th of the radius: the rest is in `_mean_at`."""
        inner, width = self.radii
        outer = inner + width
        return min(outer / 60.0, max(width / 2, outer / 200.0))

    def _is_point(self, size: float) -> bool:
        return sum(self.radii) / 60.0 * MAX_OVERSAMPLING < size

    def profile(self, separation: ArrayLike, position_angle: ArrayLike = 0.0) -> Array:
        inner, width = np.radians(self.radii)
        distance = np.broadcast_arrays(np.radians(np.asarray(separation, dtype=float)), position_angle)[0]
        outer = inner + width
        if outer == 0:
            return np.where(distance == 0, np.inf, 0.0)
        norm = 3 / (2 * np.pi * (3 * inner**2 + 3 * inner * width + width**2))  # times the width
        far = np.sqrt(np.maximum(outer**2 - distance**2, 0))
        near = np.sqrt(np.maximum(inner**2 - distance**2, 0))
        # the difference of the two chords over the width, without a difference of close numbers
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(
                distance < inner,
                norm * (2 * inner + width) / (far + near),
                np.where(distance < outer, norm * far / width, 0.0),
            )

    def _contents(self, distance: Array) -> Array:
        """Fraction of the source within a distance (rad)."""
        inner, width = np.radians(self.radii)
        outer = inner + width
        cubes = 3 * inner**2 + 3 * inner * width + width**2  # difference of the cubes over the width
        far = np.sqrt(np.maximum(outer**2 - distance**2, 0))
        near = np.sqrt(np.maximum(inner**2 - distance**2, 0))
        with np.errstate(divide="ignore", invalid="ignore"):
            within = (2 * inner + width) * (far**2 + far * near + near**2) / (far + near) / cubes
            rim = np.where(far > 0, far**3 / width / cubes, 0.0)
        return 1.0 - np.where(distance < inner, within, rim)

    def _mean_at(self, vectors: Array, width: float) -> Array:
        """Mean over the cell's extent along the radius, so that a shell much thinner than a cell is not missed."""
        along, east, north = self._icrs_basis() @ vectors
        distance = np.arctan2(np.hypot(east, north), along)
        half = np.radians(width) / 2
        low, high = np.maximum(distance - half, 0.0), distance + half
        return (self._contents(high) - self._contents(low)) / (np.pi * (high**2 - low**2))

    def _propose(self, rng: np.random.Generator, n: int) -> tuple[Array, Array, Array | float]:
        # a place in the shell itself, projected
        inner, width = np.radians(self.radii)
        radius = np.cbrt(inner**3 + rng.random(n) * ((inner + width) ** 3 - inner**3))
        separation = radius * np.sqrt(1 - rng.uniform(-1, 1, n) ** 2)
        return separation, rng.uniform(0, 2 * np.pi, n), sphere_over_plane(separation)


class Shell(_ProjectedShell):
    """Projected spherical shell that shines evenly.

    Parameters
    ----------
    lon_0, lat_0 : float
        Centre, deg.
    radius : float
        Inner radius, deg.
    width : float
        Thickness, deg; zero is a surface.
    """

    tag: ClassVar[tuple[str, ...]] = ("ShellSpatialModel", "shell")
    defaults: ClassVar[tuple[Parameter, ...]] = (
        LON,
        LAT,
        Parameter("radius", 1.0, "deg", minimum=0.0, scale=0.01),
        Parameter("width", 0.2, "deg", minimum=0.0, scale=0.01),
    )

    @property
    def radii(self) -> tuple[float, float]:
        return self.radius, self.width


class Shell2(_ProjectedShell):
    """Projected spherical shell that shines evenly, by its outer radius and relative thickness.

    Parameters
    ----------
    lon_0, lat_0 : float
        Centre, deg.
    r_0 : float
        Outer radius, deg.
    eta : float
        Thickness as a fraction of ``r_0``, from 0.02 to 1 (a full sphere).
    """

    tag: ClassVar[tuple[str, ...]] = ("Shell2SpatialModel", "shell2")
    defaults: ClassVar[tuple[Parameter, ...]] = (
        LON,
        LAT,
        Parameter("r_0", 1.0, "deg", minimum=0.0, scale=0.01),
        Parameter("eta", 0.2, minimum=0.02, maximum=1.0, scale=0.02),
    )

    @property
    def radii(self) -> tuple[float, float]:
        return (1 - self.eta) * self.r_0, self.eta * self.r_0
