"""Light curves in FITS files: tables of time and norm, and Gammapy's maps of a region with axes of time and energy."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class LightCurve(NamedTuple):
    """What a file holds."""

    time: Array
    """Days since the reference."""
    norm: Array
    """Shape (time,), or (energy, time)."""
    energy: Array | None
    """TeV."""
    t_ref: float
    """Reference, MJD (UTC)."""


def read_table(file: Path) -> LightCurve:
    """A table with columns TIME and NORM and the reference time in its header."""
    from astropy import units as u
    from astropy.io import fits

    with fits.open(file, memmap=False) as hdus:
        hdu = next((one for one in hdus if isinstance(one, fits.BinTableHDU)), None)
        columns = {} if hdu is None else {column.name.upper(): column for column in hdu.columns}
        if hdu is None or not {"TIME", "NORM"} <= set(columns):
            raise ValueError(
                f"LightCurveTemplateTemporalModel: {file}: columns {', '.join(columns) or 'none'}, expected TIME and NORM"
            )
        written = columns["TIME"].unit
        unit = u.Unit(written) if written else u.dimensionless_unscaled
        if not unit.is_equivalent("d"):
            if "TIMEUNIT" not in hdu.header:
                raise ValueError(f"LightCurveTemplateTemporalModel: {file}: no unit of TIME; set TUNIT or TIMEUNIT")
            unit = u.Unit(hdu.header["TIMEUNIT"])
        time = np.asarray(hdu.data[columns["TIME"].name], dtype=float) * unit.to("d")
        norm = np.asarray(hdu.data[columns["NORM"].name], dtype=float).ravel()  # the peer writes (n, 1, 1)
        return LightCurve(time, norm, None, _reference(hdu.header, file, "utc"))


def read_map(file: Path) -> LightCurve:
    """A region's map: the data flat in SKYMAP, the axes in SKYMAP_BANDS."""
    from astropy.io import fits

    with fits.open(file, memmap=False) as hdus:
        if not {"SKYMAP", "SKYMAP_BANDS"} <= {hdu.name for hdu in hdus}:
            names = ", ".join(hdu.name for hdu in hdus)
            raise ValueError(f"LightCurveTemplateTemporalModel: {file}: HDUs {names}, expected SKYMAP and SKYMAP_BANDS")
        bands = hdus["SKYMAP_BANDS"]
        axes = [_axis(bands, number, file) for number in range(1, 6) if f"AXCOLS{number}" in bands.header]
        names_found = [name for name, _ in axes]
        if sorted(names_found) not in (["TIME"], ["ENERGY", "TIME"]):
            raise ValueError(
                f"LightCurveTemplateTemporalModel: {file}: axes {', '.join(names_found)}, expected time, or time and energy"
            )
        data = np.asarray(hdus["SKYMAP"].data["DATA"], dtype=float)
        # the first axis varies fastest
        data = data.reshape([nodes.size for _, nodes in reversed(axes)])
        found = dict(axes)
        if names_found == ["ENERGY", "TIME"]:
            data = data.T
        return LightCurve(found["TIME"], data, found.get("ENERGY"), _reference(bands.header, file, "tt"))


def _axis(bands: Any, number: int, file: Path) -> tuple[str, Array]:
    """Name and centres of an axis, in d or TeV."""
    from astropy import units as u

    columns = [name.strip() for name in str(bands.header[f"AXCOLS{number}"]).split(",")]
    name = columns[0].upper().replace("_MIN", "").replace("E", "ENERGY") if columns[0].upper() == "E_MIN" else ""
    name = name or columns[0].upper().replace("_MIN", "")
    if name == "ENERGY_TRUE":
        name = "ENERGY"
    wanted = {"TIME": "d", "ENERGY": "TeV"}.get(name)
    if wanted is None:
        return name, np.zeros(1)
    ends = [
        np.unique(np.asarray(bands.data[column], dtype=float))
        * u.Unit(bands.columns[column].unit or bands.header.get("TIMEUNIT", wanted)).to(wanted)
        for column in columns
    ]
    if len(ends) == 1:
        return name, ends[0]
    return name, np.sqrt(ends[0] * ends[1]) if name == "ENERGY" else 0.5 * (ends[0] + ends[1])


def _reference(header: Any, file: Path, default: str) -> float:
    """Reference time, MJD (UTC)."""
    from astropy.time import Time

    missing = [name for name in ("MJDREFI", "MJDREFF") if name not in header]
    if missing:
        raise ValueError(f"LightCurveTemplateTemporalModel: {file}: no {', '.join(missing)}; give the reference time")
    scale = str(header.get("TIMESYS", default)).strip().lower()
    return float(Time(float(header["MJDREFI"]), float(header["MJDREFF"]), format="mjd", scale=scale).utc.mjd)
