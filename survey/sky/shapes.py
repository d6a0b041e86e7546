"""Shapes on the sphere, made from sky regions: which directions they hold.

Circles and annuli by angular distance; ellipses and rectangles by distance and position angle from their centre, so that
their axes are true lengths; polygons with great circles between their corners. Whatever else the regions package reads is
asked itself, in a tangent plane at the pixels.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from survey.sky import frames

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord

FLAT = (
    "EllipseSkyRegion",
    "RectangleSkyRegion",
    "EllipseAnnulusSkyRegion",
    "RectangleAnnulusSkyRegion",
)
"""Shapes that are turned and stretched around a centre."""

NO_AREA = ("PointSkyRegion", "LineSkyRegion")


@dataclass(frozen=True, eq=False)
class Shape:
    """A shape on the sphere.

    Parameters
    ----------
    region : regions.SkyRegion
        What it is made from.
    basis : numpy.ndarray
        (3, 3): ICRS vectors of its centre, of east and of north there in the region's frame, as rows.
    reach : float
        Radius of a circle around the centre that holds it, deg.
    include : bool
        False where it cuts a hole into the others.
    """

    region: Any
    basis: NDArray[np.float64]
    reach: float
    include: bool

    def contains(self, vectors: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether ICRS unit vectors (3, ...) are inside; NaN is not."""
        front = np.tensordot(self.basis[0], vectors, 1)
        near = front >= np.cos(np.radians(min(self.reach + 1e-6, 180.0)))
        inside = np.zeros(near.shape, dtype=bool)
        if near.any():
            inside[near] = self._contains(vectors[:, near])
        return inside

    def _contains(self, vectors: NDArray[np.float64]) -> NDArray[np.bool_]:
        kind = type(self.region).__name__
        front, east, north = self.basis @ vectors
        sine = np.hypot(east, north)
        distance = np.degrees(np.arctan2(sine, front))
        if kind == "CircleSkyRegion":
            return distance <= _deg(self.region.radius)
        if kind == "CircleAnnulusSkyRegion":
            return (distance <= _deg(self.region.outer_radius)) & (distance > _deg(self.region.inner_radius))
        if kind in FLAT:
            scale = np.divide(distance, sine, out=np.zeros_like(sine), where=sine > 0)
            return self._contains_flat(kind, -scale * east, scale * north)
        if kind == "PolygonSkyRegion":
            corners = self.basis @ _vectors(self.region.vertices)
            return _in_polygon(east / front, north / front, corners[1] / corners[0], corners[2] / corners[0])
        return self._ask(vectors)

    def _contains_flat(self, kind: str, west: NDArray[np.float64], north: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Ellipses, rectangles and their annuli, from offsets in deg; the angle counts from west over north."""
        angle = np.radians(_deg(self.region.angle))
        along = west * np.cos(angle) + north * np.sin(angle)
        across = north * np.cos(angle) - west * np.sin(angle)

        def within(width: Any, height: Any) -> NDArray[np.bool_]:
            u, v = 2 * along / _deg(width), 2 * across / _deg(height)
            return u * u + v * v <= 1 if kind.startswith("Ellipse") else (np.abs(u) <= 1) & (np.abs(v) <= 1)

        if "Annulus" not in kind:
            return within(self.region.width, self.region.height)
        outer = within(self.region.outer_width, self.region.outer_height)
        return outer & ~within(self.region.inner_width, self.region.inner_height)

    def _ask(self, vectors: NDArray[np.float64]) -> NDArray[np.bool_]:
        """The regions package, in a tangent plane around the vectors."""
        from astropy.coordinates import SkyCoord
        from astropy.wcs import WCS

        center = vectors.sum(axis=1)
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
        wcs.wcs.crval = [float(part) for part in frames.positions(center)]
        wcs.wcs.cdelt = -0.01, 0.01
        ra, dec = frames.positions(vectors)
        return np.asarray(self.region.contains(SkyCoord(ra, dec, unit="deg"), wcs), dtype=bool)


@dataclass(frozen=True, eq=False)
class CompoundShape(Shape):
    """Two shapes and what joins them: union, intersection or difference."""

    parts: tuple[Shape, Shape] = ()  # type: ignore[assignment]  # always given

    def contains(self, vectors: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether ICRS unit vectors (3, ...) are inside; NaN is not."""
        first, second = (part.contains(vectors) for part in self.parts)
        joined: NDArray[np.bool_] = self.region.operator(first, second)
        return joined


def make_shape(region: Any, where: str) -> Shape:
    """The shape of a region.

    Parameters
    ----------
    region : regions.Region
        Of the regions package.
    where : str
        What to call it in a message.

    Raises
    ------
    ValueError
        For a region in pixels, one without an area, or one with an extent that is not positive.
    """
    import regions

    kind = type(region).__name__
    include = bool(region.meta.get("include", True))
    if isinstance(region, regions.CompoundSkyRegion):
        if region.operator not in (operator.and_, operator.or_, operator.xor):
            raise ValueError(f"{where}: joined by {region.operator}, expected and, or, xor")
        parts = make_shape(region.region1, where), make_shape(region.region2, where)
        return CompoundShape(region, np.eye(3), 180.0, include, parts)
    if isinstance(region, regions.PixelRegion):
        raise ValueError(f"{where}: {kind} is in pixels, expected a region in a sky frame such as icrs or galactic")
    if kind in NO_AREA:
        raise ValueError(f"{where}: {kind} has no area, expected a region such as a circle")
    if kind == "PolygonSkyRegion":
        corners = _vectors(region.vertices)
        center = corners.sum(axis=1)
        center /= np.linalg.norm(center)
        reach = float(np.degrees(np.arccos(np.clip(center @ corners, -1, 1)).max()))
        if not reach < 85.0:
            raise ValueError(
                f"{where}: polygon with corners {reach:.0f} deg from its middle, expected less than 85 deg"
            )
        ra, dec = frames.positions(center)
        return Shape(region, frames.basis_to_icrs("icrs", float(ra), float(dec)).T, reach, include)
    sizes = {name: _deg(getattr(region, name)) for name in _SIZES if hasattr(region, name)}
    bad = [f"{name} {value:g} deg" for name, value in sizes.items() if not 0 < value <= 360]
    if bad:
        raise ValueError(f"{where}: {kind} with {', '.join(bad)}, expected a positive size")
    if not hasattr(region, "center"):
        return Shape(region, np.eye(3), 180.0, include)
    size = {name: sizes.get(name, sizes.get(f"outer_{name}", 0.0)) for name in ("radius", "width", "height")}
    reach = max(size["radius"], 0.5 * math.hypot(size["width"], size["height"])) or 180.0
    return Shape(region, _basis(region.center), reach, include)


_SIZES = (
    "radius",
    "inner_radius",
    "outer_radius",
    "width",
    "height",
    "inner_width",
    "inner_height",
    "outer_width",
    "outer_height",
)


def _deg(angle: Any) -> float:
    return float(angle.to_value("deg"))


def _vectors(sky: SkyCoord) -> NDArray[np.float64]:
    icrs = sky.icrs
    return frames.unit_vectors(icrs.ra.deg, icrs.dec.deg)


def _basis(center: SkyCoord) -> NDArray[np.float64]:
    """ICRS vectors of a place, of east and of north there in the frame of the place, as rows."""
    from astropy.coordinates import CartesianRepresentation, SkyCoord

    place = center.spherical
    local = frames.basis_to_icrs("icrs", float(place.lon.deg), float(place.lat.deg))
    if place.lat.deg == 90.0:
        local = local * [1.0, -1.0, -1.0]
    axes = SkyCoord(CartesianRepresentation(local), frame=center.frame.replicate_without_data())
    return np.ascontiguousarray(axes.icrs.cartesian.xyz.value.T)


def _in_polygon(
    x: NDArray[np.float64], y: NDArray[np.float64], x_corner: NDArray[np.float64], y_corner: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Even-odd rule: whether a ray to the right crosses the outline an odd number of times."""
    inside = np.zeros(x.shape, dtype=bool)
    for x0, y0, x1, y1 in zip(x_corner, y_corner, np.roll(x_corner, -1), np.roll(y_corner, -1), strict=True):
        crosses = (y0 > y) != (y1 > y)
        if y0 != y1:
            inside ^= crosses & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return inside
