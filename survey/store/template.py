"""Templates: the metadata and coordinates of a dataset on the survey's grid, before any worker writes to it.

`survey.store.cube` writes, reads and finishes what is made here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from survey.store import urls
from survey.store.provenance import FORMAT, FORMAT_VERSION
from survey.store.quantum import quantum
from survey.store.variables import CELL_DIMS, CUBE, DEFAULT_VARIABLES, PIXEL_DIMS, Variable

if TYPE_CHECKING:
    import zarr

GROUP_DIM = "group"
COMPRESSION_LEVEL = 1
"""Of zstd, which gives the same bytes every time; higher levels save a tenth of the space for twice the time."""

AXES: Mapping[str, tuple[str, str]] = {
    "energy": ("TeV", "reconstructed energy"),
    "energy_true": ("TeV", "true energy"),
    "rad": ("deg", "distance from the centre of the point spread function"),
}
"""Units and meaning of the axes that have bins."""


class GridLike(Protocol):
    """What a template needs to know of a pixel grid."""

    @property
    def cell(self) -> int:
        """Pixels along the side of a response cell."""

    @property
    def chunk(self) -> int:
        """Pixels along the side of an inner chunk."""

    @property
    def tile(self) -> int:
        """Pixels along the side of a tile."""

    @property
    def binsize(self) -> float:
        """Pixel size, deg."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of pixels."""

    @property
    def cells(self) -> tuple[int, int]:
        """Rows and columns of response cells."""

    @property
    def is_cyclic(self) -> bool:
        """Whether the last column touches the first one."""

    def header(self) -> str:
        """FITS header, a card a line."""

    def key(self) -> dict[str, Any]:
        """Plain values that make the grid."""


class AxisLike(Protocol):
    """An energy axis."""

    @property
    def edges(self) -> NDArray[np.float64]:
        """Edges, TeV."""

    @property
    def centers(self) -> NDArray[np.float64]:
        """Centres, TeV."""


class AxesLike(Protocol):
    """The axes of a survey."""

    @property
    def energy(self) -> AxisLike:
        """Reconstructed energy."""

    @property
    def energy_true(self) -> AxisLike:
        """True energy."""

    @property
    def rad_edges(self) -> NDArray[np.float64]:
        """Edges in distance from the centre of the PSF, deg."""


