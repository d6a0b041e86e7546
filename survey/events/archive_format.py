"""The archive's format: names, chunks, and how an observation's facts are put into plain values and back.

Groups of an archive, a Zarr store of version 3:

``observations``
    a row an observation, sorted by obs_id and identity: pointing, times, place, where its events and responses lie
``events``, ``gti``, ``pointing``
    flat columns, contiguous by observation, one 1-D array each
``response/<kind>/<stack>``
    the tables of one form with the same axes, stacked; equal ones once
``index``
    the observation index of the data store, a column an array
``set_aside``
    observations that could not be read, and why

`survey.events.archive_writer` writes them, `survey.events.archive_reader` reads them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import starmap
from typing import Any

import astropy.units as u
import numpy as np
import zarr
from astropy.coordinates import EarthLocation
from numpy.typing import NDArray

from survey.events.observation import Observation
from survey.response.table import ResponseTable
from survey.store.urls import is_local, local_path

FORMAT = "gammasurvey-archive"
FORMAT_VERSION = 1
TEXT = "text"


@dataclass(frozen=True)
class Layout:
    """How arrays are cut; a shard is what one unit of work owns.

    Parameters
    ----------
    event_chunk : int
        Events in a chunk.
    event_shard_chunks : int
        Most chunks in a shard of events.
    row_chunk, row_shard_chunks : int
        Observations in a chunk, chunks in a shard, of the tables that the driver writes.
    stack_shard : int
        Most tables in a shard of responses; a chunk holds one table.
    shard_bytes : int
        A shard of all event columns, or of one response column, stays below this, bytes.
    """

    event_chunk: int = 65536
    event_shard_chunks: int = 32
    row_chunk: int = 512
    row_shard_chunks: int = 64
    stack_shard: int = 256
    shard_bytes: int = 1 << 26

    def event_shard(self, bytes_per_event: int) -> int:
        """Events in a shard when all columns take `bytes_per_event`."""
        most = self.shard_bytes // (self.event_chunk * max(bytes_per_event, 1))
        return self.event_chunk * int(np.clip(most, 1, self.event_shard_chunks))

    def table_shard(self, bytes_per_table: int) -> int:
        """Response tables in a shard when one takes `bytes_per_table`."""
        return int(np.clip(self.shard_bytes // max(bytes_per_table, 1), 1, self.stack_shard))


@dataclass(frozen=True)
class ColumnType:
    """Name, type and shape of the cells of an event column: what one array of the archive holds.

    Parameters
    ----------
    name : str
        Name of the column in the file.
    dtype : str
        NumPy's name of the type in native byte order; ``text`` for text of any length, ``<U8`` for text of fixed width.
    cell : tuple of int
        Shape of a cell, empty for one number.
    """

    name: str
    dtype: str
    cell: tuple[int, ...] = ()

    @classmethod
    def of(cls, name: str, values: NDArray[Any]) -> ColumnType:
        """The type of a column with `values` (events, ...)."""
        if isinstance(values.dtype, np.dtypes.StringDType):
            kind = TEXT
        elif values.dtype.kind in "US":
            kind = values.dtype.str
        elif values.dtype.kind in "biufc":
            kind = values.dtype.name
        else:
            raise ValueError(f"column {name}: type {values.dtype} cannot be archived")
        return cls(name, kind, tuple(values.shape[1:]))

    @property
    def is_text(self) -> bool:
        """Whether it holds text."""
        return self.dtype == TEXT or "U" in self.dtype or "S" in self.dtype

    @property
    def array_dtype(self) -> np.dtype[Any]:
        """Type of the array: text has no fixed width there."""
        return np.dtypes.StringDType() if self.is_text else np.dtype(self.dtype)

    @property
    def array_name(self) -> str:
        """Name of the array where columns of that name differ from observation to observation."""
        return "-".join([safe_name(self.name), self.dtype.strip("<|=>"), *map(str, self.cell)])

    @property
    def bytes(self) -> int:
        """Size of a cell in memory."""
        return (16 if self.is_text else np.dtype(self.dtype).itemsize) * int(np.prod(self.cell, dtype=np.int64))

    def stored(self, values: NDArray[Any]) -> NDArray[Any]:
        """`values` in the type of the array."""
        if self.dtype != TEXT and "S" in self.dtype:
            return np.char.decode(values, "latin-1").astype(np.dtypes.StringDType())
        return values.astype(np.dtypes.StringDType()) if self.is_text else values

    def restored(self, values: NDArray[Any]) -> NDArray[Any]:
        """Inverse of `stored`."""
        if not self.is_text or self.dtype == TEXT:
            return values
        text = values.astype(np.dtype(self.dtype.replace("S", "U").replace("|", "<")))
        return np.char.encode(text, "latin-1").astype(self.dtype) if "S" in self.dtype else text


def safe_name(name: str) -> str:
    """`name` as the name of an array: every other character becomes ``_``, with a hash to keep names apart."""
    plain = re.sub(r"[^A-Za-z0-9_]", "_", name)
    if plain == name and name and not name.startswith("__"):
        return name
    return f"c{plain}_{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def hash_column(name: str, values: NDArray[Any]) -> str:
    """sha256 of a column: name, type, shape and bits."""
    kind = ColumnType.of(name, values)
    digest = hashlib.sha256(repr((kind, values.shape)).encode())
    if kind.dtype == TEXT:
        digest.update(json.dumps(values.tolist()).encode())
    else:
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def hash_events(events: Mapping[str, NDArray[Any]]) -> str:
    """sha256 of all columns in their order."""
    return hashlib.sha256("".join(hash_column(name, values) for name, values in events.items()).encode()).hexdigest()


def stack_of(table: ResponseTable) -> str:
    """Name of the stack that a table belongs to: hash of form, axes, columns, their types and units."""
    columns = [[n, v.dtype.name, list(v.shape), table.units[n]] for n, v in table.values.items()]
    text = json.dumps([table.axes_hash, [axis.name for axis in table.axes], columns])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def hash_values(table: ResponseTable) -> str:
    """sha256 of a table's values: tables of a stack with the same one are stored once."""
    return hashlib.sha256("".join(hash_column(n, v) for n, v in table.values.items()).encode()).hexdigest()


