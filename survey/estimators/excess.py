"""The excess map: counts, background, significance and flux within a circle around each pixel.

The pixels of the circle, the statistics and the names follow Gammapy's `ExcessMapEstimator`; the sums are exact, not by
Fourier transforms. Beyond the edge of the grid there is nothing to add, and `exposure` is a mean over the pixels that
are safe, so that fluxes at the edge are not low.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from survey.estimators.kernels_excess import disc_sum
from survey.estimators.response_at import Responses, band_slices, energy_edges
from survey.estimators.settings import ExcessMapSettings
from survey.estimators.significance import ExcessStatistic, KnownBackground, OnOff, signed_sqrt
from survey.store.variables import Variable

Array = NDArray[np.float64]


class Core(NamedTuple):
    """The pixels of a window that results are wanted for; the rest of the window is its halo."""

    y0: int
    y1: int
    x0: int
    x1: int

    @classmethod
    def of(cls, dataset: xr.Dataset) -> Core:
        """The whole window."""
        return cls(0, dataset.sizes["y"], 0, dataset.sizes["x"])

    @property
    def slices(self) -> tuple[slice, slice]:
        """Along y and x."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)


UNITS = {"flux": "s-1 m-2", "exposure": "m2 s"}

LONG_NAMES = {
    "counts": "Counts in the circle",
    "background": "Expected background in the circle",
    "excess": "Counts less background",
    "excess_err": "Symmetric error of the excess",
    "excess_errn": "Error of the excess downwards",
    "excess_errp": "Error of the excess upwards",
    "excess_ul": "Upper limit of the excess",
    "excess_sensitivity": "Excess that would be significant",
    "ts": "TS of the excess, with its sign",
    "sqrt_ts": "Significance",
    "exposure": "Mean exposure of the circle for the spectrum, in reconstructed energy",
    "flux": "Integral flux",
    "flux_err": "Symmetric error of the flux",
    "flux_errn": "Error of the flux downwards",
    "flux_errp": "Error of the flux upwards",
    "flux_ul": "Upper limit of the flux",
    "flux_sensitivity": "Flux that would be significant",
    "alpha": "Ratio of the acceptances ON and OFF",
    "acceptance_on": "Acceptance ON",
    "acceptance_off": "Acceptance OFF",
}


def disc_half_widths(radius: float) -> NDArray[np.int64]:
    """Half-widths in pixels of the rows of a disc: row dy holds the pixels with dx**2 + dy**2 <= radius**2.

    Parameters
    ----------
    radius : float
        In pixels.

    Returns
    -------
    numpy.ndarray
        int64, (rows,), for dy = 0 to the last row that has a pixel.
    """
    # no kernel, like what else the driver asks (`survey.sky.tiles`)
    square = radius**2
    rows = np.arange(math.floor(radius) + 2)
    rows = rows[rows**2 <= square]
    widths = np.sqrt(square - rows**2).astype(np.int64)
    widths += (widths + 1) ** 2 + rows**2 <= square  # where the root was rounded across a pixel
    widths -= widths**2 + rows**2 > square
    return widths


def halo_of_excess_map(settings: ExcessMapSettings, binsize: float, cell: int) -> int:
    """Pixels that a window must reach beyond its core, in whole response cells.

    Parameters
    ----------
    settings : ExcessMapSettings
    binsize : float
        Pixel size, deg.
    cell : int
        Size of a response cell, pixels.
    """
    rows = int(disc_half_widths(settings.correlation_radius / binsize)[0])
    # responses are interpolated at the outermost pixel too, which takes the centre of a cell beyond it
    return math.ceil((rows + 0.5 * (cell + 1)) / cell) * cell


def bands_of_excess_map(settings: ExcessMapSettings, edges: Array) -> list[slice]:
    """Bins of the cube's energy axis in each band of the map, given the edges of the axis in TeV.

    Raises
    ------
    ValueError
        When a band has no bin.
    """
    if settings.bands is not None:
        return band_slices(edges, settings.bands)
    if settings.sum_over_energy_groups:
        return [slice(0, edges.size - 1)]
    return [slice(i, i + 1) for i in range(edges.size - 1)]


