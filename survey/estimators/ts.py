"""The TS map: the likelihood ratio of a source at every pixel, with its flux, errors and limits.

A source at pixel p0 predicts at pixel p and reconstructed energy e

    norm x E(e; p0) x K(e, p - p0; p0),

where E is the reference spectrum folded with the exposure and the dispersion at p0 (which holds the safe fraction), and
K the shape seen through the PSF at p0. The sum of K is the fraction contained in its window, so that the flux is that
of the whole source. Responses are interpolated between cells. Bins that are not safe, or beyond the grid, are left out.

The norm is free down to where a bin would be predicted negative.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from survey.estimators.excess import Core, assembled, map_variable
from survey.estimators.kernels_response import at_pixels
from survey.estimators.kernels_window import blend
from survey.estimators.response_at import Responses, band_slices, energy_edges
from survey.estimators.settings import TSMapSettings
from survey.estimators.template import Template, half_width, make_template
from survey.estimators.ts_engine import CellsAlongX, Choice, FitWindow, RowTemplates
from survey.store.variables import Variable

Array = NDArray[np.float64]

LONG_NAMES = {
    "ts": "TS of the source, with the sign of its norm",
    "sqrt_ts": "Significance",
    "flux": "Integral flux",
    "flux_err": "Symmetric error of the flux",
    "flux_errn": "Error of the flux downwards, at most 100 symmetric errors",
    "flux_errp": "Error of the flux upwards",
    "flux_ul": "Upper limit of the flux",
    "flux_sensitivity": "Flux that would be significant",
    "norm": "Norm of the reference spectrum",
    "norm_err": "Symmetric error of the norm",
    "niter": "Iterations",
    "success": "Whether the fit converged",
    "excess": "Predicted counts of the source in its window",
    "npred": "Predicted counts in the window of the source",
    "stat": "Cash statistic at the best norm",
    "stat_null": "Cash statistic without a source",
}


def halo_of_ts_map(settings: TSMapSettings, binsize: float, cell: int) -> int:
    """Pixels that a window must reach beyond its core, in whole response cells; known before data are read.

    Parameters
    ----------
    settings : TSMapSettings
    binsize : float
        Pixel size, deg.
    cell : int
        Size of a response cell, pixels.
    """
    return max(-(-half_width(settings, binsize) // cell), 1) * cell


def ts_map_variables(settings: TSMapSettings) -> list[Variable]:
    """The variables that `ts_map` gives, all on (energy, y, x), an energy for each band."""
    names = ["ts", "sqrt_ts", "flux", "flux_err", "norm", "norm_err", "niter", "success"]
    names += ["excess", "npred", "stat", "stat_null"]
    names += ["flux_errn", "flux_errp"] if "errn-errp" in settings.selection_optional else []
    names += [f"flux_{name}" for name in ("ul", "sensitivity") if name in settings.selection_optional]
    return [map_variable(name, LONG_NAMES) for name in names]


def bands_of_ts_map(settings: TSMapSettings, edges: Array) -> list[slice]:
    """Bins of the cube's energy axis in each band of the map, given the edges of the axis in TeV.

    Raises
    ------
    ValueError
        When a band has no bin.
    """
    return [slice(0, edges.size - 1)] if settings.bands is None else band_slices(edges, settings.bands)


def ts_map(dataset: xr.Dataset, settings: TSMapSettings, core: Core | None = None) -> xr.Dataset:
    """TS map of a window of a cube.

    Parameters
    ----------
    dataset : xarray.Dataset
        Window with `counts`, `background`, `n_safe` (energy, y, x), `exposure` (energy_true, y, x), `psf_exposure`,
        `edisp_exposure` and `irf_exposure` on the response cells that make up the window. Coordinates `energy_edges`,
        `energy_true_edges` (TeV) and `rad_edges` (deg); attributes `binsize` (deg) and `cell` (pixels).
    settings : TSMapSettings
        What to compute.
    core : Core or None
        Pixels of the window that are wanted, with `halo_of_ts_map` pixels around them unless the grid ends there;
        none means all.

    Returns
    -------
    xarray.Dataset
        Variables of `ts_map_variables` on (energy, y, x), an energy for each band, with `energy_edges` (energy, 2) in
        TeV. NaN means: no safe data or no exposure at that pixel in that band.
    """
    core = Core.of(dataset) if core is None else core
    edges = energy_edges(dataset, "energy")
    slices = bands_of_ts_map(settings, edges)
    half = half_width(settings, float(dataset.attrs["binsize"]))
    rad_edges = tuple(float(edge) for edge in dataset["rad_edges"].values)
    template = make_template(settings.spatial_model, float(dataset.attrs["binsize"]), half, rad_edges)
    cubes = {name: dataset[name].transpose("energy", "y", "x").values for name in ("counts", "background", "n_safe")}
    psf = dataset["psf_exposure"].transpose("y_irf", "x_irf", "energy_true", "rad").values
    layers = []
    for bins in slices:
        safe = cubes["n_safe"][bins] > 0
        seen: NDArray[np.bool_] = np.any(safe, axis=0)
        window = FitWindow.around(
            cubes["counts"][bins], cubes["background"][bins], safe.astype(float), core, half, plain=True
        )
        source = SourceTemplates(Responses(dataset, settings.spectral_model, bins), psf, template, core)
        valid = seen[core.slices] & (source.expected @ np.ones(source.expected.shape[2]) > 0)
        maps = window.fit(valid, source.row, source.cells_along_x, _choice(settings))
        flux = float(settings.spectral_model.integral(edges[bins.start], edges[bins.stop]))
        layers.append(_products(maps, flux))
    attrs = {
        "template": repr(settings.spatial_model),
        "spectrum": repr(settings.spectral_model),
        "template_half_width": half,
        "rtol": settings.rtol,
        "n_sigma": settings.n_sigma,
        "n_sigma_ul": settings.n_sigma_ul,
        "n_sigma_sensitivity": settings.n_sigma_sensitivity,
    }
    return assembled(layers, slices, dataset, core, long_names=LONG_NAMES, attrs=attrs)


def _choice(settings: TSMapSettings) -> Choice:
    chosen = settings.selection_optional
    return Choice(
        rtol=settings.rtol,
        max_niter=settings.max_niter,
        n_sigma=settings.n_sigma,
        n_sigma_ul=settings.n_sigma_ul,
        n_sigma_sensitivity=settings.n_sigma_sensitivity,
        threshold=np.nan if settings.threshold is None else settings.threshold,
        both_sides="errn-errp" in chosen,
        limits="ul" in chosen,
        sensitivity="sensitivity" in chosen,
    )


def _products(maps: Mapping[str, Array], flux: float) -> dict[str, Array]:
    """Maps of a band, given what the engine found and the reference flux of the band."""
    norm = maps["norm"]
    sign = np.where(norm < 0, -1.0, 1.0)
    layer = {
        "ts": sign * maps["ts"],
        "sqrt_ts": sign * np.sqrt(maps["ts"]),
        "norm": norm,
        "norm_err": maps["norm_err"],
        "niter": maps["niter"],
        "success": maps["success"],
        "excess": norm * maps["total"],
        "npred": norm * maps["total"] + maps["background"],
        "stat": maps["stat_null"] - maps["ts"],
        "stat_null": maps["stat_null"],
    }
    for name, values in maps.items():
        if name.startswith("norm"):
            layer["flux" + name.removeprefix("norm")] = flux * values
    return layer


@dataclass(eq=False)
class SourceTemplates:
    """Templates and expected counts of sources at the pixels of a core, from the responses there.

    Parameters
    ----------
    responses : Responses
        Dispersion and exposure for the reference spectrum.
    psf_exposure : numpy.ndarray
        Shape (y_irf, x_irf, energy_true, rad), m2 s sr-1.
    template : Template
        Of the shape.
    core : Core
        Pixels of the window.
    """

    responses: Responses
    psf_exposure: Array
    template: Template
    core: Core
    _made: dict[int, tuple[Array, Array, Array]] = field(default_factory=dict, init=False)
    _mixed: list[Array] = field(default_factory=list, init=False)

    @cached_property
    def expected(self) -> Array:
        """Counts of a norm of one at every pixel of the core, before the PSF, shape (y, x, energy)."""
        return self.responses.exposure(*self.core)

    @cached_property
    def _rows(self) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
        return self.responses.cells.neighbours("y", self.core.y0, self.core.y1)

    @cached_property
    def _columns(self) -> CellsAlongX:
        return CellsAlongX(*self.responses.cells.neighbours("x", self.core.x0, self.core.x1))

    @property
    def cells_along_x(self) -> CellsAlongX:
        """Cells of the core's columns, counted from the first that is used."""
        left, right, share = self._columns
        return CellsAlongX(left - left[0], right - left[0], share)

    @property
    def _used(self) -> slice:
        return slice(int(self._columns.left[0]), int(self._columns.right[-1]) + 1)

    @cached_property
    def _weights(self) -> Array:
        """Flux times exposure times dispersion, shape (y_irf, x_irf, energy, energy_true); only the used columns."""
        edisp = self.responses.edisp[:, self._used]
        return np.asarray((edisp * self.responses.flux[:, None]).swapaxes(-1, -2))

    @cached_property
    def _scale(self) -> Array:
        """Expected counts over what the templates of the cells are normalised by, shape (y, x, energy)."""
        norm = np.empty_like(self.expected)
        at_pixels(self._weights.sum(axis=-1), self._rows, tuple(self.cells_along_x), norm)
        return np.divide(self.expected, norm, out=np.zeros_like(norm), where=norm > 0)

    def _of_cells(self, row: int) -> tuple[Array, Array, Array]:
        """Templates of a row of cells, times their expected counts, shape (cell, y, x, energy); sums and maxima."""
        if row not in self._made:
            for old in [key for key in self._made if key < row - 1]:
                del self._made[old]
            exposure = self.responses.denominator[row, self._used][..., None]
            psf = np.divide(
                self.psf_exposure[row, self._used],
                exposure,
                out=np.zeros_like(self.psf_exposure[row, self._used], dtype=float),
                where=exposure > 0,
            )
            self._made[row] = self.template.apply(self._weights[row] @ psf)
        return self._made[row]

    def row(self, y: int) -> RowTemplates:
        """Templates for a row of the core; they stand in the same memory for every row."""
        below, above, share = (item[y] for item in self._rows)
        first, second = self._of_cells(int(below)), self._of_cells(int(above))
        if not self._mixed:
            self._mixed.extend(np.empty_like(values) for values in first)
        for a, b, out in zip(first, second, self._mixed, strict=True):
            blend(a.reshape(-1), b.reshape(-1), share, out.reshape(-1))
        return RowTemplates(self._mixed[0], self._mixed[1], self._mixed[2], self._scale[y])


