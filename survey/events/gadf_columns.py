"""The columns of GADF tables: names and units that the format gives, and FITS columns of any NumPy type."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

EVENT_UNITS: Mapping[str, str] = {
    "TIME": "s",
    "RA": "deg",
    "DEC": "deg",
    "ENERGY": "TeV",
    "ENERGY_ERR": "TeV",
    "DIR_ERR": "deg",
    "GLON": "deg",
    "GLAT": "deg",
    "ALT": "deg",
    "AZ": "deg",
    "DETX": "deg",
    "DETY": "deg",
    "THETA": "deg",
    "PHI": "deg",
    "COREX": "m",
    "COREY": "m",
}
AXIS_COLUMNS: Mapping[str, tuple[str, str]] = {
    "energy": ("ENERG", "TeV"),
    "energy_true": ("ENERG", "TeV"),
    "offset": ("THETA", "deg"),
    "rad": ("RAD", "deg"),
    "migra": ("MIGRA", ""),
    "detx": ("DETX", "deg"),
    "dety": ("DETY", "deg"),
}
INDEX_UNITS: Mapping[str, str] = {
    "RA_PNT": "deg",
    "DEC_PNT": "deg",
    "ALT_PNT": "deg",
    "AZ_PNT": "deg",
    "ZEN_PNT": "deg",
    "RA_OBJ": "deg",
    "DEC_OBJ": "deg",
    "TSTART": "s",
    "TSTOP": "s",
    "ONTIME": "s",
    "LIVETIME": "s",
}


def fits_column(name: str, values: NDArray | None, *, unit: str = "", bits: bool = False) -> fits.Column:
    """A FITS column of `values` (rows, ...) in their own type.

    Parameters
    ----------
    name : str
        Of the column.
    values : numpy.ndarray
        Bool, integer, float or text; further dimensions become TDIM.
    unit : str
        FITS unit; empty for none.
    bits : bool
        Write booleans as a bit array (X) instead of logical bytes (L).

    Raises
    ------
    ValueError
        When FITS has no format for the type.
    """
    array = np.asarray(values)
    if array.dtype == np.int8:
        # FITS bytes are unsigned, and astropy reads shifted ones back as floats.
        array = array.astype(np.int16)
    width = int(np.prod(array.shape[1:], dtype=np.int64))
    dim = "(" + ",".join(str(n) for n in reversed(array.shape[1:])) + ")" if array.ndim > 2 else None
    bzero = None
    code = {"u1": "B", "i2": "I", "i4": "J", "i8": "K", "f4": "E", "f8": "D", "b1": "L"}.get(array.dtype.str[1:])
    if array.dtype.kind == "b" and bits:
        code = "X"
    elif array.dtype.kind == "u" and array.dtype.itemsize > 1:
        code = {2: "I", 4: "J", 8: "K"}[array.dtype.itemsize]
        bzero = 1 << (8 * array.dtype.itemsize - 1)
    elif array.dtype.kind in "US":
        width = max(1, array.dtype.itemsize // (4 if array.dtype.kind == "U" else 1))
        code = "A"
    if code is None:
        raise ValueError(f"column {name}: type {array.dtype} has no FITS format; expected bool, integer, float or text")
    return fits.Column(name=name, format=f"{width}{code}", array=array, unit=unit or None, dim=dim, bzero=bzero)
