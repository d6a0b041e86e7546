"""The GADF writer: observations to a valid GADF 0.3 data store, with bytes that depend on the observations alone.

The simulation, the tests and the demonstration write their stores with it; ``survey.events.gadf`` reads them back.
"""

from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import EarthLocation
from astropy.io import fits
from astropy.time import TimeDelta

from survey.events.gadf_columns import AXIS_COLUMNS, EVENT_UNITS, INDEX_UNITS, fits_column
from survey.events.observation import Observation, TimeReference
from survey.response.table import ResponseTable

GADF_HEADER: Mapping[str, str] = {
    "HDUCLASS": "GADF",
    "HDUDOC": "https://github.com/open-gamma-ray-astro/gamma-astro-data-formats",
    "HDUVERS": "0.3",
}
RESPONSE_HDUS: Mapping[str, tuple[str, str]] = {
    "aeff": ("AEFF", "EFF_AREA"),
    "edisp": ("EDISP", "EDISP"),
    "psf": ("PSF", "RPSF"),
    "bkg": ("BKG", "BKG"),
    "rad_max": ("RAD_MAX", "RAD_MAX"),
}
# Columns of the observation index that come from an observation's metadata, where it has them.
DESCRIPTION: tuple[str, ...] = (
    "OBJECT",
    "RA_OBJ",
    "DEC_OBJ",
    "TELESCOP",
    "INSTRUME",
    "N_TELS",
    "TELLIST",
    "QUALITY",
    "MUONEFF",
    "NSBLEVEL",
    "TRGRATE",
    "BKG_SCALE",
)
FITS_BLOCK = 2880
ENCODED_RESPONSES = 64
_STRUCTURE = frozenset({"SIMPLE", "XTENSION", "BITPIX", "NAXIS", "PCOUNT", "GCOUNT", "TFIELDS", "EXTEND", "EXTNAME"})


def observation_hdus(observation: Observation) -> fits.HDUList:
    """HDUs of the event file of one observation.

    Parameters
    ----------
    observation : Observation
        What to write.

    Returns
    -------
    astropy.io.fits.HDUList
        Primary, ``EVENTS``, ``GTI``, ``POINTING`` (when the pointing is a table) and one HDU a response.
    """
    hdus = [fits.PrimaryHDU(), events_hdu(observation), gti_hdu(observation)]
    if observation.pointing.mode == "table":
        hdus.append(pointing_hdu(observation))
    hdus.extend(response_hdu(table) for table in observation.responses.values())
    return fits.HDUList(hdus)


def write_hdus(hdus: fits.HDUList, path: Path) -> None:
    """Write `hdus` to `path`, compressed when its name ends in ``.gz``; equal HDUs give equal bytes."""
    buffer = io.BytesIO()
    hdus.writeto(buffer)
    _write(buffer.getvalue(), path)


def write_store(
    root: str | Path,
    observations: Iterable[Observation],
    *,
    compress: bool = False,
    folder: str = "data",
    with_md5: bool = False,
) -> Path:
    """Write a GADF data store: one event file an observation, ``hdu-index`` and ``obs-index``.

    Parameters
    ----------
    root : str or pathlib.Path
        Folder of the store; made if it is not there. Files of the same names are replaced.
    observations : iterable of Observation
        Taken one at a time; obs_ids must be unique.
    compress : bool
        Write the event files as ``.fits.gz``; the indexes always are.
    folder : str
        Folder of the event files below `root`.
    with_md5 : bool
        Record the MD5 sum of every file in the index.

    Returns
    -------
    pathlib.Path
        `root`.

    Raises
    ------
    ValueError
        When two observations have the same obs_id.
    """
    root = Path(root)
    suffix = ".fits.gz" if compress else ".fits"
    hdu_rows: list[dict[str, Any]] = []
    obs_rows: list[dict[str, Any]] = []
    encoded: dict[str, bytes] = {}
    index_header: dict[str, Any] = {}
    reference: TimeReference | None = None
    for observation in observations:
        if any(row["OBS_ID"] == observation.obs_id for row in obs_rows):
            raise ValueError(f"OBS_ID {observation.obs_id} is there twice: expected a unique one for every observation")
        if reference is None:
            reference = observation.reference
            index_header = {**time_header(reference), **location_header(observation.location)}
        path = root / folder / f"obs_{observation.obs_id:06d}{suffix}"
        _write(_event_file(observation, encoded), path)
        hdu_rows.extend(_hdu_rows(observation, path=path, folder=folder, with_md5=with_md5))
        obs_rows.append(obs_row(observation, reference))
    write_indexes(root, hdu_rows, obs_rows, header=index_header)
    return root


