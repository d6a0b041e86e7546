"""Exclusion: where there may be gamma rays, from a FITS mask, a file of regions, or regions in the configuration.

Reading and checking are here; which pixels a region holds is worked out in `survey.sky.shapes`.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import warnings
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from survey.sky.mask import SkyMask, has_image, read_mask
from survey.sky.pixels import PixelGeometry
from survey.sky.shapes import Shape, make_shape
from survey.store import urls

REGION_KEYS = {
    "circle": ("radius",),
    "annulus": ("inner_radius", "outer_radius"),
    "ellipse": ("width", "height", "angle"),
    "rectangle": ("width", "height", "angle"),
}
"""Sizes of the regions that a configuration may hold, beside their frame, lon and lat."""


@dataclass(frozen=True, eq=False)
class ExclusionSpec:
    """Where an exclusion comes from.

    Parameters
    ----------
    path : str or None
        A FITS mask (1 = keep, 0 = excluded, as Gammapy's), or a file that the regions package reads (DS9, CRTF, FITS).
    regions : tuple of str or mapping
        Regions themselves: DS9 strings such as ``galactic;circle(0,0,1)``, or mappings with ``type`` (or ``shape``),
        ``frame``, ``lon``, ``lat`` and the sizes of `REGION_KEYS`; numbers are deg.
    """

    path: str | None = None
    regions: tuple[str | Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        if (self.path is None) == (not self.regions):
            raise ValueError(
                "exclusion: found " + ("neither" if self.path is None else "both") + " of a file and regions"
            )

    @classmethod
    def from_value(cls, value: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]]) -> ExclusionSpec:
        """From what a configuration holds: a path, one region as a mapping, or a list of regions."""
        if isinstance(value, str):
            return cls(path=value)
        return cls(regions=(value,)) if isinstance(value, Mapping) else cls(regions=tuple(value))

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        regions = [region if isinstance(region, str) else dict(region) for region in self.regions]
        return {"path": self.path, "regions": regions}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ExclusionSpec:
        """Inverse of `as_dict`."""
        return cls(path=values["path"], regions=tuple(values["regions"]))

    def content_key(self) -> str:
        """Hash of what is excluded: of the file's content, wherever it lies, or of the regions."""
        if self.path is not None:
            return hashlib.sha256(_read(self.path)).hexdigest()
        return hashlib.sha256(json.dumps(self.as_dict()["regions"], sort_keys=True).encode()).hexdigest()


def exclusion_mask(geometry: PixelGeometry, exclusion: ExclusionSpec | str | Sequence[Any] | None) -> NDArray[np.bool_]:
    """Pixels of a window whose centres are excluded.

    Parameters
    ----------
    geometry : PixelGeometry
        The window.
    exclusion : ExclusionSpec, or what `ExclusionSpec.from_value` takes, or None
        What is excluded. Nothing is, outside of a mask's pixels.

    Returns
    -------
    numpy.ndarray
        (ny, nx) bool, True where excluded; False off the sky.

    Raises
    ------
    ValueError
        When the file or a region cannot be understood; a line for each.
    """
    if exclusion is None:
        return np.zeros(geometry.shape, dtype=bool)
    spec = exclusion if isinstance(exclusion, ExclusionSpec) else ExclusionSpec.from_value(exclusion)
    mask, shapes = load_exclusion(spec)
    if mask is not None:
        return mask.excluded(geometry)
    return _inside(shapes, geometry.vectors)


def load_exclusion(spec: ExclusionSpec) -> tuple[SkyMask | None, tuple[Shape, ...]]:
    """The mask, or else the shapes, of an exclusion; kept in memory while the file does not change."""
    if spec.path is None:
        return _load(json.dumps(spec.as_dict()), ())
    stamp: tuple[int, ...] = ()
    if urls.is_local(spec.path) and urls.exists(spec.path):
        status = urls.local_path(spec.path).stat()
        stamp = status.st_mtime_ns, status.st_size
    return _load(json.dumps(spec.as_dict()), stamp)


@lru_cache(maxsize=4)
def _load(text: str, stamp: tuple[int, ...]) -> tuple[SkyMask | None, tuple[Shape, ...]]:
    spec = ExclusionSpec.from_dict(json.loads(text))
    if spec.path is None:
        return None, _shapes_of_list(spec.regions)
    content = _unpacked(_read(spec.path), spec.path)
    if content[:6] == b"SIMPLE":
        if has_image(content, spec.path):
            return read_mask(content, spec.path), ()
        return None, _shapes_of_fits(content, spec.path)
    return None, _shapes_of_text(content, spec.path)


def _read(path: str) -> bytes:
    try:
        return urls.read_bytes(path)
    except (FileNotFoundError, IsADirectoryError):
        raise ValueError(f"exclusion {path}: there is no such file") from None


def _unpacked(content: bytes, path: str) -> bytes:
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"exclusion {path}: not readable as a gzipped file ({error})") from error


