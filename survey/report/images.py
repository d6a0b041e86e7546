"""FITS images of maps, as DS9 and Aladin read them: the celestial axes first, then energy."""

from __future__ import annotations

import io
from typing import Any, BinaryIO, Self

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import DTypeLike, NDArray

from survey.sky.pixels import Window

BLOCK = 2880
"""Bytes; what a FITS file is made of."""


class ImageFile:
    """A FITS image that is written in parts, so that it need not be in memory.

    Used as a context manager; pixels that no part holds are 0.

    Parameters
    ----------
    stream : binary file
        Empty, with ``seek``.
    shape : tuple of int
        (y, x), or (energy, y, x) with the limits of its energy bands in `bands`.
    dtype : numpy.dtype
        Of the values: whole numbers are written as int32, everything else as float32.
    wcs : astropy.wcs.WCS
        Of the celestial axes.
    unit : str
        Unit of the values in FITS notation.
    name : str
        What it shows, written as ``HDUNAME``.
    bands : numpy.ndarray or None
        (energy, 2): lower and upper limit of every band, TeV; bands may overlap.
    """

    def __init__(
        self,
        stream: BinaryIO,
        shape: tuple[int, ...],
        dtype: DTypeLike,
        wcs: WCS,
        *,
        unit: str,
        name: str,
        bands: NDArray[np.float64] | None = None,
    ) -> None:
        self._stream = stream
        self._shape = (1, *shape) if len(shape) == 2 else shape
        self._dtype = np.dtype(">i4" if np.issubdtype(dtype, np.integer) else ">f4")
        self._bands = bands if len(shape) == 3 else None
        hdu = fits.PrimaryHDU(np.empty((1,) * len(shape), self._dtype), wcs.to_header())
        header = hdu.header
        for axis, size in enumerate(reversed(shape), start=1):
            header[f"NAXIS{axis}"] = size
        header["BUNIT"] = (unit, "unit of the values")
        header["HDUNAME"] = (name, "what the image shows")
        if len(shape) == 3:
            if bands is None:
                raise ValueError(f"map {name!r} has an energy axis: its bands are needed to write the image")
            _energy_keywords(header, bands)
            header.set("EXTEND", True, "the table of bands follows", after="NAXIS3")
        stream.write(header.tostring().encode("ascii"))
        self._start = stream.tell()

    def put(self, values: NDArray[Any], window: Window) -> None:
        """Write the values of a window, (y, x) or (energy, y, x); pixels without data are NaN."""
        _, ny, nx = self._shape
        for number, plane in enumerate(np.asarray(values, dtype=self._dtype).reshape(-1, *values.shape[-2:])):
            for y, row in enumerate(plane, start=window.y0):
                self._stream.seek(self._start + ((number * ny + y) * nx + window.x0) * self._dtype.itemsize)
                self._stream.write(row.tobytes())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Fill up the last block, and append the table of bands."""
        if kind is not None:
            return
        size = int(np.prod(self._shape)) * self._dtype.itemsize
        self._stream.seek(self._start + size)
        self._stream.write(bytes(-size % BLOCK))
        if self._bands is not None:
            table = io.BytesIO()
            fits.HDUList([fits.PrimaryHDU(), energy_bands_hdu(self._bands)]).writeto(table)
            self._stream.write(table.getvalue()[BLOCK:])  # without the empty image in front


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
