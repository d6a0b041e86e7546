"""Datasets on the survey's grid in Zarr: whole-shard writes, reads of any window, the end.

The driver alone writes metadata: `create_cube` or `create_dataset` (`survey.store.template`) before, `write_tables` and
`finalise` after. Workers call `write_block`, one a tile: **a tile is a shard**, and a write that is not of whole shards
is refused, because parts of a shard written by two workers lose one another. Plain `xarray.open_zarr` shows everything
on a machine without this package.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from survey.store import urls
from survey.store.provenance import check_format
from survey.store.template import GROUP_DIM, GridLike, create_cube, create_dataset, put_root, put_table
from survey.store.variables import CELL_DIMS

if TYPE_CHECKING:
    import xarray as xr
    import zarr

__all__ = [
    "ShardError",
    "create_cube",
    "create_dataset",
    "finalise",
    "open_cube",
    "read_window",
    "reopen",
    "write_block",
    "write_region",
    "write_tables",
]


class ShardError(ValueError):
    """A write that is not of whole shards."""


def write_block(
    url: str,
    values: Mapping[str, NDArray[Any]],
    grid: GridLike,
    tile: tuple[int, int],
    *,
    group: int | None = None,
) -> None:
    """Write the shards of one tile.

    Parameters
    ----------
    url : str
        Of the dataset.
    values : mapping
        Variable name to its array on the tile (clipped at the edge of the grid), with all other dims whole.
    grid : SkyGrid
        The pixel grid, checked against the dataset's.
    tile : (int, int)
        Row and column of the tile.
    group : int, optional
        Position along the leading dim ``group``, of a dataset that has one.

    Raises
    ------
    ShardError
        When an array is not the whole shard.
    """
    opened = _open_group(url, "r+")
    attributes: Mapping[str, Any] = opened.attrs
    if dict(attributes["grid"]) != grid.key():
        raise ShardError(f"{url}: its grid is {attributes['grid']}, expected that of the tile, {grid.key()}")
    for name, array in values.items():
        stored = _member(opened, name, url)
        assert stored.shards is not None
        y, x = tile[0] * stored.shards[-2], tile[1] * stored.shards[-1]
        rows, columns = array.shape[-2:]
        write_region(stored, array, (slice(y, y + rows), slice(x, x + columns)), group=group)


def empty_block(url: str, names: Sequence[str], tile: tuple[int, int]) -> None:
    """Write what a tile holds that nothing was written to, the fill value of each variable, which removes its shards.

    Parameters
    ----------
    url : str
        Of the dataset.
    names : sequence of str
        Variables.
    tile : (int, int)
        Row and column of the tile.
    """
    opened = _open_group(url, "r+")
    for name in names:
        stored = _member(opened, name, url)
        assert stored.shards is not None
        edges = zip(tile, stored.shards[-2:], stored.shape[-2:], strict=True)
        place: Any = (..., *(slice(at * size, min((at + 1) * size, whole)) for at, size, whole in edges))
        stored[place] = stored.fill_value


def write_region(
    stored: zarr.Array, values: NDArray[Any], region: tuple[slice, slice], *, group: int | None = None
) -> None:
    """Write whole shards, clipped at the edge of the grid; anything else is refused.

    Parameters
    ----------
    stored : zarr.Array
        Of a dataset.
    values : numpy.ndarray
        Its last two dims are those of `region`, the others whole.
    region : (slice, slice)
        Rows and columns of `stored`.
    group : int, optional
        Position along the leading dim ``group``.
    """
    assert stored.shards is not None
    shape = tuple(stored.shape)
    for part, step, size in zip(region, stored.shards[-2:], shape[-2:], strict=True):
        if (
            part.start % step
            or part.start >= size
            or not (part.stop == size or (part.stop < size and part.stop % step == 0))
        ):
            raise ShardError(
                f"{stored.path}: rows or columns {part.start} to {part.stop} of {size}, expected whole shards of {step}"
            )
    dims = getattr(stored.metadata, "dimension_names", None) or ()
    inner: tuple[Any, ...] = tuple(slice(None) for _ in shape[:-2])
    expected = (*shape[:-2], *(part.stop - part.start for part in region))
    if dims and dims[0] == GROUP_DIM:
        if group is None or not 0 <= group < shape[0]:
            raise ShardError(f"{stored.path}: group {group}, expected one of 0 to {shape[0] - 1}")
        inner, expected = (group, *inner[1:]), expected[1:]
    elif group is not None:
        raise ShardError(f"{stored.path}: group {group} given, but the dataset has no such dim")
    if values.shape != expected:
        raise ShardError(f"{stored.path}: array of shape {values.shape} for a shard of shape {expected}")
    stored[(*inner, *region)] = np.asarray(values, dtype=stored.dtype)


def read_window(
    url: str, variables: Sequence[str], window: tuple[int, int, int, int], *, group: int | None = None
) -> dict[str, NDArray[Any]]:
    """Read a window of pixels across shards, and the response cells that it touches.

    Parameters
    ----------
    url : str
        Of the dataset.
    variables : sequence of str
        Names of variables.
    window : Window
        Half-open ranges ``y0, y1, x0, x1`` of pixels; on a cyclic grid its columns may cross the seam.
    group : int, optional
        Position along the leading dim ``group``, of a dataset that has one.

    Returns
    -------
    dict of str to numpy.ndarray
        Each with its last two dims those of the window, or of its cells.
    """
    opened = _open_group(url, "r")
    attributes: Mapping[str, Any] = opened.attrs
    check_format(attributes, url)
    cell, cyclic = int(attributes["cell"]), bool(attributes["cyclic"])
    y0, y1, x0, x1 = window
    found = {}
    for name in variables:
        stored = _member(opened, name, url)
        dims = getattr(stored.metadata, "dimension_names", None) or ()
        rows, columns = (y0, y1), (x0, x1)
        if tuple(dims[-2:]) == CELL_DIMS:
            rows, columns = (y0 // cell, -(-y1 // cell)), (x0 // cell, -(-x1 // cell))
        found[name] = _read(stored, rows, columns, cyclic, group, url)
    return found


def _read(
    stored: zarr.Array, rows: tuple[int, int], columns: tuple[int, int], cyclic: bool, group: int | None, url: str
) -> NDArray[Any]:
    ny, nx = stored.shape[-2:]
    outside = rows[0] < 0 or rows[1] > ny or columns[1] - columns[0] > nx
    if outside or (not cyclic and (columns[0] < 0 or columns[1] > nx)):
        raise ValueError(f"{url}: rows {rows}, columns {columns} of {stored.name}, expected within {ny} x {nx}")
    first: tuple[Any, ...] = () if group is None else (group,)
    parts = []
    start = columns[0]
    while start < columns[1]:
        turn = start // nx * nx
        stop = min(columns[1], turn + nx)
        parts.append(stored[(*first, ..., slice(*rows), slice(start - turn, stop - turn))])
        start = stop
    return np.asarray(parts[0]) if len(parts) == 1 else np.concatenate(parts, axis=-1)


def open_cube(url: str, *, chunks: Any = None) -> xr.Dataset:
    """Open a dataset lazily.

    Parameters
    ----------
    url : str
        Of the dataset.
    chunks : optional
        As of `xarray.open_zarr`: None reads on indexing, ``{}`` gives Dask arrays of the stored chunks.

    Raises
    ------
    FormatError
        When it is not one of this format, or of a newer version.
    FileNotFoundError
        When there is none.
    """
    import xarray as xr

    consolidated = bool(_open_group(url, "r").metadata.consolidated_metadata)
    dataset = xr.open_zarr(urls.open_store(url, "r"), chunks=chunks, consolidated=consolidated, decode_timedelta=False)
    check_format(dataset.attrs, url)
    return dataset


def write_tables(
    url: str, *, observation_id: ArrayLike, gti: ArrayLike, reference: Mapping[str, Any] | None = None
) -> None:
    """Write which observations and times a dataset holds; by the driver, before `finalise`.

    Parameters
    ----------
    url : str
        Of the dataset.
    observation_id : array-like
        Identifiers (n,), numbers or names.
    gti : array-like
        Good time intervals (m, 2), start and stop, s since `reference`.
    reference : mapping
        ``mjdrefi``, ``mjdreff``, ``timesys``.
    """
    group = _open_group(url, "r+")
    intervals = np.asarray(gti, dtype=np.float64).reshape(-1, 2)
    names = np.asarray(observation_id)
    if names.dtype.kind in "UO":
        names = names.astype(np.dtypes.StringDType())
    put_table(group, "observation_id", names, ("observation",), {"long_name": "observations in the dataset"})
    for name, column in (("gti_start", 0), ("gti_stop", 1)):
        attrs = {"units": "s", "long_name": f"good time interval, {name[4:]}", **(reference or {})}
        put_table(group, name, intervals[:, column], ("gti",), attrs)


def reopen(url: str) -> None:
    """Say that a dataset is being written again: a run that is broken off now leaves it ``running``.

    Parameters
    ----------
    url : str
        Of the dataset.
    """
    group = _open_group(url, "r+")
    if group.attrs["status"] != "running":
        put_root(urls.parent(url))
        group.attrs["status"] = "running"


def finalise(url: str, *, provenance: Mapping[str, Any] | None = None, complete: bool = True) -> None:
    """The last metadata of a dataset: provenance, status, and all of it consolidated in one file.

    Parameters
    ----------
    url : str
        Of the dataset.
    provenance : mapping, optional
        From `survey.store.provenance.provenance`.
    complete : bool
        Whether everything is written: ``status`` becomes ``complete``, else it stays ``running``.
    """
    import zarr
    from zarr.errors import ZarrUserWarning

    group = _open_group(url, "r+")
    if provenance is not None:
        group.attrs["provenance"] = dict(provenance)
    group.attrs["status"] = "complete" if complete else "running"
    with warnings.catch_warnings():
        # zarr reminds that this part is not yet in the specification of version 3: readers know or ignore it
        warnings.filterwarnings("ignore", message="Consolidated metadata", category=ZarrUserWarning)
        zarr.consolidate_metadata(urls.open_store(url, "w"), zarr_format=3)
        root = urls.parent(url)
        if root.endswith(".zarr"):
            zarr.consolidate_metadata(urls.open_store(root, "w"), zarr_format=3)


def _open_group(url: str, mode: Literal["r", "r+"]) -> zarr.Group:
    import zarr
    from zarr.errors import GroupNotFoundError

    try:
        store = urls.open_store(url, "r" if mode == "r" else "w")
        return zarr.open_group(store, mode=mode, zarr_format=3, use_consolidated=None if mode == "r" else False)
    except (FileNotFoundError, GroupNotFoundError):
        raise FileNotFoundError(f"{url}: there is no dataset") from None


def _member(group: zarr.Group, name: str, url: str) -> zarr.Array:
    import zarr

    try:
        found = group[name]
    except KeyError:
        raise KeyError(f"{url}: no variable {name!r}, only {', '.join(sorted(group.array_keys()))}") from None
    assert isinstance(found, zarr.Array)
    return found
