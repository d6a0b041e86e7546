"""Ways to spoil an observation, and the reason that a run must give for leaving it out."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

UNPACKED = 3 << 30
"""Bytes that a file unpacks to which is too large for a worker; it takes some megabytes itself."""
PIECE = 1 << 24
INDEX = "hdu-index.fits.gz"


@dataclass(frozen=True)
class Spoiling:
    """A way to spoil an observation.

    Parameters
    ----------
    spoil : callable
        Does it, to an observation of a store.
    reason : str
        Pattern of what a run says.
    rare : bool
        Whether it costs a run much time.
    """

    spoil: Callable[[Path, int, random.Random], None]
    reason: str
    rare: bool = False


def event_file(store: Path, obs_id: int) -> Path:
    """File of the events of an observation."""
    (path,) = store.rglob(f"obs_{obs_id:06d}.fits")
    return path


def _cut_off(store: Path, obs_id: int, rng: random.Random) -> None:
    path = event_file(store, obs_id)
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(2880, len(content) - 2880)])


def _garbage(store: Path, obs_id: int, rng: random.Random) -> None:
    event_file(store, obs_id).write_bytes(rng.randbytes(20_000))


def _missing(store: Path, obs_id: int, rng: random.Random) -> None:
    event_file(store, obs_id).unlink()


def _not_finite(store: Path, obs_id: int, rng: random.Random) -> None:
    """Observations share response files: this one gets its own, with a NaN in the effective area."""
    index = Table.read(store / INDEX)
    header = fits.getheader(store / INDEX, 1)
    names = np.char.strip(np.asarray(index["FILE_DIR"], dtype=str))
    own = (index["OBS_ID"] == obs_id) & (names == "responses")
    (shared,) = {str(name).strip() for name in index["FILE_NAME"][own]}
    name = f"spoiled_{obs_id:06d}.fits"
    with fits.open(store / "responses" / shared, memmap=False) as hdus:
        area = next(hdu for hdu in hdus if hdu.header.get("HDUCLAS2") == "EFF_AREA").data["EFFAREA"]
        area[0, 0, rng.randrange(area.shape[-1] // 3, 2 * area.shape[-1] // 3)] = np.nan
        hdus.writeto(store / "responses" / name)
    index["FILE_NAME"] = [name if one else str(old) for one, old in zip(own, index["FILE_NAME"], strict=True)]
    table = fits.BinTableHDU(index)
    table.header.extend(header, unique=True, update=False)
    table.writeto(store / INDEX, overwrite=True)


def _too_large(store: Path, obs_id: int, rng: random.Random) -> None:
    """A file that says that it has very many events, and has them: zeros, which pack well."""
    path = event_file(store, obs_id)
    with fits.open(path, memmap=False) as hdus:
        primary, header = hdus[0].header, hdus["EVENTS"].header
        header["NAXIS2"] = UNPACKED // header["NAXIS1"]
        head = primary.tostring().encode() + header.tostring().encode()
    path.write_bytes(gzip.compress(head, mtime=0) + (UNPACKED // PIECE) * gzip.compress(bytes(PIECE), mtime=0))


SPOILINGS = {
    "truncated": Spoiling(_cut_off, r"truncated|corrupt|has no HDU"),
    "with NaN in a response": Spoiling(_not_finite, r"\[AEFF\].*(not finite|nan)"),
    "of random bytes": Spoiling(_garbage, r"is no FITS file"),
    "missing": Spoiling(_missing, r"does not exist"),
    "too large for the memory of a worker": Spoiling(_too_large, r"^memory: 3 workers died with it", rare=True),
}
"""All of them, by what such an observation is."""