def create_cube(
    url: str,
    grid: GridLike,
    axes: AxesLike,
    *,
    variables: Sequence[str] = DEFAULT_VARIABLES,
    groups: Sequence[str] | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Template of a DL4 cube: metadata and coordinates, zero everywhere.

    Parameters
    ----------
    url : str
        Of the dataset: ``.../cube.zarr/<dataset name>``. What was there is removed.
    grid : SkyGrid
        The pixel grid.
    axes : Axes
        The axes.
    variables : sequence of str
        Names in `survey.store.variables.CUBE`.
    groups : sequence of str, optional
        Names along the leading dim ``group``, if there is to be one.
    attributes : mapping, optional
        More attributes of the dataset, plain values.
    """
    rows = [CUBE[name] for name in variables]
    used = {dim for row in rows for dim in row.dims}
    rad_edges = np.asarray(axes.rad_edges, dtype=np.float64)
    bins = {
        "energy": (axes.energy.centers, axes.energy.edges),
        "energy_true": (axes.energy_true.centers, axes.energy_true.edges),
        "rad": (0.5 * (rad_edges[:-1] + rad_edges[1:]), rad_edges),
    }
    coordinates: dict[str, tuple[tuple[str, ...], NDArray[Any], dict[str, Any]]] = {}
    for dim, (centers, edges) in bins.items():
        if dim in used:
            units, meaning = AXES[dim]
            coordinates[dim] = (dim,), centers, {"units": units, "long_name": f"{meaning}, centre of the bin"}
            coordinates[f"{dim}_edges"] = (f"{dim}_edge",), edges, {"units": units, "long_name": f"{meaning}, edges"}
    if groups is not None:
        coordinates[GROUP_DIM] = (GROUP_DIM,), np.asarray(groups, dtype=np.dtypes.StringDType()), {}
    quanta = {}
    for row in rows:
        low = None if row.energy_dim is None else bins[row.energy_dim][1][:-1]
        quanta[row.name] = quantum(row.name, low)
    create_dataset(url, grid, rows, coordinates=coordinates, quanta=quanta, attributes=attributes)


def create_dataset(
    url: str,
    grid: GridLike,
    variables: Sequence[Variable],
    *,
    coordinates: Mapping[str, tuple[tuple[str, ...], ArrayLike, Mapping[str, Any]]],
    quanta: Mapping[str, NDArray[np.float64]] | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Template of any dataset on the grid; `create_cube` makes that of a cube, this serves maps too.

    Parameters
    ----------
    url : str
        Of the dataset: ``.../maps.zarr/<name>``. What was there is removed.
    grid : SkyGrid
        The pixel grid.
    variables : sequence of Variable
        Their last two dims are ``y, x`` or ``y_irf, x_irf``.
    coordinates : mapping
        Name to (dims, values, attributes); every other dim of the variables must have its size from one of them.
    quanta : mapping, optional
        Quantum of a variable, where it is a sum of quanta.
    attributes : mapping, optional
        More attributes of the dataset, plain values.
    """
    import zarr
    from zarr.codecs import ZstdCodec

    sizes = dict(zip((*PIXEL_DIMS, *CELL_DIMS), (*grid.shape, *grid.cells), strict=True))
    arrays = {name: (dims, np.asarray(values), dict(attrs)) for name, (dims, values, attrs) in coordinates.items()}
    for dims, values, _ in arrays.values():
        sizes.update(zip(dims, values.shape, strict=True))
    urls.remove(url)
    put_root(urls.parent(url))
    group = zarr.create_group(urls.open_store(url, "w"), zarr_format=3)
    for name, (dims, values, attrs) in arrays.items():
        put_table(group, name, values, dims, attrs)
    leading = (GROUP_DIM,) if GROUP_DIM in arrays else ()
    for variable in variables:
        dims = (*leading, *variable.dims)
        step = grid.cell if variable.is_on_cells else 1
        inner = tuple(sizes[dim] for dim in variable.dims[:-2])
        ones = (1,) * len(leading)
        attrs = {"units": variable.units, "long_name": variable.long_name, **variable.attributes}
        if quanta is not None and variable.name in quanta:
            attrs["quantum"] = quanta[variable.name].tolist()
        group.create_array(
            variable.name,
            shape=tuple(sizes[dim] for dim in dims),
            dtype=variable.dtype,
            chunks=(*ones, *inner, grid.chunk // step, grid.chunk // step),
            shards=(*ones, *inner, grid.tile // step, grid.tile // step),
            compressors=ZstdCodec(level=COMPRESSION_LEVEL),
            fill_value=variable.fill,
            dimension_names=dims,
            attributes=attrs,
        )
    aside = [name for name, (dims, _, _) in arrays.items() if dims != (name,)]
    group.attrs.update(
        {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "status": "running",
            "wcs": grid.header(),
            "grid": grid.key(),
            "binsize": grid.binsize,
            "cell": grid.cell,
            "chunk": grid.chunk,
            "tile": grid.tile,
            "cyclic": grid.is_cyclic,
            **({"coordinates": " ".join(aside)} if aside else {}),
            **(attributes or {}),
        }
    )


def put_root(url: str) -> None:
    """Make the group above a dataset, if its name says that it is a store; what it consolidated is out of date."""
    if url.endswith(".zarr"):
        content = {"attributes": {}, "zarr_format": 3, "node_type": "group"}
        urls.write_bytes(urls.join(url, "zarr.json"), json.dumps(content, indent=2).encode())


def put_table(
    group: zarr.Group, name: str, values: NDArray[Any], dims: tuple[str, ...], attributes: Mapping[str, Any]
) -> None:
    """A small array in one chunk."""
    from zarr.codecs import ZstdCodec

    values = np.ascontiguousarray(values)
    array = group.create_array(
        name,
        shape=values.shape,
        dtype=values.dtype,
        chunks=tuple(max(1, size) for size in values.shape),
        compressors=ZstdCodec(level=COMPRESSION_LEVEL),
        dimension_names=dims,
        attributes=dict(attributes),
        overwrite=True,
    )
    if values.size:
        array[...] = values
