"""FITS images of maps, as DS9 and Aladin read them: the celestial axes first, then energy."""

from __future__ import annotations

import io

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray


def image_hdu(values: NDArray, wcs: WCS, *, unit: str, name: str, edges: NDArray[np.float64] | None = None) -> fits.PrimaryHDU:
    """Image HDU of a map.

    Parameters
    ----------
    values : numpy.ndarray
        (y, x), or (energy, y, x) with the energy edges (TeV) in `edges`. Pixels without data are NaN.
    wcs : astropy.wcs.WCS
        Of the celestial axes.
    unit : str
        Unit of the values in FITS notation.
    name : str
        What it shows, written as ``HDUNAME``.
    edges : numpy.ndarray or None
        Energy edges of a cube.

    Returns
    -------
    astropy.io.fits.PrimaryHDU
        float32 for measured values, int32 for counts.
    """
    if np.issubdtype(values.dtype, np.integer):
        data = values.astype(">i4")
    else:
        data = values.astype(">f4")
    header = wcs.to_header()
    hdu = fits.PrimaryHDU(data=data, header=header)
    hdu.header["BUNIT"] = (unit, "unit of the values")
    hdu.header["HDUNAME"] = (name, "what the image shows")
    if values.ndim == 3:
        if edges is None:
            raise ValueError(f"map {name!r} has an energy axis: its edges are needed to write the image")
        _energy_keywords(hdu.header, edges)
    return hdu


def _energy_keywords(header: fits.Header, edges: NDArray[np.float64]) -> None:
    """Third axis: the standard's logarithmic energy where the bands are equal in logarithm, their number elsewhere."""
    steps = np.diff(np.log(edges))
    header["WCSAXES"] = 3
    header["CRPIX3"] = 1.0
    if np.allclose(steps, steps[0], rtol=1e-6):
        reference = float(np.sqrt(edges[0] * edges[1]))
        header["CTYPE3"] = ("ENER-LOG", "energy, equal steps in its logarithm")
        header["CUNIT3"] = "TeV"
        header["CRVAL3"] = reference
        header["CDELT3"] = (reference * float(steps[0]), "TeV at the reference")
    else:
        header["CTYPE3"] = ("BAND", "number of the energy band, see EBOUNDS")
        header["CRVAL3"] = 0.0
        header["CDELT3"] = 1.0


def energy_bands_hdu(edges: NDArray[np.float64]) -> fits.BinTableHDU:
    """Table of the energy bands of a cube (``EBOUNDS``: CHANNEL, E_MIN, E_MAX in TeV)."""
    columns = [
        fits.Column("CHANNEL", "I", array=np.arange(edges.size - 1)),
        fits.Column("E_MIN", "D", unit="TeV", array=edges[:-1]),
        fits.Column("E_MAX", "D", unit="TeV", array=edges[1:]),
    ]
    return fits.BinTableHDU.from_columns(columns, name="EBOUNDS")


def to_fits(values: NDArray, wcs: WCS, *, unit: str, name: str, edges: NDArray[np.float64] | None = None) -> bytes:
    """FITS file of a map as bytes; parameters as in `image_hdu`."""
    hdus = fits.HDUList([image_hdu(values, wcs, unit=unit, name=name, edges=edges)])
    if values.ndim == 3 and edges is not None:
        hdus.append(energy_bands_hdu(edges))
    buffer = io.BytesIO()
    hdus.writeto(buffer)
    return buffer.getvalue()
