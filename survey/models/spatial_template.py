"""The shape given by an image or a cube of the sky."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from survey.models.parameters import Parameter, Parameters
from survey.models.sky_template import SkyTemplate
from survey.models.spatial import (
    LAT,
    LON,
    Array,
    Pixels,
    SpatialModel,
    lon_lat,
    pixel_size,
    to_icrs_matrix,
    unit_vectors,
)

WORST_CHANCE = 0.005
"""Least part of the trial positions to be kept for the interpolation within pixels to be followed by samples."""


class TemplateSpatial(SpatialModel):
    """An image of the sky, or a cube with an energy axis; read from a file by `read`.

    Its frame is that of the file. The position is that of the middle of the image; moving it moves the coordinates of
    all pixels in longitude and latitude, as Gammapy does, so it is meant for small shifts. A cube wants the energy in
    every call; an energy of shape (k,) gives results with a leading axis.

    Parameters
    ----------
    template : SkyTemplate
        Data and WCS.
    filename : str
        Where it was read, as it was given.
    normalize : bool
        Whether the image, or every plane of the cube, is scaled to hold one.
    **values : float or Parameter
        ``lon_0``, ``lat_0`` (deg, frozen); the middle of the image unless given.
    """

    tag: ClassVar[tuple[str, ...]] = ("TemplateSpatialModel", "template")
    defaults: ClassVar[tuple[Parameter, ...]] = (
        Parameter("lon_0", 0.0, "deg", frozen=True, scale=LON.scale),
        Parameter("lat_0", 0.0, "deg", minimum=-90.0, maximum=90.0, frozen=True, scale=LAT.scale),
    )

    difference = 0.1

    def __init__(
        self, template: SkyTemplate, *, filename: str = "", normalize: bool = True, **values: float | Parameter
    ) -> None:
        lon, lat = template.center
        super().__init__(frame=template.frame, **{"lon_0": lon, "lat_0": lat, **values})
        if not (template.data > 0).any():
            raise ValueError(f"{self.tag[0]}: {filename or 'the template'} holds no positive value")
        self.source = template
        self.filename = filename
        self.normalize = bool(normalize)

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        *,
        normalize: bool = True,
        hdu: str | None = None,
        **values: float | Parameter,
    ) -> Self:
        """Read a FITS image or cube.

        Parameters
        ----------
        path : path-like
            File; ``$NAME`` and ``~`` are expanded, and kept in `filename`.
        normalize : bool
            Whether the image, or every plane of the cube, is scaled to hold one.
        hdu : str or None
            Name of the extension; the first that holds data unless given.
        **values : float or Parameter
            ``lon_0``, ``lat_0``.
        """
        return cls(SkyTemplate.read(path, hdu=hdu), filename=str(path), normalize=normalize, **values)

    @cached_property
    def template(self) -> SkyTemplate:
        """Data and WCS as they are used: normalised, if asked for."""
        return self.source.normalised() if self.normalize else self.source

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "template"}

    def _settings(self) -> dict[str, str]:
        return {"filename": self.filename, "normalize": str(self.normalize).lower()}

    def with_parameters(self, parameters: Parameters) -> Self:
        return type(self)(self.source, filename=self.filename, normalize=self.normalize, **parameters)

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other) and isinstance(other, TemplateSpatial) and self.source == other.source

    def __hash__(self) -> int:
        return hash((super().__hash__(), self.source))

    def key(self) -> dict[str, float | str]:
        return {**super().key(), "data": self.source.digest}

    @property
    def unit(self) -> str:
        """Unit of the values: sr-1, or for a template of flux that is not normalised, its own in TeV, s, m, sr."""
        return self.template.unit

    @property
    def is_energy_dependent(self) -> bool:
        return self.source.nodes is not None

    @property
    def is_isotropic(self) -> bool:
        return False

    @property
    def evaluation_radius(self) -> float:
        """Distance of the farthest corner, deg."""
        return self.source.radius

    @property
    def resolution(self) -> float:
        # pixels of the template's own size are not divided
        return 1.05 * self.source.pixel_size

    @property
    def total(self) -> float:
        """What the image integrates to; for a cube that is not normalised, the greatest of its planes."""
        return float(np.max(np.sum(self.template.data * self.template.solid_angle, axis=(-2, -1))))

    def at_energy(self, energy: float) -> TemplateSpatial:
        """The image of a cube at an energy (TeV); an image is the same at all."""
        if not self.is_energy_dependent:
            return self
        data = np.exp(self.template.planes(energy))
        image = SkyTemplate(np.where(data > 1e-300, data, 0.0), self.source.header, unit=self.unit)
        return TemplateSpatial(image, filename=self.filename, normalize=False, **self.parameters)

    def profile(self, separation: ArrayLike, position_angle: ArrayLike = 0.0) -> Array:
        separation, angle = np.broadcast_arrays(np.radians(separation), np.radians(position_angle))
        basis = self._basis()
        parts = np.stack([np.cos(separation), np.sin(separation) * np.sin(angle), np.sin(separation) * np.cos(angle)])
        return self.value(*lon_lat(np.tensordot(basis.T, parts, 1)))

    def _pixel(self, lon: ArrayLike, lat: ArrayLike) -> tuple[Array, Array]:
        """Pixel coordinates (y, x) on the image, which the parameters may have moved."""
        middle_lon, middle_lat = self.source.center
        return self.template.pixel(
            np.asarray(lon, dtype=float) - (self.lon_0 - middle_lon),
            np.asarray(lat, dtype=float) - (self.lat_0 - middle_lat),
        )

    def value(self, lon: ArrayLike, lat: ArrayLike, energy: ArrayLike | None = None) -> Array:
        """Brightness at positions (deg) in the model's own frame, interpolated; zero off the image.

        Parameters
        ----------
        lon, lat : array_like
            Positions.
        energy : array_like or None
            TeV, for a cube; a leading axis of the result if it has one.
        """
        template = self.template
        return template.at(template.planes(energy), *self._pixel(lon, lat))

    def value_at(self, vectors: Array, energy: ArrayLike | None = None) -> Array:
        """Brightness at ICRS unit vectors of shape (3, ...); see `value`."""
        return self.value(*lon_lat(np.tensordot(to_icrs_matrix(self.frame).T, vectors, 1)), energy)

    def _is_point(self, size: float) -> bool:
        return False

    def covers(self, pixels: Pixels) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which pixels have their centre on the image, shape (y, x)."""
        vectors = np.asarray(pixels.vectors)
        y, x = self._pixel(*lon_lat(np.tensordot(to_icrs_matrix(self.frame).T, vectors, 1)))
        ny, nx = self.source.shape
        return (y >= -0.5) & (y < ny - 0.5) & (x >= -0.5) & (x < nx - 0.5)

    def integral(self, pixels: Pixels, energy: ArrayLike | None = None) -> Array:
        """Integral over every pixel; pixels wider than the template's are divided.

        Parameters
        ----------
        pixels : Pixels
            Centres and solid angles, shapes (3, y, x) and (y, x).
        energy : array_like or None
            TeV, for a cube: a number or shape (k,).

        Returns
        -------
        numpy.ndarray
            Shape (y, x), or (k, y, x).
        """
        logs = self.template.planes(energy)
        rotation = to_icrs_matrix(self.frame).T

        def brightness(vectors: Array, width: float) -> Array:
            return self.template.at(logs, *self._pixel(*lon_lat(rotation @ vectors)))

        count = None if logs.ndim == 2 else logs.shape[0]
        return self._integrated(brightness, pixels, pixel_size(pixels), count=count)

    def gradient(self, pixels: Pixels, energy: ArrayLike | None = None) -> Array:
        """Derivatives of `integral` in the position by central differences of a tenth of a pixel of the template.

        Returns
        -------
        numpy.ndarray
            Shape (2, y, x), or (2, k, y, x) for energies of shape (k,).
        """
        step = self.difference * self.resolution
        slopes = []
        for name in self.parameters:
            here = getattr(self, name)
            width = step / max(np.cos(np.radians(self.lat_0)), 1e-3) if name == "lon_0" else step
            low, high = here - width, here + width
            if name == "lat_0":
                low, high = max(low, -90.0), min(high, 90.0)
            above, below = self.replaced(**{name: high}), self.replaced(**{name: low})
            slopes.append((above.integral(pixels, energy) - below.integral(pixels, energy)) / (high - low))
        return np.stack(slopes)

    def _propose(self, rng: np.random.Generator, n: int) -> tuple[Array, Array, Array | float]:
        raise NotImplementedError("a template draws pixels")  # pragma: no cover

    def sample(self, rng: np.random.Generator, n: int, energy: ArrayLike | None = None) -> tuple[Array, Array]:
        """Random positions, distributed as `value`.

        A map of lone pixels, between which interpolation of the logarithm leaves next to nothing, is sampled by the
        contents of its pixels and evenly within them.

        Parameters
        ----------
        rng : numpy.random.Generator
        n : int
            How many.
        energy : array_like or None
            TeV, for a cube: a number or one for each position. Beyond the outermost planes the outermost one holds.

        Returns
        -------
        tuple of numpy.ndarray
            Longitude in [0, 360) and latitude in the model's frame, deg, shape (n,).
        """
        y, x = np.empty(n), np.empty(n)
        if not self.is_energy_dependent:
            y, x = _draw(self.template, rng, np.zeros(n), [None])
        else:
            if energy is None:
                raise ValueError(f"{self.tag[0]}: the template is a cube; give the energy of every position")
            last = self.source.data.shape[0] - 1
            place = np.clip(np.broadcast_to(self.source.energy_pixel(energy), (n,)), 0, last)
            low = np.minimum(np.floor(place), max(last - 1, 0)).astype(np.int64)
            for k in np.unique(low):
                some = np.flatnonzero(low == k)
                planes = range(int(k), min(int(k) + 1, last) + 1)
                y[some], x[some] = _draw(self.template, rng, place[some] - k, planes)
        lon, lat = self.source.position(y, x)
        middle_lon, middle_lat = self.source.center
        return lon_lat(unit_vectors(lon + (self.lon_0 - middle_lon), lat + (self.lat_0 - middle_lat)))