def write_indexes(
    root: Path,
    hdu_rows: Sequence[Mapping[str, Any]],
    obs_rows: Sequence[Mapping[str, Any]],
    *,
    header: Mapping[str, Any] | None = None,
) -> None:
    """Write ``hdu-index.fits.gz`` and ``obs-index.fits.gz`` from rows; a column that a row lacks is left out."""
    hdu_index = _index_hdu(hdu_rows, name="HDU_INDEX", kind="HDU")
    obs_index = _index_hdu(obs_rows, name="OBS_INDEX", kind="OBS")
    obs_index.header.update(header or {})
    write_hdus(fits.HDUList([fits.PrimaryHDU(), hdu_index]), root / "hdu-index.fits.gz")
    write_hdus(fits.HDUList([fits.PrimaryHDU(), obs_index]), root / "obs-index.fits.gz")


def response_hdu(table: ResponseTable) -> fits.BinTableHDU:
    """The HDU of one response table, its axis order given by CREF and TDIM."""
    name, hduclas2 = RESPONSE_HDUS[table.kind]
    columns: list[fits.Column] = []
    for axis in reversed(table.axes):
        stem, unit = AXIS_COLUMNS[axis.name]
        for end, edges in (("LO", axis.low), ("HI", axis.high)):
            columns.append(fits_column(f"{stem}_{end}", edges[np.newaxis], unit=unit))
    n_axis_columns = len(columns)
    columns.extend(fits_column(key, values[np.newaxis], unit=table.units[key]) for key, values in table.values.items())
    header = fits.Header()
    header.update(GADF_HEADER)
    header["HDUCLAS1"] = "RESPONSE"
    header["HDUCLAS2"] = hduclas2
    header["HDUCLAS3"] = str(table.metadata.get("HDUCLAS3", "FULL-ENCLOSURE"))
    header["HDUCLAS4"] = table.form.upper()
    _describe(header, table.metadata)
    stems = [AXIS_COLUMNS[axis.name][0] for axis in reversed(table.axes)]
    cref = "(" + ",".join(f"{stem}_LO:{stem}_HI" for stem in stems) + ")"
    hdu = fits.BinTableHDU.from_columns(columns, header=header, name=name)
    for number in range(n_axis_columns + 1, len(columns) + 1):
        hdu.header[f"CREF{number}"] = cref
    return hdu


def _event_file(observation: Observation, encoded: dict[str, bytes]) -> bytes:
    """Bytes of :func:`observation_hdus`; those of a response that observations share are made once."""
    parts = [hdu_bytes(fits.PrimaryHDU()), hdu_bytes(events_hdu(observation)), hdu_bytes(gti_hdu(observation))]
    if observation.pointing.mode == "table":
        parts.append(hdu_bytes(pointing_hdu(observation)))
    for table in observation.responses.values():
        if table.content_hash not in encoded:
            if len(encoded) >= ENCODED_RESPONSES:
                encoded.clear()
            encoded[table.content_hash] = hdu_bytes(response_hdu(table))
        parts.append(encoded[table.content_hash])
    return b"".join(parts)


def hdu_bytes(hdu: fits.PrimaryHDU | fits.BinTableHDU) -> bytes:
    """The blocks of one HDU; of an extension without the primary HDU that astropy puts before it."""
    buffer = io.BytesIO()
    fits.HDUList([hdu] if isinstance(hdu, fits.PrimaryHDU) else [fits.PrimaryHDU(), hdu]).writeto(buffer)
    return buffer.getvalue()[0 if isinstance(hdu, fits.PrimaryHDU) else FITS_BLOCK :]