def _inside(shapes: Sequence[Shape], vectors: NDArray[np.float64]) -> NDArray[np.bool_]:
    """In any shape, and in none of those that DS9 marks with a minus."""
    excluded = np.zeros(vectors.shape[1:], dtype=bool)
    for shape in sorted(shapes, key=lambda shape: not shape.include):
        if shape.include:
            excluded |= shape.contains(vectors)
        else:
            excluded &= ~shape.contains(vectors)
    return excluded


def _shapes_of_list(regions: Sequence[str | Mapping[str, Any]]) -> tuple[Shape, ...]:
    shapes: list[Shape] = []
    problems = []
    for number, region in enumerate(regions):
        where = f"exclusion region {number}"
        try:
            if isinstance(region, str):
                shapes += _parse(region, f"{where} {region!r}", "ds9")
            else:
                shapes.append(make_shape(_sky_region(region, where), where))
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))
    return tuple(shapes)


def _shapes_of_text(content: bytes, path: str) -> tuple[Shape, ...]:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ValueError(
            f"exclusion {path}: neither FITS nor text, expected a FITS mask or a DS9 region file"
        ) from None
    return tuple(_parse(text, f"exclusion {path}", "crtf" if text.startswith("#CRTF") else "ds9"))


def _parse(text: str, where: str, form: str) -> list[Shape]:
    from regions import Regions

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = list(Regions.parse(text, format=form))
        except Exception as error:
            raise ValueError(f"{where}: not understood ({error}), expected regions in the format {form}") from error
    if caught:
        raise ValueError(f"{where}: {'; '.join(str(warning.message) for warning in caught)}")
    if not found:
        raise ValueError(f"{where}: found no region, expected one such as 'galactic;circle(0,0,1)'")
    return _shapes(found, where)


def _shapes_of_fits(content: bytes, path: str) -> tuple[Shape, ...]:
    from astropy.table import Table
    from regions import Regions

    where = f"exclusion {path}"
    try:
        found = list(Regions.parse(Table.read(io.BytesIO(content), format="fits"), format="fits"))
    except Exception as error:
        raise ValueError(f"{where}: neither an image nor regions ({error}), expected a FITS mask") from error
    return tuple(_shapes(found, where))


def _shapes(found: Sequence[Any], where: str) -> list[Shape]:
    from regions import TextSkyRegion

    shapes = []
    for number, region in enumerate(found):
        # a label excludes nothing and is common in DS9 files
        if not isinstance(region, TextSkyRegion):
            name = where if len(found) == 1 else f"{where}, region {number + 1}"
            shapes.append(make_shape(region, name))
    return shapes


def _sky_region(values: Mapping[str, Any], where: str) -> Any:
    """A region of the regions package from a mapping of a configuration."""
    import regions
    from astropy.coordinates import SkyCoord

    kind = values.get("type", values.get("shape", "circle"))
    if kind not in REGION_KEYS:
        raise ValueError(f"{where}: shape {kind!r}, expected one of {', '.join(REGION_KEYS)}")
    given = set(values) - {"type", "shape"}
    needed = {"frame", "lon", "lat", *REGION_KEYS[kind]} - {"angle"}
    if not needed <= given or given - needed - {"angle"}:
        raise ValueError(f"{where}: {kind} with {', '.join(sorted(given))}, expected {', '.join(sorted(needed))}")
    sizes = {name: _angle(values[name], f"{where}: {name}") for name in REGION_KEYS[kind] if name in values}
    place = [_angle(values[name], f"{where}: {name}") for name in ("lon", "lat")]
    try:
        center = SkyCoord(*place, frame=values["frame"])
        shape = {
            "circle": regions.CircleSkyRegion,
            "annulus": regions.CircleAnnulusSkyRegion,
            "ellipse": regions.EllipseSkyRegion,
            "rectangle": regions.RectangleSkyRegion,
        }[kind]
        return shape(center, **sizes)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _angle(value: Any, where: str) -> Any:
    """An angle from a number in deg or text with a unit."""
    from astropy.coordinates import Angle

    try:
        return Angle(float(value), "deg") if isinstance(value, int | float) else Angle(value)
    except Exception as error:
        raise ValueError(f"{where}: {value!r} ({error}), expected an angle such as '0.5 deg'") from error