def ts_map_from_kernel(
    counts: Array,
    background: Array,
    mask: NDArray[np.bool_],
    exposure: Array,
    kernel: Array,
    settings: TSMapSettings,
    *,
    exposure_at: Literal["pixel", "source"] = "source",
) -> dict[str, Array]:
    """TS map with one given template for the whole map: for comparisons with other programs.

    Parameters
    ----------
    counts, background : numpy.ndarray
        Shape (energy, y, x).
    mask : numpy.ndarray
        Bins that enter, same shape.
    exposure : numpy.ndarray
        Counts of a norm of one in reconstructed energy before the PSF, same shape.
    kernel : numpy.ndarray
        Template in reconstructed energy, shape (energy, 2 half + 1, 2 half + 1).
    settings : TSMapSettings
        Only precision and quantities are used.
    exposure_at : str
        Whether the template is multiplied by the exposure at the `source`, as in `ts_map`, or at each `pixel` that it
        reaches, as in Gammapy 2.1.

    Returns
    -------
    dict of numpy.ndarray
        Maps of shape (y, x) as `ts_map` gives, with norms for fluxes.
    """
    ne, size, _ = kernel.shape
    ny, nx = counts.shape[1:]
    weight = np.where(mask, exposure if exposure_at == "pixel" else 1.0, 0.0)
    window = FitWindow.around(counts, background, weight, (0, ny, 0, nx), size // 2, plain=exposure_at == "source")
    values = np.ascontiguousarray(np.moveaxis(kernel, 0, -1), dtype=float)[None]
    sums, maxima = values.sum(axis=(1, 2)), values.max(axis=(1, 2))
    at_source = np.ascontiguousarray(np.moveaxis(exposure, 0, -1), dtype=float)
    everywhere = np.ones((nx, ne))

    def templates(y: int) -> RowTemplates:
        return RowTemplates(values, sums, maxima, at_source[y] if exposure_at == "source" else everywhere)

    nothing = np.zeros(nx, dtype=np.int64)
    valid = mask.any(axis=0) & (np.where(mask, background, 0.0).sum(axis=0) > 0)
    maps = window.fit(valid, templates, CellsAlongX(nothing, nothing, np.zeros(nx)), _choice(settings))
    return {name.replace("flux", "norm"): values for name, values in _products(maps, 1.0).items()}
