"""The DL4 cube as one FITS file that ``gammapy.datasets.MapDataset.read`` opens.

The layout is Gammapy's own ("gadf" maps with a table of bands beside every image):
https://gamma-astro-data-formats.readthedocs.io/en/latest/skymaps/wcs/index.html. Responses are ratios of the cube's
sums: PSF = psf_exposure / irf_exposure and dispersion = edisp_exposure / irf_exposure, on the grid of response cells.
"""

from __future__ import annotations

import io
import math

import numpy as np
import xarray as xr
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from survey.version import __version__

Axis = tuple[str, NDArray[np.float64]]
COLUMNS = {"energy": ("ENERGY", "E_MIN", "E_MAX"), "energy_true": ("ENERGY_TRUE", "ENERGY_TRUE_MIN", "ENERGY_TRUE_MAX")}
COLUMNS["rad"] = ("RAD", "RAD_MIN", "RAD_MAX")


def cell_wcs(wcs: WCS, cell: int) -> WCS:
    """WCS of the response cells of `cell` x `cell` pixels on the pixel grid `wcs`."""
    cells = wcs.deepcopy()
    cells.wcs.crpix = (np.asarray(wcs.wcs.crpix) - 0.5) / cell + 0.5
    cells.wcs.cdelt = np.asarray(wcs.wcs.cdelt) * cell
    cells.wcs.set()
    return cells


