"""Exclusion masks in FITS, as Gammapy writes them: an image whose pixels are 1 where the sky is kept, 0 where excluded."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from survey.sky import frames
from survey.sky.pixels import PixelGeometry

if TYPE_CHECKING:
    from astropy.io import fits
    from astropy.wcs import WCS


@dataclass(frozen=True, eq=False)
class SkyMask:
    """An image of what is kept.

    Parameters
    ----------
    keep : numpy.ndarray
        (ny, nx) bool.
    wcs : astropy.wcs.WCS
        Celestial WCS of the image.
    """

    keep: NDArray[np.bool_]
    wcs: WCS

    def excluded(self, geometry: PixelGeometry) -> NDArray[np.bool_]:
        """Pixels (ny, nx) of a window whose centres fall on a pixel of the mask that is not kept."""
        ra, dec = (part.ravel() for part in geometry.positions)
        on_sky = np.isfinite(ra)
        lon, lat = _to_frame(ra[on_sky], dec[on_sky], self.wcs)
        # the WCS of astropy is not safe to share between threads
        wcs = self.wcs.deepcopy()
        x, y = wcs.wcs_world2pix(lon, lat, 0)
        if wcs.wcs.ctype[0].endswith("CAR"):
            # a map that starts at its reference point: the projection counts from -180 to 180 degrees around it
            turn = 360.0 / abs(wcs.wcs.cdelt[0])
            x = (x + 0.5) % turn - 0.5
        seen = np.isfinite(x) & np.isfinite(y)
        rows = np.floor(np.where(seen, y, -1) + 0.5).astype(np.int64)
        columns = np.floor(np.where(seen, x, -1) + 0.5).astype(np.int64)
        ny, nx = self.keep.shape
        seen &= (rows >= 0) & (rows < ny) & (columns >= 0) & (columns < nx)
        out = np.zeros(ra.size, dtype=bool)
        out[np.flatnonzero(on_sky)[seen]] = ~self.keep[rows[seen], columns[seen]]
        return out.reshape(geometry.shape)


def _to_frame(ra: NDArray[np.float64], dec: NDArray[np.float64], wcs: WCS) -> tuple[NDArray[Any], NDArray[Any]]:
    from astropy.coordinates import SkyCoord
    from astropy.wcs.utils import wcs_to_celestial_frame

    frame = wcs_to_celestial_frame(wcs)
    if frame.name in frames.FRAMES:
        return frames.from_icrs(ra, dec, frame.name)
    sky = SkyCoord(ra, dec, unit="deg").transform_to(frame).spherical
    return sky.lon.deg, sky.lat.deg


def has_image(content: bytes, path: str) -> bool:
    """Whether FITS content has an image, and so is a mask instead of a table of regions."""
    with _open(content, path) as hdus:
        return any(hdu.is_image and hdu.header.get("NAXIS", 0) >= 2 for hdu in hdus)


def read_mask(content: bytes, path: str) -> SkyMask:
    """The first image of FITS content as a mask.

    Raises
    ------
    ValueError
        When it has no celestial WCS, or more than one plane.
    """
    from astropy.wcs import WCS, FITSFixedWarning

    with _open(content, path) as hdus, warnings.catch_warnings():
        # dates and units that astropy puts right do not concern the directions of pixels
        warnings.simplefilter("ignore", FITSFixedWarning)
        hdu = next(hdu for hdu in hdus if hdu.is_image and hdu.header.get("NAXIS", 0) >= 2)
        wcs = WCS(hdu.header).celestial
        data = np.asarray(hdu.data)
    if wcs.naxis != 2 or not wcs.has_celestial:
        raise ValueError(f"exclusion {path}: HDU {hdu.name or 0} has no celestial WCS, expected a map of the sky")
    planes = int(np.prod(data.shape[:-2]))
    if planes != 1:
        raise ValueError(f"exclusion {path}: HDU {hdu.name or 0} has shape {data.shape}, expected one image")
    image = data.reshape(data.shape[-2:])
    keep = np.ascontiguousarray(image != 0)
    return SkyMask(keep, wcs)


def _open(content: bytes, path: str) -> fits.HDUList:
    from astropy.io import fits

    try:
        return fits.open(io.BytesIO(content), memmap=False)
    except OSError as error:
        raise ValueError(f"exclusion {path}: not readable as FITS ({error})") from error
