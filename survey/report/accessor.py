"""``.sky`` on cubes and maps: cut out a part of the sky, plot a map. Registered with xarray when this module is imported."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.units import Quantity
from astropy.wcs import WCS
from matplotlib.figure import Figure
from numpy.typing import NDArray

from survey.report.figures import draw_map

ADDITIVE = ("counts", "background", "excess", "npred", "npred_excess", "counts_off", "background_off")
"""Variables whose energy bins add up to a picture that means something."""


def apart(bands: NDArray[np.float64]) -> bool:
    """Whether energy bands, (n, 2), do not overlap, so that sums over them count nothing twice."""
    return bool(np.all(bands[1:, 0] >= bands[:-1, 1] * (1 - 1e-9)))


def wcs_of(dataset: xr.Dataset) -> WCS:
    """Celestial WCS of a dataset's pixels, from its attribute ``wcs``; a cut-out keeps track of its first pixel."""
    wcs = WCS(fits.Header.fromstring(dataset.attrs["wcs"], sep="\n"))
    wcs.wcs.crpix = np.asarray(wcs.wcs.crpix) - [dataset.attrs.get("x_first", 0), dataset.attrs.get("y_first", 0)]
    wcs.array_shape = (dataset.sizes["y"], dataset.sizes["x"])
    return wcs


@xr.register_dataset_accessor("sky")
class SkyAccessor:
    """The sky of a dataset.

    Parameters
    ----------
    dataset : xarray.Dataset
        Cube or maps with dims ``y`` and ``x`` and the attribute ``wcs``.
    """

    def __init__(self, dataset: xr.Dataset) -> None:
        self._dataset = dataset

    @property
    def wcs(self) -> WCS:
        """Celestial WCS of the pixels."""
        return wcs_of(self._dataset)

    def cutout(self, position: SkyCoord, width: Quantity | tuple[Quantity, Quantity]) -> xr.Dataset:
        """Part of the dataset around a position, made of whole response cells.

        Parameters
        ----------
        position : astropy.coordinates.SkyCoord
            Centre.
        width : astropy.units.Quantity or pair of them
            Width, or width in longitude and latitude.

        Returns
        -------
        xarray.Dataset
            The same variables on fewer pixels; still lazy.

        Raises
        ------
        ValueError
            When the position is not on the grid.
        """
        data = self._dataset
        pair = width if isinstance(width, tuple) else (width, width)
        x, y = self.wcs.world_to_pixel(position)
        cell = int(data.attrs.get("cell", 1))
        scale = abs(self.wcs.wcs.cdelt[0])
        ranges = {}
        for dim, center, size in (("y", float(y), pair[1]), ("x", float(x), pair[0])):
            half = 0.5 * float(size.to_value("deg")) / scale
            if not np.isfinite(center) or not -0.5 <= center < data.sizes[dim] - 0.5:
                raise ValueError(
                    f"the position {position.to_string('decimal')} is not on the grid of {dict(data.sizes)}"
                )
            first = max(0, int(np.floor((center - half + 0.5) / cell)) * cell)
            last = min(data.sizes[dim], int(np.ceil((center + half + 0.5) / cell)) * cell)
            ranges[dim] = (first, last)
        indexers: dict[str, slice] = {dim: slice(*pixels) for dim, pixels in ranges.items()}
        for dim, (first, last) in ranges.items():
            if f"{dim}_irf" in data.sizes:
                indexers[f"{dim}_irf"] = slice(first // cell, -(-last // cell))
        part = data.isel(indexers)
        part.attrs = dict(data.attrs)
        part.attrs["y_first"] = data.attrs.get("y_first", 0) + ranges["y"][0]
        part.attrs["x_first"] = data.attrs.get("x_first", 0) + ranges["x"][0]
        return part

    def _adds_up(self, name: str) -> bool:
        """Whether the sum of a variable over its energy bins means something: not of a ratio, not of bands that overlap."""
        edges = self._dataset.coords.get("energy_edges")
        if edges is None or "bound" not in edges.dims:
            return name in ADDITIVE
        return name in ADDITIVE and apart(edges.values)

    def plot(self, name: str, *, energy: int | None = None, regions: tuple = ()) -> Figure:
        """Picture of a variable.

        Parameters
        ----------
        name : str
            Variable.
        energy : int, optional
            Bin of its energy axis; needed where there are several, unless they add up (counts, background, excess).
        regions : tuple of regions.SkyRegion
            Drawn as outlines.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        KeyError
            When there is no such variable.
        ValueError
            When it has several bins which do not add up, and `energy` does not choose one.
        """
        if name not in self._dataset:
            raise KeyError(f"there is no {name!r}; there are {', '.join(map(str, self._dataset.data_vars))}")
        array = self._dataset[name]
        others = [dim for dim in array.dims if dim not in ("y", "x")]
        title = str(array.attrs.get("long_name", name))
        for dim in others:
            if energy is not None:
                array = array.isel({dim: energy})
            elif array.sizes[dim] == 1:
                array = array.isel({dim: 0})
            elif not self._adds_up(name):
                raise ValueError(
                    f"{name} has {array.sizes[dim]} bins of {dim}, which do not add up: choose one, "
                    f"energy=0 to {array.sizes[dim] - 1}"
                )
            else:
                array = array.sum(str(dim), keep_attrs=True)
        values = array.values.astype(np.float64)
        return draw_map(
            values, self.wcs, name=name, title=title, unit=str(array.attrs.get("units", "")), regions=regions
        )


@xr.register_datatree_accessor("sky")
class SkyTreeAccessor:
    """The sky of several datasets: finds a map by its name.

    Parameters
    ----------
    tree : xarray.DataTree
        Maps of a run.
    """

    def __init__(self, tree: xr.DataTree) -> None:
        self._tree = tree

    def _find(self, name: str) -> tuple[xr.Dataset, str]:
        group, slash, variable = name.rpartition("/")
        children = (
            [self._tree[group]] if slash else [self._tree[child] for child in ("ts", "excess") if child in self._tree]
        )
        for child in children:
            if variable in child.data_vars:
                return child.to_dataset(), variable
        there = [f"{child}/{name}" for child in self._tree.children for name in self._tree[child].data_vars]
        raise KeyError(f"there is no map {name!r}; there are {', '.join(there)}")

    def plot(self, name: str, **options: Any) -> Figure:
        """Picture of a map: ``sqrt_ts`` (of the TS map where there is one), or ``excess/sqrt_ts``; see `SkyAccessor.plot`."""
        dataset, variable = self._find(name)
        return SkyAccessor(dataset).plot(variable, **options)

    def cutout(self, position: SkyCoord, width: Quantity | tuple[Quantity, Quantity]) -> xr.DataTree:
        """Part of all maps around a position; see `SkyAccessor.cutout`."""
        return xr.DataTree.from_dict(
            {
                name: SkyAccessor(child.to_dataset()).cutout(position, width)
                for name, child in self._tree.children.items()
            }
        )