def _centers(name: str, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0.5 * (edges[1:] + edges[:-1]) if name == "rad" else np.sqrt(edges[1:] * edges[:-1])


def _bands_hdu(extname: str, axes: tuple[Axis, ...]) -> fits.BinTableHDU:
    """Table of the non-celestial bins, the first axis running fastest."""
    sizes = [edges.size - 1 for _, edges in axes]
    channel = np.arange(math.prod(sizes))
    columns = [fits.Column("CHANNEL", "K", array=channel)]
    # The first axis is the FITS-fastest one, so its index is the channel modulo its size.
    stride = 1
    for (name, edges), size in zip(axes, sizes, strict=True):
        index = (channel // stride) % size
        stride *= size
        center, low, high = COLUMNS[name]
        unit = "deg" if name == "rad" else "TeV"
        columns.append(fits.Column(center, "D", unit=unit, array=_centers(name, edges)[index]))
        columns.append(fits.Column(low, "D", unit=unit, array=edges[:-1][index]))
        columns.append(fits.Column(high, "D", unit=unit, array=edges[1:][index]))
    hdu = fits.BinTableHDU.from_columns(columns, name=f"{extname}_BANDS")
    _axis_keywords(hdu.header, axes)
    return hdu


def _axis_keywords(header: fits.Header, axes: tuple[Axis, ...]) -> None:
    for number, (name, _) in enumerate(axes, start=1):
        _, low, high = COLUMNS[name]
        header[f"AXCOLS{number}"] = f"{low},{high}"
        header[f"INTERP{number}"] = "lin" if name == "rad" else "log"


def _map_hdus(
    extname: str, values: NDArray, wcs: WCS, axes: tuple[Axis, ...], unit: str
) -> list[fits.hdu.base.ExtensionHDU]:
    header = wcs.to_header()
    _axis_keywords(header, axes)
    header["WCSSHAPE"] = "(" + ",".join(str(n) for n in values.shape[::-1]) + ")"
    header["BANDSHDU"] = f"{extname}_BANDS"
    header["META"] = "{}"
    header["BUNIT"] = unit
    return [fits.ImageHDU(values, header=header, name=extname), _bands_hdu(extname, axes)]


def _ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float32]:
    result = np.zeros(numerator.shape, dtype=np.float32)
    np.divide(numerator, denominator, out=result, where=denominator > 0, casting="same_kind")
    return result


def map_dataset(cube: xr.Dataset, wcs: WCS, *, cell: int, name: str = "stacked") -> fits.HDUList:
    """FITS file of a DL4 cube in Gammapy's layout.

    Parameters
    ----------
    cube : xarray.Dataset
        DL4 cube with the variables of ``survey.store.variables.CUBE``; those that are missing are left out.
    wcs : astropy.wcs.WCS
        Of its pixels.
    cell : int
        Pixels along a side of a response cell.
    name : str
        Of the dataset.

    Returns
    -------
    astropy.io.fits.HDUList
        ``COUNTS``, ``EXPOSURE``, ``BACKGROUND``, ``EDISP`` (a kernel map), ``EDISP_EXPOSURE``, ``PSF``, ``PSF_EXPOSURE``,
        ``MASK_SAFE``, each with its ``_BANDS``, and ``GTI``.
    """
    primary = fits.PrimaryHDU()
    primary.header["NAME"] = name
    primary.header["CREATOR"] = f"gammasurvey {__version__}"
    hdus: list = [primary]
    energy: Axis = (
        ("energy", cube["energy_edges"].values) if "energy_edges" in cube.variables else ("energy", np.array([]))
    )
    energy_true: Axis = ("energy_true", cube["energy_true_edges"].values)
    irf_wcs = cell_wcs(wcs, cell)
    if "counts" in cube:
        hdus += _map_hdus("COUNTS", cube["counts"].values.astype(np.float32), wcs, (energy,), "")
    if "exposure" in cube:
        hdus += _map_hdus("EXPOSURE", cube["exposure"].values.astype(np.float32), wcs, (energy_true,), "m2 s")
    if "background" in cube:
        hdus += _map_hdus("BACKGROUND", cube["background"].values.astype(np.float32), wcs, (energy,), "")
    if "irf_exposure" in cube:
        exposure = cube["irf_exposure"].values[:, np.newaxis]
        if "edisp_exposure" in cube:
            kernel = _ratio(cube["edisp_exposure"].values, exposure)
            hdus += _map_hdus("EDISP", kernel, irf_wcs, (energy, energy_true), "")
            squashed: Axis = ("energy", energy[1][[0, -1]])
            hdus += _map_hdus("EDISP_EXPOSURE", exposure.astype(np.float32), irf_wcs, (squashed, energy_true), "m2 s")
        if "psf_exposure" in cube:
            rad: Axis = ("rad", cube["rad_edges"].values)
            hdus += _map_hdus("PSF", _ratio(cube["psf_exposure"].values, exposure), irf_wcs, (rad, energy_true), "sr-1")
            whole: Axis = ("rad", rad[1][[0, -1]])
            hdus += _map_hdus("PSF_EXPOSURE", exposure.astype(np.float32), irf_wcs, (whole, energy_true), "m2 s")
    if "n_safe" in cube:
        hdus += _map_hdus("MASK_SAFE", (cube["n_safe"].values > 0).astype(np.int64), wcs, (energy,), "")
    if "gti_start" in cube:
        hdus.append(_gti_hdu(cube))
    return fits.HDUList(hdus)


def _gti_hdu(cube: xr.Dataset) -> fits.BinTableHDU:
    """Good time intervals, s since the reference that the cube's attributes give."""
    columns = [
        fits.Column("START", "D", unit="s", array=cube["gti_start"].values),
        fits.Column("STOP", "D", unit="s", array=cube["gti_stop"].values),
    ]
    hdu = fits.BinTableHDU.from_columns(columns, name="GTI")
    hdu.header["MJDREFI"] = int(cube["gti_start"].attrs["mjdrefi"])
    hdu.header["MJDREFF"] = float(cube["gti_start"].attrs["mjdreff"])
    hdu.header["TIMESYS"] = str(cube["gti_start"].attrs["timesys"])
    return hdu


def to_bytes(hdus: fits.HDUList) -> bytes:
    """The FITS file as bytes."""
    buffer = io.BytesIO()
    hdus.writeto(buffer)
    return buffer.getvalue()