def _draw(
    template: SkyTemplate, rng: np.random.Generator, share: Array, planes: Sequence[int | None]
) -> tuple[Array, Array]:
    """Pixel coordinates (y, x), distributed as the brightness between one plane and the next.

    Parameters
    ----------
    template : SkyTemplate
        Pixels and interpolation.
    rng : numpy.random.Generator
    share : numpy.ndarray
        Where between the planes every position is wanted, from 0 to 1, shape (n,).
    planes : sequence of int or None
        Of a cube, one or two; None is an image.
    """
    _, nx = template.shape
    tables = [_table(template, plane) for plane in planes]
    logs, bounds, sums = ([table[k] for table in tables] for k in range(3))
    n, y, x = share.size, np.empty(share.size), np.empty(share.size)
    missing, tried = np.arange(n), 0
    while missing.size:
        # a geometric mean of planes is below their arithmetic mean, which is a mixture
        part = share[missing]
        weight = part * sums[-1][-1] if len(planes) > 1 else np.zeros(missing.size)
        second = rng.random(missing.size) * ((1 - part) * sums[0][-1] + weight) < weight
        pixel = np.empty(missing.size, dtype=np.int64)
        for chosen, total in ((~second, sums[0]), (second, sums[-1])):
            pixel[chosen] = np.searchsorted(total, rng.random(np.count_nonzero(chosen)) * total[-1], side="right")
        pixel = np.minimum(pixel, bounds[0].size - 1)
        row, column = np.divmod(pixel, nx)
        trial_y, trial_x = row + rng.random(pixel.size) - 0.5, column + rng.random(pixel.size) - 0.5
        value = template.at(logs[0], trial_y, trial_x)
        limit = bounds[0][pixel]
        if len(planes) > 1:
            value = value ** (1 - part) * template.at(logs[1], trial_y, trial_x) ** part
            limit = (1 - part) * limit + part * bounds[1][pixel]
        keep = rng.random(pixel.size) * limit < value
        done = missing[keep]
        y[done], x[done] = trial_y[keep], trial_x[keep]
        missing, tried = missing[~keep], tried + pixel.size
        if tried > 20_000 and n - missing.size < WORST_CHANCE * tried:
            contents = np.cumsum(np.exp(logs[0]).ravel() * template.solid_angle.ravel())
            pixel = np.searchsorted(contents, rng.random(n) * contents[-1], side="right")
            row, column = np.divmod(np.minimum(pixel, bounds[0].size - 1), nx)
            return row + rng.random(n) - 0.5, column + rng.random(n) - 0.5
    return y, x


@lru_cache(maxsize=32)
def _table(template: SkyTemplate, plane: int | None) -> tuple[Array, Array, Array]:
    """Of a plane: logarithm of the brightness (y, x), greatest brightness within every pixel, and its contents summed up."""
    logs = template.logs(plane)
    bound = _bound(template, logs)
    return logs, bound, np.cumsum(bound * template.solid_angle.ravel())


def _bound(template: SkyTemplate, logs: Array) -> Array:
    """Greatest brightness within every pixel, shape (y x,): at its centre, corners or the middles of its edges."""
    ny, nx = template.shape
    y = np.minimum(np.arange(2 * ny + 1) / 2 - 0.5, ny - 0.5 - 1e-9)
    x = np.minimum(np.arange(2 * nx + 1) / 2 - 0.5, nx - 0.5 - 1e-9)
    value = template.at(logs, *np.meshgrid(y, x, indexing="ij"))
    rows = np.maximum(np.maximum(value[:-1:2], value[1::2]), value[2::2])
    return np.maximum(np.maximum(rows[:, :-1:2], rows[:, 1::2]), rows[:, 2::2]).ravel()
