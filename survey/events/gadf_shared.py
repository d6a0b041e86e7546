"""Data stores whose observations share responses: each distinct set of them is one file, which the index names.

Observations are written one by one, by whoever has them; the indexes are written last from the rows that this gives.
``survey.events.gadf_writer`` has the HDUs, and writes stores in which every event file holds its own responses.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from astropy.coordinates import EarthLocation
from astropy.io import fits

from survey.events.gadf_writer import (
    RESPONSE_HDUS,
    events_hdu,
    gti_hdu,
    hdu_bytes,
    location_header,
    obs_row,
    pointing_hdu,
    response_hdu,
    time_header,
    write_indexes,
)
from survey.events.observation import Observation, TimeReference
from survey.response.table import ResponseKind, ResponseTable
from survey.store import urls

EVENTS, RESPONSES = "events", "responses"
"""Folders of a store."""


def event_file_name(obs_id: int, *, compress: bool = False) -> str:
    """Name of the event file of an observation."""
    return f"obs_{obs_id:06d}.fits{'.gz' if compress else ''}"


def write_event_file(
    root: str, observation: Observation, *, responses: str, reference: TimeReference, compress: bool = False
) -> dict[str, Any]:
    """Write the events and good times of an observation.

    Parameters
    ----------
    root : str
        Folder of the store.
    observation : Observation
        What to write; its responses are only named in the index.
    responses : str
        Name of the set of its responses, see `write_response_file`.
    reference : TimeReference
        Of the store's index.
    compress : bool
        Write ``.fits.gz``.

    Returns
    -------
    dict
        Plain values: ``observation``, its row in the observation index, and ``hdus``, those in the HDU index.
    """
    parts = [_primary(), hdu_bytes(events_hdu(observation)), hdu_bytes(gti_hdu(observation))]
    if observation.pointing.mode == "table":
        parts.append(hdu_bytes(pointing_hdu(observation)))
    content = b"".join(parts)
    if compress:
        content = gzip.compress(content, compresslevel=4, mtime=0)
    name = event_file_name(observation.obs_id, compress=compress)
    urls.write_bytes(urls.join(root, EVENTS, name), content)
    kinds = [("events", "events", "EVENTS"), ("gti", "gti", "GTI")]
    if observation.pointing.mode == "table":
        kinds.append(("pointing", "pointing", "POINTING"))
    own = {"FILE_DIR": EVENTS, "FILE_NAME": name}
    shared = {"FILE_DIR": RESPONSES, "FILE_NAME": f"{responses}.fits"}
    rows = [_row(observation.obs_id, *kind, own) for kind in kinds]
    for table in observation.responses.values():
        rows.append(_row(observation.obs_id, table.kind, table.form, RESPONSE_HDUS[table.kind][0], shared))
    return {"observation": obs_row(observation, reference), "hdus": rows}


def write_response_file(root: str, name: str, tables: Mapping[ResponseKind, ResponseTable]) -> None:
    """Write a set of responses to the store at `root`, for the observations that name it; equal sets give equal bytes."""
    content = b"".join([_primary(), *(hdu_bytes(response_hdu(table)) for table in tables.values())])
    url = urls.join(root, RESPONSES, f"{name}.fits")
    if not urls.exists(url) or urls.read_bytes(url) != content:
        urls.write_bytes(url, content)


def write_store_indexes(
    root: str, rows: Sequence[Mapping[str, Any]], *, location: EarthLocation, reference: TimeReference
) -> None:
    """Write both indexes.

    Parameters
    ----------
    root : str
        Folder of the store.
    rows : sequence of mapping
        What `write_event_file` returned, in the order of the index.
    location : EarthLocation
        Of the observatory.
    reference : TimeReference
        Of the rows.
    """
    write_indexes(
        urls.local_path(root),
        [hdu for row in rows for hdu in row["hdus"]],
        [row["observation"] for row in rows],
        header={**time_header(reference), **location_header(location)},
    )


def _row(obs_id: int, kind: str, form: str, hdu: str, place: Mapping[str, str]) -> dict[str, Any]:
    return {"OBS_ID": obs_id, "HDU_TYPE": kind, "HDU_CLASS": form, "HDU_NAME": hdu, **place}


@lru_cache(maxsize=1)
def _primary() -> bytes:
    return hdu_bytes(fits.PrimaryHDU())