def _write(content: bytes, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # The time stamp and the file name that gzip would record differ between two writings of the same data.
    path.write_bytes(gzip.compress(content, compresslevel=4, mtime=0) if path.suffix == ".gz" else content)


def events_hdu(observation: Observation) -> fits.BinTableHDU:
    """The ``EVENTS`` HDU."""
    columns = [
        fits_column(name, values, unit=EVENT_UNITS.get(name, ""), bits=name == "EVENT_TYPE")
        for name, values in observation.events.items()
    ]
    pointing = observation.pointing
    header = fits.Header()
    header.update(GADF_HEADER)
    header["HDUCLAS1"] = "EVENTS"
    header["OBS_ID"] = observation.obs_id
    header.update(_span(observation))
    header["ONTIME"] = observation.ontime
    header["LIVETIME"] = observation.livetime
    header["DEADC"] = _dead_time_correction(observation)
    header["OBS_MODE"] = _obs_mode(observation)
    header["RA_PNT"] = pointing.ra
    header["DEC_PNT"] = pointing.dec
    if np.isfinite(pointing.alt) and np.isfinite(pointing.az):
        header["ALT_PNT"] = pointing.alt
        header["AZ_PNT"] = pointing.az
    header["RADECSYS"] = "ICRS"
    header["EQUINOX"] = 2000.0
    header.update(location_header(observation.location))
    for key in ("ORIGIN", "TELESCOP", "INSTRUME", "CREATOR"):
        header[key] = str(observation.metadata.get(key, "gammasurvey" if key == "CREATOR" else "unknown"))
    _describe(header, observation.metadata)
    return fits.BinTableHDU.from_columns(columns, header=header, name="EVENTS")


def gti_hdu(observation: Observation) -> fits.BinTableHDU:
    """The ``GTI`` HDU."""
    header = fits.Header()
    header.update(GADF_HEADER)
    header["HDUCLAS1"] = "GTI"
    header["OBS_ID"] = observation.obs_id
    header.update(_span(observation))
    columns = [
        fits_column("START", observation.gti_start, unit="s"),
        fits_column("STOP", observation.gti_stop, unit="s"),
    ]
    return fits.BinTableHDU.from_columns(columns, header=header, name="GTI")


def pointing_hdu(observation: Observation) -> fits.BinTableHDU:
    """The ``POINTING`` HDU of a pointing that is a table."""
    pointing = observation.pointing
    header = fits.Header()
    header.update(GADF_HEADER)
    header["HDUCLAS1"] = "POINTING"
    header["OBS_ID"] = observation.obs_id
    header.update(_span(observation))
    header.update(location_header(observation.location))
    columns = [
        fits_column("TIME", pointing.time, unit="s"),
        fits_column("RA_PNT", pointing.table_ra, unit="deg"),
        fits_column("DEC_PNT", pointing.table_dec, unit="deg"),
    ]
    return fits.BinTableHDU.from_columns(columns, header=header, name="POINTING")


def _hdu_rows(observation: Observation, *, path: Path, folder: str, with_md5: bool) -> list[dict[str, Any]]:
    kinds = [("events", "events", "EVENTS"), ("gti", "gti", "GTI")]
    if observation.pointing.mode == "table":
        kinds.append(("pointing", "pointing", "POINTING"))
    kinds.extend((table.kind, table.form, RESPONSE_HDUS[table.kind][0]) for table in observation.responses.values())
    common: dict[str, Any] = {"FILE_DIR": folder, "FILE_NAME": path.name, "SIZE": path.stat().st_size}
    if with_md5:
        common["MD5"] = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    return [
        {"OBS_ID": observation.obs_id, "HDU_TYPE": kind, "HDU_CLASS": form, "HDU_NAME": name, **common}
        for kind, form, name in kinds
    ]


def obs_row(observation: Observation, reference: TimeReference) -> dict[str, Any]:
    """The row of an observation in the observation index; its times count from `reference`."""
    pointing = observation.pointing
    # An index has one time reference; an observation with another one is moved to it.
    shift = 0.0
    if observation.reference != reference:
        shift = (observation.reference.time - reference.time).to_value(u.s)
    row: dict[str, Any] = {
        "OBS_ID": observation.obs_id,
        "OBS_MODE": _obs_mode(observation),
        "RA_PNT": pointing.ra,
        "DEC_PNT": pointing.dec,
        "ALT_PNT": pointing.alt,
        "AZ_PNT": pointing.az,
        "ZEN_PNT": observation.zenith,
        "TSTART": observation.tstart + shift,
        "TSTOP": observation.tstop + shift,
        "ONTIME": observation.ontime,
        "LIVETIME": observation.livetime,
        "DEADC": _dead_time_correction(observation),
        "EVENT_COUNT": observation.n_events,
    }
    row.update(_dates(observation))
    row.update({key: observation.metadata[key] for key in DESCRIPTION if key in observation.metadata})
    if any(not np.isfinite(row[key]) for key in ("ALT_PNT", "AZ_PNT")):
        del row["ALT_PNT"], row["AZ_PNT"]
    if not np.isfinite(row["ZEN_PNT"]):
        del row["ZEN_PNT"]
    return row


def _index_hdu(rows: Sequence[Mapping[str, Any]], *, name: str, kind: str) -> fits.BinTableHDU:
    names = [key for key in rows[0] if all(key in row for row in rows)] if rows else []
    columns = [fits_column(key, np.array([row[key] for row in rows]), unit=INDEX_UNITS.get(key, "")) for key in names]
    header = fits.Header()
    header.update(GADF_HEADER)
    header["HDUCLAS1"] = "INDEX"
    header["HDUCLAS2"] = kind
    return fits.BinTableHDU.from_columns(columns, header=header, name=name)


def _describe(header: fits.Header, metadata: Mapping[str, str | float | int | bool]) -> None:
    """Add to `header` what FITS can hold of `metadata`; what the writer has set already stays."""
    for key in sorted(metadata):
        value = metadata[key]
        if key in header or key in _STRUCTURE or len(key) > 8 or not key.isascii():
            continue
        if isinstance(value, float | np.floating) and not np.isfinite(value):
            continue
        header[key] = value


def time_header(reference: TimeReference) -> dict[str, Any]:
    """Keywords of a time reference."""
    return {
        "MJDREFI": reference.mjdrefi,
        "MJDREFF": reference.mjdreff,
        "TIMEUNIT": "s",
        "TIMESYS": reference.scale.upper(),
        "TIMEREF": "LOCAL",
    }


def _dates(observation: Observation) -> dict[str, str]:
    """DATE-OBS, TIME-OBS, DATE-END, TIME-END in the observation's own time scale."""
    dates = {}
    for end, seconds in (("OBS", observation.tstart), ("END", observation.tstop)):
        date, _, clock = (observation.reference.time + TimeDelta(seconds, format="sec")).isot.partition("T")
        dates[f"DATE-{end}"] = date
        dates[f"TIME-{end}"] = clock
    return dates


def _span(observation: Observation) -> dict[str, Any]:
    return {
        "TSTART": observation.tstart,
        "TSTOP": observation.tstop,
        **time_header(observation.reference),
        **_dates(observation),
    }


def location_header(location: EarthLocation | None) -> dict[str, float]:
    """Keywords of the observatory's place; none where it is not known."""
    if location is None:
        return {}
    lon, lat, height = location.to_geodetic()
    return {"GEOLON": lon.to_value(u.deg), "GEOLAT": lat.to_value(u.deg), "ALTITUDE": height.to_value(u.m)}


def _obs_mode(observation: Observation) -> str:
    return {"icrs": "POINTING", "altaz": "DRIFT", "table": "POINTING"}[observation.pointing.mode]


def _dead_time_correction(observation: Observation) -> float:
    return observation.livetime / observation.ontime if observation.ontime > 0 else 1.0
