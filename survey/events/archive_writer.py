"""The archive's writer: the template from the plan, then shards, each owned by one unit of work.

Only the driver writes metadata and the tables with a row an observation; events and responses are filled in by
:func:`write_events` and :func:`write_stack`, in any order, on any number of workers: the bytes are the same.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import zarr
from astropy.table import Table
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

from survey.events.archive_format import (
    FORMAT,
    FORMAT_VERSION,
    ColumnType,
    attributes,
    column_of,
    hash_events,
    hash_values,
    safe_name,
)
from survey.events.archive_plan import ArchivePlan, offsets
from survey.events.gadf_columns import EVENT_UNITS
from survey.events.observation import Observation
from survey.response.table import KINDS, ResponseTable
from survey.store.urls import open_store

NUMBERS = ("ra", "dec", "alt", "az", "mjdreff", "ontime", "livetime", "zenith")
TEXTS = ("identity", "mode", "time_scale", "digest")
UNITS: Mapping[str, str] = {
    **dict.fromkeys(("ra", "dec", "alt", "az", "zenith"), "deg"),
    **dict.fromkeys(("ontime", "livetime"), "s"),
    **dict.fromkeys(("location_x", "location_y", "location_z"), "m"),
    "mjdreff": "d",
    "mjdrefi": "d",
}


class ArchiveMismatch(RuntimeError):
    """An observation is no longer what it was when it was counted."""


def create_archive(
    url: str,
    plan: ArchivePlan,
    *,
    name: str,
    key: str,
    table: Table,
    records: Sequence[Mapping[str, Any]],
    problems: Sequence[Mapping[str, Any]],
    table_of: Callable[[int, str], ResponseTable],
) -> None:
    """Write everything but events and responses; what was at `url` is gone.

    Parameters
    ----------
    url : str
        Of the archive.
    plan : ArchivePlan
        Where everything goes.
    name : str
        Of the data store.
    key : str
        Of the plan; :func:`complete_archive` asserts it.
    table : astropy.table.Table
        The observation index, a row an observation of the plan.
    records : sequence of mapping
        The same rows as plain values.
    problems : sequence of mapping
        Of the data store, as plain values.
    table_of : callable
        Reads the response of a row of the plan and a kind: an example for every stack.
    """
    content: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "status": "running",
        "name": name,
        "n_observations": len(plan.facts),
        "n_events": int(plan.n_events.sum()),
    }
    root = zarr.open_group(open_store(url, "w"), mode="w", zarr_format=3, attributes=content)
    _write_observations(root, plan, records)
    _write_flat(root, plan)
    _write_index(root, plan, table)
    rows = _RowWriter(root.create_group("set_aside"), plan, "rejected")
    rows.write("identity", np.array([row[0] for row in plan.set_aside], dtype=np.dtypes.StringDType()))
    rows.write("obs_id", np.array([row[1] for row in plan.set_aside], dtype=np.int64))
    rows.write("reason", np.array([row[2] for row in plan.set_aside], dtype=np.dtypes.StringDType()))
    rows = _RowWriter(root.create_group("problems"), plan, "problem")
    rows.write("problem", np.array([json.dumps(dict(p)) for p in problems], dtype=np.dtypes.StringDType()))
    _create_events(root, plan)
    _create_stacks(root, plan, table_of)
    # Last: a template that a killed driver left unfinished has no plan, and is made again.
    root.attrs["plan"] = key


def write_events(url: str, *, shard: int, pieces: Iterable[tuple[Observation, int, int, int, str]]) -> int:
    """Fill one shard of every event column.

    Parameters
    ----------
    url : str
        Of the archive.
    shard : int
        Its number.
    pieces : iterable of (Observation, first, start, stop, digest)
        See `survey.events.archive_plan.EventPiece`; taken one at a time. `digest` is the hash of all events when they
        were counted.

    Returns
    -------
    int
        Events written.

    Raises
    ------
    ArchiveMismatch
        When the events of an observation have another hash.
    """
    group = zarr.open_group(open_store(url, "w"), path="events", mode="r+")
    arrays = {column_of(array): array for _, array in group.arrays()}
    if not arrays:
        return 0
    one = next(iter(arrays.values()))
    begin = shard * _shard_length(one)
    length = min(_shard_length(one), one.shape[0] - begin)
    buffers = {column: np.zeros((length, *column.cell), column.array_dtype) for column in arrays}
    written = 0
    for observation, first, start, stop, digest in pieces:
        if hash_events(observation.events) != digest:
            raise ArchiveMismatch(
                f"events of {observation.identity} have changed since they were counted; run it again"
            )
        for name, values in observation.events.items():
            column = ColumnType.of(name, values)
            buffers[column][start:stop] = column.stored(values[first : first + stop - start])
        written += stop - start
    for column, array in arrays.items():
        array[begin : begin + length] = buffers[column]
    return written


def write_stack(url: str, *, path: str, shard: int, tables: Iterable[tuple[ResponseTable, str]]) -> int:
    """Fill one shard of a stack of responses.

    Parameters
    ----------
    url : str
        Of the archive.
    path : str
        Of the stack.
    shard : int
        Its number.
    tables : iterable of (ResponseTable, hash)
        Those that belong there, in order, with the hash of their values when they were counted; taken one at a time.

    Returns
    -------
    int
        Tables written.

    Raises
    ------
    ArchiveMismatch
        When a table has another hash.
    """
    group = zarr.open_group(open_store(url, "w"), path=path, mode="r+")
    arrays: dict[str, zarr.Array] = {}
    for _, array in group.arrays():
        if "column" in attributes(array):
            arrays[attributes(array)["column"]] = array
    one = next(iter(arrays.values()))
    begin = shard * _shard_length(one)
    length = min(_shard_length(one), one.shape[0] - begin)
    buffers = {name: np.zeros((length, *array.shape[1:]), array.dtype) for name, array in arrays.items()}
    count = 0
    for count, (table, digest) in enumerate(tables, start=1):
        if hash_values(table) != digest:
            raise ArchiveMismatch(f"{table.form} for {path} has changed since it was counted; run it again")
        for name, values in table.values.items():
            buffers[name][count - 1] = values
    if count != length:
        raise ArchiveMismatch(f"shard {shard} of {path} takes {length} tables, got {count}")
    for name, array in arrays.items():
        array[begin : begin + length] = buffers[name]
    return count


def complete_archive(url: str, *, key: str, terms: str = "") -> None:
    """Say that all shards of the plan `key` are there, and on what `terms` the data may be used."""
    store = open_store(url, "w")
    root = zarr.open_group(store, mode="r+")
    if root.attrs.get("plan") != key:
        raise ArchiveMismatch(f"{url} holds another plan; another process writes there")
    root.attrs.update({"status": "complete", "terms": terms})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata", category=UserWarning)
        zarr.consolidate_metadata(store)


class _RowWriter:
    """Arrays with a row an observation, an interval or a sample, written whole by the driver."""

    def __init__(self, group: zarr.Group, plan: ArchivePlan, dim: str) -> None:
        self.group, self.layout, self.dim = group, plan.layout, dim

    def write(self, name: str, values: NDArray[Any], **attributes: Any) -> None:
        """One array of `values`."""
        chunk = self.layout.row_chunk
        array = _create(
            self.group,
            name,
            shape=values.shape,
            dtype=values.dtype,
            chunk=chunk,
            shard=chunk * self.layout.row_shard_chunks,
            dims=(self.dim, *(f"{name}_{i}" for i in range(values.ndim - 1))),
            attributes=attributes,
        )
        if values.size:
            array[:] = values


def _write_observations(root: zarr.Group, plan: ArchivePlan, records: Sequence[Mapping[str, Any]]) -> None:
    rows, facts = _RowWriter(root.create_group("observations"), plan, "observation"), plan.facts

    def text(values: Iterator[str]) -> NDArray[Any]:
        return np.array(list(values), dtype=np.dtypes.StringDType())

    def whole(values: Iterator[int]) -> NDArray[np.int64]:
        return np.fromiter(values, dtype=np.int64)

    for name in TEXTS:
        rows.write(name, text(fact[name] for fact in facts))
    for name in NUMBERS:
        units = {"units": UNITS[name]} if name in UNITS else {}
        rows.write(name, np.array([fact[name] for fact in facts], dtype=np.float64), **units)
    rows.write("obs_id", whole(fact["obs_id"] for fact in facts))
    rows.write("mjdrefi", whole(fact["mjdrefi"] for fact in facts), units="d")
    for number, axis in enumerate("xyz"):
        values = [np.nan if fact["location"] is None else fact["location"][number] for fact in facts]
        rows.write(f"location_{axis}", np.array(values, dtype=np.float64), units="m")
    gti = whole(len(fact["gti"][0]) for fact in facts)
    track = whole(-1 if fact["track"] is None else len(fact["track"][0]) for fact in facts)
    for name, counts in (("event", plan.n_events), ("gti", gti), ("pointing", track)):
        rows.write(f"n_{name}", counts)
        rows.write(f"{name}_offset", offsets(np.maximum(counts, 0)))
    arrays = {column: array for column, array in plan.columns().items()}
    names = ([arrays[ColumnType(n, d, tuple(c))] for n, d, c in fact["columns"]] for fact in facts)
    rows.write("event_columns", text(json.dumps(columns) for columns in names))
    rows.write("metadata", text(json.dumps(fact["metadata"]) for fact in facts))
    rows.write("notes", text(json.dumps(fact["notes"]) for fact in facts))
    rows.write("doubts", text(json.dumps(fact["doubts"]) for fact in facts))
    rows.write("record", text(json.dumps(dict(record)) for record in records))
    stacks = plan.stacks()
    for kind in KINDS:
        entries = [fact["responses"].get(kind) for fact in facts]
        rows.write(f"{kind}_stack", text("" if e is None else e["stack"] for e in entries))
        places = (-1 if e is None else stacks[kind, e["stack"]].values[e["values"]] for e in entries)
        rows.write(f"{kind}_row", whole(places))
        rows.write(f"{kind}_metadata", text("{}" if e is None else json.dumps(e["metadata"]) for e in entries))


def _write_flat(root: zarr.Group, plan: ArchivePlan) -> None:
    """Good times and pointing tables."""
    columns = {"gti": ("START", "STOP"), "pointing": ("TIME", "RA_PNT", "DEC_PNT")}
    for path, names in columns.items():
        rows = _RowWriter(root.create_group(path), plan, "interval" if path == "gti" else "sample")
        parts = [fact["gti" if path == "gti" else "track"] for fact in plan.facts]
        for number, name in enumerate(names):
            flat = [np.array(part[number], dtype=np.float64) for part in parts if part is not None]
            unit = "deg" if name.endswith("_PNT") else "s"
            rows.write(name, np.concatenate([np.empty(0), *flat]), units=unit)


def _write_index(root: zarr.Group, plan: ArchivePlan, table: Table) -> None:
    group = root.create_group("index")
    rows = _RowWriter(group, plan, "observation")
    names = []
    for name in table.colnames:
        column = table[name]
        mask = np.asarray(getattr(column, "mask", np.zeros(column.shape, bool)))
        values = np.asarray(column.filled() if hasattr(column, "filled") else column)
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
        if values.dtype.kind == "O":
            values = values.astype(str)
        kind = ColumnType.of(name, values)
        units = {} if column.unit is None else {"units": str(column.unit)}
        rows.write(safe_name(name), kind.stored(values), column=[name, kind.dtype], **units)
        if np.any(mask):
            rows.write(f"{safe_name(name)}__mask", np.broadcast_to(mask, values.shape))
        names.append(name)
    header = {key: value for key, value in table.meta.items() if isinstance(value, str | int | float | bool)}
    group.attrs.update({"columns": names, "header": json.dumps(header)})


def _create_events(root: zarr.Group, plan: ArchivePlan) -> None:
    group = root.create_group("events")
    shard = plan.event_shard()
    for column, name in plan.columns().items():
        _create(
            group,
            name,
            shape=(int(plan.n_events.sum()), *column.cell),
            dtype=column.array_dtype,
            chunk=plan.layout.event_chunk,
            shard=shard,
            dims=("event", *(f"{name}_{i}" for i in range(len(column.cell)))),
            attributes={
                "column": [column.name, column.dtype, list(column.cell)],
                "units": EVENT_UNITS.get(column.name, ""),
            },
        )


def _create_stacks(root: zarr.Group, plan: ArchivePlan, table_of: Callable[[int, str], ResponseTable]) -> None:
    root.create_group("response")
    for stack in plan.stacks().values():
        table = table_of(stack.rows[0], stack.kind)
        group = root.create_group(stack.path)
        group.attrs.update(
            {"form": table.form, "axes": [axis.name for axis in table.axes], "columns": list(table.values)}
        )
        rows = _RowWriter(group, plan, "")
        for axis in table.axes:
            rows.dim = axis.name
            for end, edges in (("low", axis.low), ("high", axis.high)):
                rows.write(f"{axis.name}_{end}", np.asarray(edges, dtype=np.float64))
        for name, values in table.values.items():
            dims = [axis.name for axis in table.axes]
            fits = values.shape == table.shape
            _create(
                group,
                safe_name(name),
                shape=(len(stack.rows), *values.shape),
                dtype=values.dtype,
                chunk=1,
                shard=plan.stack_shard(stack),
                dims=("table", *(dims if fits else [f"{name}_{i}" for i in range(values.ndim)])),
                attributes={"column": name, "units": table.units[name]},
            )


def _create(
    group: zarr.Group,
    name: str,
    *,
    shape: tuple[int, ...],
    dtype: Any,
    chunk: int,
    shard: int,
    dims: Sequence[str],
    attributes: Mapping[str, Any],
) -> zarr.Array:
    """An empty array, cut along its first dimension."""
    text = isinstance(dtype, np.dtypes.StringDType)
    cell = tuple(max(size, 1) for size in shape[1:])
    return group.create_array(
        name,
        shape=shape,
        dtype=str if text else dtype,
        chunks=(chunk, *cell),
        shards=(shard, *cell),
        compressors=[ZstdCodec(level=3)],
        fill_value="" if text else np.zeros((), dtype)[()],
        dimension_names=list(dims),
        attributes=dict(attributes),
        # A chunk of zeros is stored too: whether it is there must not depend on its content.
        config={"write_empty_chunks": True},
    )


def _shard_length(array: zarr.Array) -> int:
    return int((array.shards or array.chunks)[0])
