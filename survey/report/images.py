"""FITS images of maps, as DS9 and Aladin read them: the celestial axes first, then energy."""

from __future__ import annotations

import io

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray


def image_hdu(
    values: NDArray, wcs: WCS, *, unit: str, name: str, bands: NDArray[np.float64] | None = None
) -> fits.PrimaryHDU:
    """Image HDU of a map.

    Parameters
    ----------
    values : numpy.ndarray
        (y, x), or (energy, y, x) with the limits of its energy bands in `bands`. Pixels without data are NaN.
    wcs : astropy.wcs.WCS
        Of the celestial axes.
    unit : str
        Unit of the values in FITS notation.
    name : str
        What it shows, written as ``HDUNAME``.
    bands : numpy.ndarray or None
        (energy, 2): lower and upper limit of every band, TeV; bands may overlap.

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
        if bands is None:
            raise ValueError(f"map {name!r} has an energy axis: its bands are needed to write the image")
        _energy_keywords(hdu.header, bands)
    return hdu


def _energy_keywords(header: fits.Header, bands: NDArray[np.float64]) -> None:
    """Third axis: the standard's logarithmic energy where the bands adjoin with equal steps, their number elsewhere."""
    steps = np.log(bands[:, 1] / bands[:, 0])
    adjoin = np.allclose(bands[1:, 0], bands[:-1, 1], rtol=1e-9)
    header["WCSAXES"] = 3
    header["CRPIX3"] = 1.0
    if adjoin and np.allclose(steps, steps[0], rtol=1e-6):
        reference = float(np.sqrt(bands[0, 0] * bands[0, 1]))
        header["CTYPE3"] = ("ENER-LOG", "energy, equal steps in its logarithm")
        header["CUNIT3"] = "TeV"
        header["CRVAL3"] = reference
        header["CDELT3"] = (reference * float(steps[0]), "TeV at the reference")
    else:
        header["CTYPE3"] = ("BAND", "number of the energy band, see EBOUNDS")
        header["CRVAL3"] = 0.0
        header["CDELT3"] = 1.0


def energy_bands_hdu(bands: NDArray[np.float64]) -> fits.BinTableHDU:
    """Table of the energy bands of a cube (``EBOUNDS``: CHANNEL, E_MIN, E_MAX in TeV)."""
    columns = [
        fits.Column("CHANNEL", "I", array=np.arange(bands.shape[0])),
        fits.Column("E_MIN", "D", unit="TeV", array=bands[:, 0]),
        fits.Column("E_MAX", "D", unit="TeV", array=bands[:, 1]),
    ]
    return fits.BinTableHDU.from_columns(columns, name="EBOUNDS")


def to_fits(values: NDArray, wcs: WCS, *, unit: str, name: str, bands: NDArray[np.float64] | None = None) -> bytes:
    """FITS file of a map as bytes; parameters as in `image_hdu`."""
    hdus = fits.HDUList([image_hdu(values, wcs, unit=unit, name=name, bands=bands)])
    if values.ndim == 3 and bands is not None:
        hdus.append(energy_bands_hdu(bands))
    buffer = io.BytesIO()
    hdus.writeto(buffer)
    return buffer.getvalue()