def excess_map_variables(settings: ExcessMapSettings, *, on_off: bool = False) -> list[Variable]:
    """The variables that `excess_map` gives, all on (energy, y, x), an energy for each band."""
    names = ["counts", "background", "sqrt_ts", "ts", "exposure"]
    kinds = ["", "_err"]
    kinds += ["_errn", "_errp"] if "errn-errp" in settings.selection_optional else []
    kinds += [f"_{name}" for name in ("ul", "sensitivity") if name in settings.selection_optional]
    names += [quantity + kind for quantity in ("excess", "flux") for kind in kinds]
    names += ["alpha", "acceptance_on", "acceptance_off"] if on_off else []
    return [map_variable(name, LONG_NAMES) for name in names]


def map_variable(name: str, long_names: Mapping[str, str]) -> Variable:
    """The row of one map in a table of variables; pixels without data are NaN."""
    units = UNITS.get(name.split("_")[0], "")
    return Variable(name, ("energy", "y", "x"), units, long_names[name], fill=math.nan)


def excess_map(dataset: xr.Dataset, settings: ExcessMapSettings, core: Core | None = None) -> xr.Dataset:
    """Excess map of a window of a cube.

    Parameters
    ----------
    dataset : xarray.Dataset
        Window with `counts`, `background`, `n_safe` (energy, y, x), with `exposure`, `edisp_exposure` and
        `irf_exposure` if fluxes are wanted, and with `counts_off`, `background_off`, `acceptance` and
        `acceptance_off_sum` for ON/OFF data, which then take the place of `background`. Coordinates `energy_edges` and
        `energy_true_edges` in TeV; attributes `binsize` (deg) and `cell` (pixels).
    settings : ExcessMapSettings
        What to compute.
    core : Core or None
        Pixels of the window that are wanted; none means all.

    Returns
    -------
    xarray.Dataset
        Variables of `LONG_NAMES` on (energy, y, x), an energy for each band, with `energy_edges` (energy, 2) in TeV.
        NaN means: no safe data at that pixel in that band.
    """
    core = Core.of(dataset) if core is None else core
    edges = energy_edges(dataset, "energy")
    slices = bands_of_excess_map(settings, edges)
    radius = settings.correlation_radius / float(dataset.attrs["binsize"])
    widths = disc_half_widths(radius)

    def disc(image: Array) -> Array:
        out = np.empty((core.y1 - core.y0, core.x1 - core.x0))
        disc_sum(np.ascontiguousarray(image, dtype=float), widths, *core, out)
        return out

    safe = dataset["n_safe"].transpose("energy", "y", "x").values > 0
    has_flux = all(name in dataset for name in ("exposure", "edisp_exposure", "irf_exposure"))
    layers = []
    for bins in slices:
        layer = _band(dataset, settings, bins, safe[bins], disc, core)
        seen: NDArray[np.bool_] = np.any(safe[bins], axis=0)
        if has_flux:
            responses = Responses(dataset, settings.spectral_model, bins)
            reconstructed = responses.exposure(0, dataset.sizes["y"], 0, dataset.sizes["x"])
            predicted = np.where(seen, reconstructed.sum(axis=2), 0.0)
            flux = float(settings.spectral_model.integral(edges[bins.start], edges[bins.stop]))
            _add_flux(layer, disc(predicted), disc(seen.astype(float)), flux)
        empty = ~seen[core.slices]
        for values in layer.values():
            values[empty] = np.nan
        layers.append(layer)

    attrs = {
        "correlation_radius": settings.correlation_radius,
        "n_sigma": settings.n_sigma,
        "n_sigma_ul": settings.n_sigma_ul,
        "n_sigma_sensitivity": settings.n_sigma_sensitivity,
    }
    return assembled(layers, slices, dataset, core, long_names=LONG_NAMES, attrs=attrs)


def assembled(
    layers: list[dict[str, Array]],
    slices: list[slice],
    dataset: xr.Dataset,
    core: Core,
    *,
    long_names: Mapping[str, str],
    attrs: Mapping[str, Any],
) -> xr.Dataset:
    """Maps of several bands as one dataset on (energy, y, x) with the edges of the bands and the core's coordinates."""
    edges = energy_edges(dataset, "energy")
    variables = {}
    for name in layers[0]:
        row = map_variable(name, long_names)
        about = {"long_name": row.long_name, "units": row.units}
        variables[name] = (row.dims, np.stack([layer[name] for layer in layers]), about)
    pairs = np.array([[edges[bins.start], edges[bins.stop]] for bins in slices])
    coords = {
        "energy": ("energy", np.sqrt(pairs.prod(axis=1)), {"units": "TeV"}),
        "energy_edges": (("energy", "bound"), pairs, {"units": "TeV"}),
    }
    result = xr.Dataset(variables, coords, dict(attrs))
    for axis, inner in zip(("y", "x"), core.slices, strict=True):
        if axis in dataset.coords:
            result = result.assign_coords({axis: dataset.coords[axis][inner]})
    return result


