"""The archive's reader: observations, bit for bit as they were, and whole columns.

`survey.events.archive` makes a data store of it.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import zarr
from astropy.table import Column, MaskedColumn, Table
from numpy.typing import NDArray

from survey.events.archive_chunks import ChunkCache, ChunkedArray
from survey.events.archive_format import (
    FORMAT,
    FORMAT_VERSION,
    ColumnType,
    array_at,
    attributes,
    column_of,
    group_at,
    place,
    safe_name,
)
from survey.events.observation import Observation, Pointing, TimeReference
from survey.refusal import Refusal
from survey.response.table import KINDS, ResponseAxis, ResponseTable
from survey.store.urls import open_store

ROW_BLOCKS = 4


class ArchiveError(Refusal):
    """An archive cannot be read; the message says what was found and what to do."""


class ArchiveReader:
    """An archive, open for reading; one a process is enough.

    Parameters
    ----------
    url : str
        Any fsspec URL or a path.

    Raises
    ------
    ArchiveError
        When there is no archive, it is not complete, or its format is a newer one.
    """

    def __init__(self, url: str) -> None:
        self.url = str(url)
        try:
            self.root = zarr.open_group(open_store(self.url, "r"), mode="r")
        except (FileNotFoundError, KeyError, ValueError) as error:
            raise ArchiveError(
                f"{self.url}: there is no archive; make it with: survey ingest DATASTORE OUT.zarr"
            ) from error
        found = attributes(self.root)
        if found.get("format") != FORMAT:
            raise ArchiveError(f"{self.url}: format is {found.get('format')!r}, expected {FORMAT!r}")
        version = found.get("format_version")
        if not isinstance(version, int) or version > FORMAT_VERSION:
            raise ArchiveError(
                f"{self.url}: format_version is {version!r}, expected at most {FORMAT_VERSION}; update gammasurvey"
            )
        if found.get("status") != "complete":
            raise ArchiveError(f"{self.url}: the archive is not complete; run survey ingest again to finish it")
        self.plan = str(found["plan"])
        self.name = str(found["name"])
        self.n_observations = int(found["n_observations"])
        self.n_events = int(found["n_events"])
        self.cache = ChunkCache()
        self._arrays: dict[str, ChunkedArray] = {}
        self._stacks: dict[str, _Stack] = {}
        self._lock = threading.Lock()
        self._blocks: OrderedDict[int, list[dict[str, Any]]] = OrderedDict()

    @cached_property
    def _observations(self) -> dict[str, zarr.Array]:
        return dict(group_at(self.root, "observations").arrays())

    @cached_property
    def _columns(self) -> dict[str, ColumnType]:
        """Types of the event columns by the name of their array."""
        return {name: column_of(array) for name, array in group_at(self.root, "events").arrays()}

    def column(self, name: str) -> NDArray[Any]:
        """One column of `observations`, all rows."""
        array = self._observations[name]
        return np.asarray(array[:]) if array.shape[0] else np.empty(0, array.dtype)

    def event_column(self, name: str) -> NDArray[Any]:
        """One column of all events, in the order of the observations.

        Raises
        ------
        KeyError
            When there is none of that name, or its type differs between observations.
        """
        found = [array for array, column in self._columns.items() if column.name == name]
        if len(found) != 1:
            raise KeyError(f"{len(found)} event columns are called {name!r}; there are {sorted(self._columns)}")
        values = np.asarray(array_at(self.root, f"events/{found[0]}")[:])
        return self._columns[found[0]].restored(values)

    def table(self, group: str) -> dict[str, NDArray[Any]]:
        """All arrays of a group, such as ``set_aside``."""
        return {name: np.asarray(array[:]) for name, array in group_at(self.root, group).arrays()}

    def problems(self) -> list[dict[str, Any]]:
        """Problems of the data store that was ingested, found without opening the observations' files."""
        return [json.loads(text) for text in self.table("problems")["problem"].tolist()]

    def index(self) -> Table:
        """The observation index of the data store that was ingested."""
        group = group_at(self.root, "index")
        arrays = dict(group.arrays())
        table = Table()
        for name in attributes(group)["columns"]:
            array = arrays[safe_name(name)]
            found = attributes(array)
            values = ColumnType(name, found["column"][1]).restored(np.asarray(array[:]))
            mask = arrays.get(f"{safe_name(name)}__mask")
            if mask is None:
                table[name] = Column(values, unit=found.get("units"))
            else:
                table[name] = MaskedColumn(values, mask=np.asarray(mask[:]), unit=found.get("units"))
        table.meta.update(json.loads(attributes(group)["header"]))
        return table

    def row(self, number: int) -> dict[str, Any]:
        """Everything that is known of one observation, save its events and the values of its responses."""
        step = int(next(iter(self._observations.values())).chunks[0])
        block, inside = divmod(number, step)
        with self._lock:
            if block not in self._blocks:
                columns = {
                    name: np.asarray(array[block * step : (block + 1) * step]).tolist()
                    for name, array in self._observations.items()
                }
                length = len(columns["identity"])
                self._blocks[block] = [{name: values[i] for name, values in columns.items()} for i in range(length)]
                while len(self._blocks) > ROW_BLOCKS:
                    self._blocks.popitem(last=False)
            self._blocks.move_to_end(block)
            return self._blocks[block][inside]

    def load(self, number: int, *, responses: Sequence[str] = KINDS) -> Observation:
        """One observation.

        Parameters
        ----------
        number : int
            Its row.
        responses : sequence of str
            Kinds of responses to read; ``rad_max`` comes along where there is one.

        Returns
        -------
        Observation
        """
        row = self.row(number)
        kinds = [kind for kind in KINDS if (kind in responses or kind == "rad_max") and row[f"{kind}_row"] >= 0]
        location = (row["location_x"], row["location_y"], row["location_z"])
        return Observation(
            identity=row["identity"],
            obs_id=row["obs_id"],
            pointing=self._pointing(row),
            reference=TimeReference(row["mjdrefi"], row["mjdreff"], row["time_scale"]),
            gti_start=self._flat("gti", "START", row),
            gti_stop=self._flat("gti", "STOP", row),
            ontime=row["ontime"],
            livetime=row["livetime"],
            events=self._events(row),
            responses={kind: self._response(kind, row) for kind in kinds},
            location=place(location),
            zenith=row["zenith"],
            metadata=json.loads(row["metadata"]),
            notes=tuple(json.loads(row["notes"])),
            doubts=tuple(json.loads(row.get("doubts", "[]"))),
        )

    def _events(self, row: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        start = row["event_offset"]
        stop = start + row["n_event"]
        events = {}
        for name in json.loads(row["event_columns"]):
            column = self._columns[name]
            events[column.name] = column.restored(self.array(f"events/{name}").read(start, stop))
        return events

    def _pointing(self, row: Mapping[str, Any]) -> Pointing:
        fixed = (row["mode"], row["ra"], row["dec"], row["alt"], row["az"])
        if row["n_pointing"] < 0:
            return Pointing(*fixed)
        return Pointing(*fixed, *(self._flat("pointing", name, row) for name in ("TIME", "RA_PNT", "DEC_PNT")))

    def _flat(self, group: str, name: str, row: Mapping[str, Any]) -> NDArray[Any]:
        start = row[f"{group}_offset"]
        return self.array(f"{group}/{name}").read(start, start + row[f"n_{group}"])

    def _response(self, kind: str, row: Mapping[str, Any]) -> ResponseTable:
        path = f"response/{kind}/{row[f'{kind}_stack']}"
        stack = self._stacks.get(path)
        if stack is None:
            stack = self._stacks[path] = _Stack(self, path)
        return stack.table(row[f"{kind}_row"], json.loads(row[f"{kind}_metadata"]))

    def array(self, path: str) -> ChunkedArray:
        """An array, read by chunks."""
        array = self._arrays.get(path)
        if array is None:
            array = self._arrays[path] = ChunkedArray(array_at(self.root, path), self.cache)
        return array


class _Stack:
    """Response tables with the same axes."""

    def __init__(self, reader: ArchiveReader, path: str) -> None:
        group = group_at(reader.root, path)
        found = attributes(group)
        self.form: str = found["form"]
        self.axes = tuple(
            ResponseAxis(
                name,
                np.asarray(array_at(group, f"{name}_low")[:], dtype=np.float64),
                np.asarray(array_at(group, f"{name}_high")[:], dtype=np.float64),
            )
            for name in found["axes"]
        )
        self.columns = {name: reader.array(f"{path}/{safe_name(name)}") for name in found["columns"]}
        self.units: dict[str, str] = {n: attributes(c.array)["units"] for n, c in self.columns.items()}

    def table(self, number: int, metadata: Mapping[str, Any]) -> ResponseTable:
        values = {name: column.read(number, number + 1)[0] for name, column in self.columns.items()}
        return ResponseTable(self.form, self.axes, values, self.units, metadata)
