"""Peaks of a significance map: what stands out, one row each.

A peak is the greatest value within a distance of itself. It is a first look, not a catalogue: neighbours are not
separated, and a source that is larger than the distance may give several.
"""

from __future__ import annotations

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import QTable
from astropy.wcs import WCS
from astropy.wcs.utils import pixel_to_skycoord, proj_plane_pixel_scales
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter


def find_peaks(image: NDArray[np.float64], wcs: WCS, *, threshold: float = 5.0, separation: float = 0.3) -> QTable:
    """Peaks of an image.

    Parameters
    ----------
    image : numpy.ndarray
        Significance, shape (y, x); NaN where there is none.
    wcs : astropy.wcs.WCS
        Celestial, of the image's pixels.
    threshold : float
        Least value of a peak.
    separation : float
        Least distance between two peaks, deg: of two that are nearer the greater one is kept.

    Returns
    -------
    astropy.table.QTable
        Columns ``value``, ``y``, ``x`` (pixels) and ``position`` (in the frame of the WCS), greatest value first.

    Raises
    ------
    ValueError
        When `separation` is not positive.
    """
    if not separation > 0:
        raise ValueError(f"found a separation of {separation:g} deg, expected one above zero")
    values = np.where(np.isfinite(image), image, -np.inf)
    pixel = float(np.min(proj_plane_pixel_scales(wcs.celestial)))
    reach = max(1, round(separation / pixel))
    is_peak = (values >= threshold) & (values == maximum_filter(values, size=3, mode="constant", cval=-np.inf))
    y, x = np.nonzero(is_peak)
    order = np.argsort(-values[y, x], kind="stable")
    kept: list[int] = []
    for k in order:
        if all(np.hypot(y[k] - y[j], x[k] - x[j]) > reach for j in kept):
            kept.append(int(k))
    chosen = np.array(kept, dtype=np.int64)
    table = QTable({"value": values[y, x][chosen], "y": y[chosen], "x": x[chosen]})
    table["position"] = pixel_to_skycoord(x[chosen], y[chosen], wcs) if chosen.size else SkyCoord([], [], unit="deg")
    return table


def nearest_names(position: SkyCoord, names: list[str], places: SkyCoord, *, within: float = 0.3) -> list[str]:
    """Name of the place next to each position; empty where none is near enough.

    Parameters
    ----------
    position : astropy.coordinates.SkyCoord
        Of any number of positions.
    names : list of str
        Of the places.
    places : astropy.coordinates.SkyCoord
        As many.
    within : float
        Greatest distance, deg.
    """
    if not names or not len(position):
        return [""] * len(position)
    index, distance, _ = position.match_to_catalog_sky(places)
    near = distance <= within * u.deg
    return [names[i] if ok else "" for i, ok in zip(np.atleast_1d(index), np.atleast_1d(near), strict=True)]
