"""Images and cubes of the sky as read from FITS files: data, their WCS, their energies, interpolation.

Read as Gammapy 2.1 reads a map: GADF images and cubes (a BANDS table), Fermi templates (ENERGIES), Fermi counts cubes
(EBOUNDS). Interpolation is as its: linear in pixels and in the logarithm of energy, of the logarithm of the data.
`survey.models.spatial_template` makes a shape of it.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from survey.models.spatial import unit_vectors

Array = NDArray[np.float64]

TINY = np.finfo(np.float64).tiny
EXTRAPOLATED = 1.0
"""Most that the logarithm grows beyond the nearest pixels in the outer half of the outermost ones."""


@dataclass(frozen=True, eq=False)
class SkyTemplate:
    """An image, or a cube with an energy axis.

    Parameters
    ----------
    data : numpy.ndarray
        (y, x), or (energy, y, x); not negative, finite.
    header : str
        The celestial WCS as FITS cards, one a line.
    nodes : numpy.ndarray or None
        Energies (TeV) along the axis at `pixels`; None for an image.
    pixels : numpy.ndarray or None
        Places of `nodes` on the axis: 0 is the first plane.
    unit : str
        Of the data, in TeV, s, m, sr.
    """

    data: Array
    header: str
    nodes: Array | None = None
    pixels: Array | None = None
    unit: str = "sr-1"

    @cached_property
    def digest(self) -> str:
        """Hash of all of it."""
        hashed = hashlib.sha256(f"{self.header} {self.unit} {self.data.shape}".encode())
        for values in (self.data, self.nodes, self.pixels):
            hashed.update(b"-" if values is None else np.ascontiguousarray(values, dtype=float).tobytes())
        return hashed.hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SkyTemplate) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.data.shape[-2], self.data.shape[-1]

    @property
    def wcs(self) -> Any:
        """A new WCS: astropy's is not to be shared between threads."""
        from astropy.io import fits
        from astropy.wcs import WCS

        return WCS(fits.Header.fromstring(self.header, sep="\n"))

    @cached_property
    def frame(self) -> str:
        """``icrs`` or ``galactic``."""
        return "galactic" if self.wcs.wcs.ctype[0].startswith("GLON") else "icrs"

    @cached_property
    def center(self) -> tuple[float, float]:
        """Longitude and latitude of the middle of the image in its frame, deg."""
        ny, nx = self.shape
        wcs = self.wcs
        lon, lat = wcs.wcs_pix2world((nx - 1) / 2, (ny - 1) / 2, 0)
        middle = (float(lon) % 360.0, float(lat))
        return middle if np.isfinite(middle).all() else (float(wcs.wcs.crval[0]) % 360.0, float(wcs.wcs.crval[1]))

    @cached_property
    def solid_angle(self) -> Array:
        """Of the pixels, sr, shape (y, x): two spherical triangles each; zero where a corner is not on the sky."""
        ny, nx = self.shape
        y, x = np.meshgrid(np.arange(ny + 1) - 0.5, np.arange(nx + 1) - 0.5, indexing="ij")
        lon, lat = self.wcs.wcs_pix2world(x.ravel(), y.ravel(), 0)
        corner = unit_vectors(lon, lat).reshape(3, ny + 1, nx + 1)
        a, b, c, d = corner[:, :-1, :-1], corner[:, :-1, 1:], corner[:, 1:, 1:], corner[:, 1:, :-1]
        area = _triangle(a, b, c) + _triangle(a, c, d)
        return np.where(np.isfinite(area), area, 0.0)

    @cached_property
    def pixel_size(self) -> float:
        """Side of a typical pixel, deg."""
        known = self.solid_angle[self.solid_angle > 0]
        return float(np.degrees(np.sqrt(np.median(known))))

    @cached_property
    def radius(self) -> float:
        """Distance of the farthest corner from the middle, deg; 180 where the edge is not on the sky."""
        ny, nx = self.shape
        x = np.concatenate([np.arange(nx + 1), np.arange(nx + 1), np.zeros(ny + 1), np.full(ny + 1, nx)]) - 0.5
        y = np.concatenate([np.zeros(nx + 1), np.full(nx + 1, ny), np.arange(ny + 1), np.arange(ny + 1)]) - 0.5
        edge = unit_vectors(*self.wcs.wcs_pix2world(x, y, 0))
        chord = np.sqrt(np.sum((edge - unit_vectors(*self.center)[:, None]) ** 2, axis=0))
        if not np.isfinite(chord).all():
            return 180.0
        # a cylinder around the sky has its edge behind the middle, whatever its corners
        return float(np.degrees(2 * np.arcsin(np.clip(chord.max() / 2, 0, 1))))

    def normalised(self) -> SkyTemplate:
        """The template whose planes hold one each, in sr-1; an empty plane stays empty.

        As Gammapy does it: the data count as contents of the pixels, whatever their unit is.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            data = self.data / self.data.sum(axis=(-2, -1), keepdims=True) / self.solid_angle
        return replace(self, data=np.where(np.isfinite(data), data, 0.0), unit="sr-1")

    def pixel(self, lon: ArrayLike, lat: ArrayLike) -> tuple[Array, Array]:
        """Pixel coordinates (y, x) of positions in the own frame, deg; NaN where the projection has no place."""
        lon, lat = np.broadcast_arrays(np.asarray(lon, dtype=float), np.asarray(lat, dtype=float))
        known = np.isfinite(lon) & (np.abs(lat) <= 90)
        y, x = np.full(lon.shape, np.nan), np.full(lon.shape, np.nan)
        if known.any():
            x[known], y[known] = self.wcs.wcs_world2pix(lon[known], lat[known], 0)
        return y, x

    def position(self, y: Array, x: Array) -> tuple[Array, Array]:
        """Longitude and latitude in the own frame, deg, of pixel coordinates."""
        lon, lat = self.wcs.wcs_pix2world(x, y, 0)
        return np.asarray(lon) % 360.0, np.asarray(lat)

    def energy_pixel(self, energy: ArrayLike) -> Array:
        """Places of energies (TeV) on the axis, extrapolated beyond its ends."""
        assert self.nodes is not None
        assert self.pixels is not None
        place = np.log(np.asarray(energy, dtype=float))
        if self.nodes.size == 1:
            return np.zeros_like(place)
        nodes = np.log(self.nodes)
        low = np.clip(np.searchsorted(nodes, place) - 1, 0, nodes.size - 2)
        share = (place - nodes[low]) / (nodes[low + 1] - nodes[low])
        return self.pixels[low] + share * (self.pixels[low + 1] - self.pixels[low])

    def logs(self, plane: int | None = None) -> Array:
        """Logarithm of the data of an image, or of a plane of a cube, shape (y, x)."""
        return np.log(np.maximum(self.data if plane is None else self.data[plane], TINY))

    def planes(self, energy: ArrayLike | None) -> Array:
        """Logarithm of the brightness in the pixels, shape (y, x); with energies of shape (k,): (k, y, x).

        An energy beyond the outermost planes by more than half a bin gives nothing.
        """
        if self.nodes is None:
            return self.logs()
        if energy is None:
            raise ValueError("TemplateSpatialModel: the template is a cube; give the energy that it is wanted at")
        place = self.energy_pixel(energy)
        last = self.data.shape[0] - 1
        result = np.full((*place.shape, *self.shape), np.log(TINY))
        for index in np.ndindex(place.shape):
            nearest = np.rint(place[index])
            if 0 <= nearest <= last:
                low = int(np.clip(np.floor(place[index]), 0, max(last - 1, 0)))
                share = place[index] - low if last else 0.0
                result[index] = (1 - share) * self.logs(low) + (share * self.logs(low + 1) if last else 0.0)
        return result

    def at(self, logs: Array, y: Array, x: Array) -> Array:
        """Brightness between the pixels.

        Parameters
        ----------
        logs : numpy.ndarray
            Of `planes`, shape (..., y, x).
        y, x : numpy.ndarray
            Pixel coordinates, one shape.

        Returns
        -------
        numpy.ndarray
            Shape of the planes' leading axes, then that of the coordinates; zero off the image.
        """
        ny, nx = self.shape
        row, column = np.rint(y), np.rint(x)
        inside = (row >= 0) & (row < ny) & (column >= 0) & (column < nx)
        y, x = np.where(inside, y, 0.0), np.where(inside, x, 0.0)
        y0 = np.clip(np.floor(y), 0, max(ny - 2, 0)).astype(np.int64)
        x0 = np.clip(np.floor(x), 0, max(nx - 2, 0)).astype(np.int64)
        y1, x1 = np.minimum(y0 + 1, ny - 1), np.minimum(x0 + 1, nx - 1)
        fy, fx = y - y0, x - x0
        corners = [logs[..., y0, x0], logs[..., y0, x1], logs[..., y1, x0], logs[..., y1, x1]]
        between = (1 - fy) * ((1 - fx) * corners[0] + fx * corners[1]) + fy * ((1 - fx) * corners[2] + fx * corners[3])
        between = np.minimum(between, np.maximum.reduce(corners) + EXTRAPOLATED)
        with np.errstate(under="ignore"):
            value = np.exp(between)
        return np.where(inside & (value > 2 * TINY), value, 0.0)

    @classmethod
    def read(cls, path: str | os.PathLike[str], *, hdu: str | None = None) -> SkyTemplate:
        """Read a FITS image or cube.

        Parameters
        ----------
        path : path-like
            File; ``$NAME`` and ``~`` are expanded.
        hdu : str or None
            Name of the extension; the first that holds data unless given.

        Raises
        ------
        ValueError
            When it holds no such thing; the message names file, extension and what was found.
        """
        from astropy.io import fits

        file = Path(os.path.expandvars(str(path))).expanduser()
        if not file.is_file():
            raise ValueError(f"TemplateSpatialModel: no file {file}; check the path")
        with fits.open(file, memmap=False) as hdus:
            found = hdus[hdu] if hdu is not None else next((one for one in hdus if one.data is not None), None)
            where = f"{file}, HDU {'' if found is None else found.name or 'PRIMARY'}"
            if found is None or not isinstance(found, (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)):
                raise ValueError(f"TemplateSpatialModel: {where}: no image; write the template as a WCS image or cube")
            return _of_image(found, hdus, where)


def _triangle(a: Array, b: Array, c: Array) -> Array:
    """Solid angle of spherical triangles, sr, after van Oosterom and Strackee 1983."""
    volume = np.abs(np.sum(a * np.cross(b - a, c - a, axis=0), axis=0))
    return 2 * np.arctan2(volume, 1 + np.sum(a * b, axis=0) + np.sum(b * c, axis=0) + np.sum(c * a, axis=0))


def _of_image(hdu: Any, hdus: Any, where: str) -> SkyTemplate:
    from astropy.wcs import WCS, FITSFixedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        wcs = WCS(hdu.header, naxis=2).sub(2)
    kinds = [kind.split("-")[0] for kind in wcs.wcs.ctype]
    if kinds not in (["RA", "DEC"], ["GLON", "GLAT"]) or wcs.wcs.radesys.startswith("FK4"):
        raise ValueError(
            f"TemplateSpatialModel: {where}: axes {', '.join(wcs.wcs.ctype)} {wcs.wcs.radesys}; "
            "expected longitude and latitude in ICRS, FK5 or Galactic coordinates"
        )
    data = np.asarray(hdu.data, dtype=np.float64)
    name = _bands_name(hdu, hdus)
    bands = hdus[name] if name is not None and name in hdus else None
    if data.ndim == 3 and data.shape[0] == 1 and bands is None:
        data = data[0]
    if data.ndim != (2 if bands is None else 3):
        raise ValueError(
            f"TemplateSpatialModel: {where}: {data.ndim} axes of size {data.shape}, "
            f"{'no table' if bands is None else f'table {bands.name}'} of energies; expected an image, or a cube and its energies"
        )
    nodes, pixels = (None, None) if bands is None else _energies(bands, data.shape[0], where)
    unit, factor = _unit(hdu, hdus, bands, where)
    data = factor * np.maximum(np.where(np.isfinite(data), data, 0.0), 0.0)
    header = wcs.to_header().tostring(sep="\n", endcard=False, padding=False)
    return SkyTemplate(data, header, nodes, pixels, unit)


def _bands_name(hdu: Any, hdus: Any) -> str | None:
    if "BANDSHDU" in hdu.header:
        return str(hdu.header["BANDSHDU"])
    return next((name for name in ("EBOUNDS", "ENERGIES") if name in hdus), None) if hdu.data.ndim == 3 else None


def _energies(bands: Any, size: int, where: str) -> tuple[Array, Array]:
    """Energies (TeV) and their places on the axis."""
    from astropy import units as u

    columns = {column.name.upper(): column for column in bands.columns}
    axis = str(bands.header.get("AXCOLS1", "")).strip().upper().split(",")
    if bands.name == "ENERGIES":
        names, default = ["ENERGY"], "MeV"
    elif bands.name == "EBOUNDS":
        names, default = ["E_MIN", "E_MAX"], "keV"
    else:
        names, default = [name.strip() for name in axis], ""
    if "AXCOLS2" in bands.header or not all(name in columns for name in names) or not names[0].startswith("E"):
        raise ValueError(
            f"TemplateSpatialModel: {where}: table {bands.name} with columns {', '.join(columns)}; "
            "expected one axis, of true energy"
        )
    values = [
        np.unique(np.asarray(bands.data[columns[name].name], dtype=float))
        * u.Unit(columns[name].unit or default).to("TeV")
        for name in names
    ]
    if len(names) == 1:
        nodes, pixels = values[0], np.arange(values[0].size, dtype=float)
        planes = nodes.size
    else:
        nodes = np.append(values[0], values[1][-1])
        pixels, planes = np.arange(nodes.size) - 0.5, nodes.size - 1
    if planes != size or not (nodes > 0).all():
        raise ValueError(
            f"TemplateSpatialModel: {where}: {size} planes, but {planes} positive energies in {bands.name}"
        )
    return nodes, pixels


def _unit(hdu: Any, hdus: Any, bands: Any, where: str) -> tuple[str, float]:
    """Unit in TeV, s, m, sr, and the factor to it; without one it is brightness, or Fermi's for a Fermi template."""
    from astropy import units as u

    written = str(hdu.header.get("BUNIT", "")).strip()
    if not written and bands is not None and bands.name == "ENERGIES":
        written = "cm2 s" if "GTI" in hdus else "cm-2 s-1 MeV-1 sr-1"
    try:
        unit = u.Unit(written or "sr-1")
        si = dict(zip(unit.si.bases, unit.si.powers, strict=True))
        mass = float(si.get(u.kg, 0))
        powers = {"TeV": mass, "s": float(si.get(u.s, 0)) + 2 * mass, "m": float(si.get(u.m, 0)) - 2 * mass}
        powers["sr"] = 0.5 * float(si.get(u.rad, 0)) or -1.0 * (not si)
        target = " ".join(name if power == 1 else f"{name}{power:g}" for name, power in powers.items() if power)
        return target, float(unit.to(u.Unit(target))) if si else unit.to("")
    except (ValueError, u.UnitsError):
        raise ValueError(
            f"TemplateSpatialModel: {where}: BUNIT {written!r}, expected sr-1 or one of flux in TeV, s, m, sr"
        ) from None
