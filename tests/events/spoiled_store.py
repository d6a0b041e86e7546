"""A data store that tests spoil: one thing each, with astropy."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from survey.events.datastore import DataStore, open_datastore
from survey.events.observation import Observation, ObservationRejected


@dataclass
class SpoiledStore:
    """A data store that tests change."""

    root: Path

    def path(self, obs_id: int = 1) -> Path:
        return self.root / "data" / f"obs_{obs_id:06d}.fits"

    def edit(self, change: Callable[[fits.HDUList], Any], obs_id: int = 1) -> None:
        """Change the HDUs of an event file."""
        edit_file(self.path(obs_id), change)

    def edit_index(self, change: Callable[[fits.HDUList], Any], kind: str = "hdu") -> None:
        """Change an index file."""
        edit_file(self.root / f"{kind}-index.fits.gz", change)

    def open(self, **options: Any) -> DataStore:
        return open_datastore(self.root, **options)

    def load(self, obs_id: int = 1, **options: Any) -> Observation:
        (source,) = (source for source in self.open().sources if source.obs_id == obs_id)
        return source.load(**options)

    def notes(self, obs_id: int = 1) -> str:
        return "\n".join(self.load(obs_id).notes)

    def rejection(self, obs_id: int = 1) -> str:
        with pytest.raises(ObservationRejected) as caught:
            self.load(obs_id)
        return str(caught.value)


def edit_file(path: Path, change: Callable[[fits.HDUList], Any]) -> None:
    with fits.open(path, memmap=False) as hdus:
        for hdu in hdus:
            assert hdu.data is None or len(hdu.data) >= 0
        change(hdus)
        hdus.writeto(path, overwrite=True, output_verify="ignore")


def with_columns(hdu: fits.BinTableHDU, **changes: Any) -> fits.BinTableHDU:
    """The HDU with columns replaced: by keywords of `fits.Column`, by an array, or left out when None."""
    columns = []
    for column in hdu.columns:
        change = changes.get(column.name, {})
        if change is None:
            continue
        if isinstance(change, np.ndarray):
            change = {"array": change}
        given = {"name": column.name, "format": column.format, "unit": column.unit, "dim": column.dim}
        columns.append(fits.Column(**{**given, "array": hdu.data[column.name], **change}))
    new = fits.BinTableHDU.from_columns(columns, name=hdu.name)
    for card in hdu.header.cards:
        if card.keyword not in new.header and not card.keyword.startswith(("TTYPE", "TFORM", "TUNIT", "TDIM")):
            new.header[card.keyword] = card.value
    return new


def with_rows(hdu: fits.BinTableHDU, rows: Any) -> fits.BinTableHDU:
    """The HDU with some of its rows, in the order of `rows`."""
    return with_columns(hdu, **{name: np.asarray(hdu.data[name])[rows] for name in hdu.columns.names})


def replaced(hdus: fits.HDUList, name: str | int, new: fits.BinTableHDU) -> None:
    hdus[hdus.index_of(name)] = new


def spoil_columns(name: str, **changes: Any) -> Callable[[fits.HDUList], None]:
    """Change that replaces columns of an HDU, see `with_columns`."""
    return lambda hdus: replaced(hdus, name, with_columns(hdus[name], **changes))


def set_keys(name: str, **values: Any) -> Callable[[fits.HDUList], None]:
    """Change that sets keywords of an HDU, or removes them when None."""

    def change(hdus: fits.HDUList) -> None:
        for key, value in values.items():
            if value is None:
                hdus[name].header.remove(key, ignore_missing=True)
            else:
                hdus[name].header[key] = value

    return change