def describe(observation: Observation) -> dict[str, Any]:
    """Facts of an observation, all but its events and the values of its responses, as plain values.

    Returns
    -------
    dict
        Goes through JSON unchanged; `survey.events.archive_reader` makes the observation of it again.
    """
    pointing, location = observation.pointing, observation.location
    track = None
    if pointing.time is not None and pointing.table_ra is not None and pointing.table_dec is not None:
        track = [pointing.time.tolist(), pointing.table_ra.tolist(), pointing.table_dec.tolist()]
    facts: dict[str, Any] = {
        "identity": observation.identity,
        "obs_id": int(observation.obs_id),
        "mode": pointing.mode,
        "ra": float(pointing.ra),
        "dec": float(pointing.dec),
        "alt": float(pointing.alt),
        "az": float(pointing.az),
        "track": track,
        "mjdrefi": int(observation.reference.mjdrefi),
        "mjdreff": float(observation.reference.mjdreff),
        "time_scale": observation.reference.scale,
        "gti": [observation.gti_start.tolist(), observation.gti_stop.tolist()],
        "ontime": float(observation.ontime),
        "livetime": float(observation.livetime),
        "location": None if location is None else [float(axis.to_value(u.m)) for axis in location.geocentric],
        "zenith": float(observation.zenith),
        "metadata": plain(observation.metadata),
        "notes": list(observation.notes),
        "doubts": list(observation.doubts),
        "n_events": int(observation.n_events),
        "columns": [[c.name, c.dtype, list(c.cell)] for c in starmap(ColumnType.of, observation.events.items())],
        "events": hash_events(observation.events),
        "responses": {
            kind: {
                "stack": stack_of(table),
                "values": hash_values(table),
                "bytes": sum(values.nbytes for values in table.values.values()),
                "metadata": plain(table.metadata),
            }
            for kind, table in observation.responses.items()
        },
    }
    facts["digest"] = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return facts


def absolute(url: str) -> str:
    """A URL that means the same in every process: paths are made absolute."""
    return os.path.abspath(local_path(url).expanduser()) if is_local(url) else url


def attributes(node: zarr.Array | zarr.Group) -> dict[str, Any]:
    """Attributes of an array or a group, as the writer put them."""
    return dict(node.attrs)


def array_at(group: zarr.Group, path: str) -> zarr.Array:
    """The array at `path` below `group`."""
    array = group[path]
    assert isinstance(array, zarr.Array)
    return array


def group_at(group: zarr.Group, path: str) -> zarr.Group:
    """The group at `path` below `group`."""
    found = group[path]
    assert isinstance(found, zarr.Group)
    return found


def column_of(array: zarr.Array) -> ColumnType:
    """Type of the event column that an array holds."""
    name, dtype, cell = attributes(array)["column"]
    return ColumnType(name, dtype, tuple(cell))


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Header values as Python's own types."""
    return {key: value.item() if isinstance(value, np.generic) else value for key, value in values.items()}


def place(coordinates: Sequence[float]) -> EarthLocation | None:
    """The observatory at geocentric `coordinates` (m); None when they are NaN."""
    if not np.all(np.isfinite(coordinates)):
        return None
    return EarthLocation.from_geocentric(*coordinates, unit=u.m)
