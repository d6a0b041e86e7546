"""Alignment of a background's camera axes with the sky.

Within this package camera x grows to the east and camera y to the north when the roll is zero. GADF's ``DETX`` grows to
the west in files aligned with ICRS, to the east in early files of H.E.S.S. (gammapy issue 4667), and, in files aligned with
the horizon, to the left of the zenith, which is east of it on the sky; the signs are those of Gammapy 2.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from survey.events.observation import Observation
from survey.response.table import ResponseTable

HESS_WRITER = "SASH FITS::EventListWriter"
"""CREATOR of the files of H.E.S.S. whose backgrounds are aligned with ICRS and, up to version 0.2, mirrored."""


@dataclass(frozen=True)
class Alignment:
    """How camera axes lie on the sky.

    Parameters
    ----------
    rotates : bool
        Whether the camera is aligned with the horizon.
    mirror : bool
        Whether the file's x axis has to be reversed to grow to the east.
    notes : tuple of str
        What had to be assumed or corrected.
    """

    rotates: bool
    mirror: bool
    notes: tuple[str, ...] = ()


def alignment_of(
    table: ResponseTable, observation: Observation, missing: Literal["auto", "RADEC", "ALTAZ"]
) -> Alignment:
    """Alignment of a 3D background.

    Parameters
    ----------
    table : ResponseTable
        Its ``FOVALIGN`` counts; the writer of the file is taken from the observation's metadata, else from the table's.
    observation : Observation
        That it belongs to.
    missing : str
        What a missing ``FOVALIGN`` means; ``auto``: RADEC for files that H.E.S.S. wrote, ALTAZ, as GADF says, for others.

    Raises
    ------
    ValueError
        For a ``FOVALIGN`` that is none of RADEC, ALTAZ, REVERSE_LON_RADEC.
    """
    creator = str(observation.metadata.get("CREATOR", table.metadata.get("CREATOR", ""))).strip()
    version = str(observation.metadata.get("HDUVERS", table.metadata.get("HDUVERS", ""))).strip()
    notes: list[str] = []
    found = str(table.metadata.get("FOVALIGN", "")).strip().upper()
    if not found:
        found = missing
        if missing == "auto":
            found = "RADEC" if creator == HESS_WRITER else "ALTAZ"
        notes.append(f"background has no FOVALIGN: read as {found} (datasets.background.fov_alignment: {missing})")
    if found == "ALTAZ":
        return Alignment(rotates=True, mirror=False, notes=tuple(notes))
    if found == "REVERSE_LON_RADEC":
        return Alignment(rotates=False, mirror=False, notes=tuple(notes))
    if found != "RADEC":
        raise ValueError(f"FOVALIGN is {found!r}, expected RADEC or ALTAZ")
    if creator == HESS_WRITER and version == "0.2":
        notes.append(f"background of CREATOR {creator!r}, HDUVERS {version}: longitude is reversed, corrected")
        return Alignment(rotates=False, mirror=False, notes=tuple(notes))
    return Alignment(rotates=False, mirror=True, notes=tuple(notes))