def _band(
    dataset: xr.Dataset,
    settings: ExcessMapSettings,
    bins: slice,
    safe: NDArray[np.bool_],
    disc: Callable[[Array], Array],
    core: Core,
) -> dict[str, Array]:
    def total(name: str) -> Array:
        return np.where(safe, dataset[name].transpose("energy", "y", "x").values[bins], 0.0).sum(axis=0)

    counts = disc(total("counts"))
    extra: dict[str, Array] = {}
    statistic: ExcessStatistic
    if "counts_off" in dataset:
        statistic, extra = _on_off(total, counts, settings, disc, core)
        background = statistic.background
    else:
        background = disc(total("background"))
        statistic = KnownBackground(counts, background)
    layer = {
        "counts": counts.copy(),
        "background": background.copy(),
        "excess": statistic.excess,
        "excess_err": settings.n_sigma * statistic.error,
    }
    ts = statistic.ts
    layer["sqrt_ts"] = signed_sqrt(ts, layer["excess"])
    layer["ts"] = np.where(layer["excess"] < 0, -ts, ts)
    if "errn-errp" in settings.selection_optional:
        layer["excess_errn"] = statistic.error_down(settings.n_sigma)
        layer["excess_errp"] = statistic.error_up(settings.n_sigma)
    if "ul" in settings.selection_optional:
        layer["excess_ul"] = statistic.upper_limit(settings.n_sigma_ul)
    if "sensitivity" in settings.selection_optional:
        least = statistic.sensitivity(settings.n_sigma_sensitivity)
        if settings.apply_threshold_sensitivity:
            least = np.maximum(least, settings.gamma_min_sensitivity)
            least = np.maximum(least, settings.bkg_syst_fraction_sensitivity * background)
        layer["excess_sensitivity"] = least
    return layer | extra


def _on_off(
    total: Callable[[str], Array],
    counts: Array,
    settings: ExcessMapSettings,
    disc: Callable[[Array], Array],
    core: Core,
) -> tuple[OnOff, dict[str, Array]]:
    off, background_off = total("counts_off"), total("background_off")
    acceptance, acceptance_off = total("acceptance"), total("acceptance_off_sum")
    on_sum = disc(acceptance)
    if settings.correlate_off:
        n_off, expected, off_sum = (
            disc(off),
            disc(np.where(acceptance_off > 0, background_off, 0.0)),
            disc(acceptance_off),
        )
        # alpha weighted by the OFF counts; without any, that of the acceptances
        measured = n_off > 0
        alpha = np.where(measured, expected / np.where(measured, n_off, 1.0), 0.0)
    else:
        n_off, off_sum = off[core.slices], acceptance_off[core.slices]
        measured = np.zeros(n_off.shape, dtype=bool)
        alpha = np.zeros(n_off.shape)
    ratio = np.where(off_sum > 0, on_sum / np.where(off_sum > 0, off_sum, 1.0), 0.0)
    alpha = np.where(measured, alpha, ratio)
    return OnOff(counts, n_off, alpha), {
        "alpha": alpha.copy(),
        "acceptance_on": on_sum,
        "acceptance_off": off_sum.copy(),
    }


def _add_flux(layer: dict[str, Array], predicted: Array, pixels: Array, flux: float) -> None:
    """Add exposure and flux maps, given disc sums of the predicted counts of a flux and of the safe pixels."""
    expected = np.divide(predicted, pixels, out=np.zeros_like(predicted), where=pixels > 0)
    layer["exposure"] = expected / flux
    for name in [name for name in layer if name.startswith("excess")]:
        scale = np.divide(flux, expected, out=np.full_like(expected, np.nan), where=expected > 0)
        layer["flux" + name.removeprefix("excess")] = layer[name] * scale
