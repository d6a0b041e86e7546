"""Predicted counts of models on a cube, by forward folding.

The flux of a source, integrated over a bin of true energy and over pixels, times the exposure, convolved with the point
spread function of the energy, folded with the dispersion: each source on its own cut-out and by response cell, see
`survey.fitting.cell_fold`. Fits evaluate a source many times: `survey.fitting.evaluator` is for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from survey.fitting.cell_fold import fold_by_cell
from survey.fitting.cell_responses import CellResponses
from survey.fitting.cutout import cells_around, check_square, cut, cut_dataset, pixels_of, source_window
from survey.fitting.psf_kernels import kernel_matrix
from survey.fitting.settings import PredictionSettings
from survey.fitting.shape_fractions import shape_fractions
from survey.fitting.template_counts import template_counts
from survey.models.collection import Models
from survey.models.components import Component, FoVBackgroundModel, SkyModel, TemplateNPredModel
from survey.models.models_error import ModelsError
from survey.models.spatial import Pixels
from survey.sky.pixels import Window

Array = NDArray[np.float64]

BACKGROUND = "background"
"""Name of the background among the components, when no model of it has another."""

GRID_ATTRIBUTES = ("grid", "wcs", "binsize", "cell", "y_first", "x_first")
"""Attributes of a cube that say where its pixels are."""

SECONDS_PER_DAY = 86400.0


class WindowCounts(NamedTuple):
    """Predicted counts in a part of a dataset."""

    values: Array
    """Shape (energy, y, x)."""
    window: Window
    """Pixels of the dataset."""


def predict(
    dataset: xr.Dataset,
    models: Models | Iterable[Component],
    *,
    components: bool = False,
    background: bool = True,
    settings: PredictionSettings | None = None,
    pixels: Pixels | None = None,
    name: str | None = None,
) -> xr.DataArray | xr.Dataset:
    """Predicted counts of models in the safe range of a cube or of a window of one.

    Sources beyond the edge of the dataset add what is seen of their flux inside it: exposure outside is not known.

    Parameters
    ----------
    dataset : xarray.Dataset
        Window of whole response cells with `survey.fitting.cell_responses.VARIABLES`, ``n_safe``, the edges of its axes
        and the attributes ``binsize``, ``cell`` and ``grid``; ``background`` if that is to be predicted.
    models : Models or iterable of Component
        Sky models, at most one background model, templates of counts.
    components : bool
        Whether every component is given apart.
    background : bool
        Whether the background is part of the prediction, corrected by its model where there is one.
    settings : PredictionSettings, optional
    pixels : Pixels, optional
        Where the pixels look; from the dataset's attributes unless given.
    name : str, optional
        Of the dataset: models for other datasets are left out. Without it all are taken.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        Counts with dims energy, y, x; of all components together, or a variable a component.

    Raises
    ------
    ValueError
        For a model that cannot be predicted, with its name.
    """
    sizes = tuple(dataset.sizes[dim] for dim in ("energy", "y", "x"))
    parts: dict[str, Array] = {}
    total = np.zeros(sizes)

    for label, found in counts_by_component(
        dataset, models, background=background, settings=settings, pixels=pixels, name=name
    ):
        target = parts.setdefault(label, np.zeros(sizes)) if components else total
        if found is not None:
            y, x = found.window.slices
            target[:, y, x] += found.values
    dims = ("energy", "y", "x")
    coords = {key: dataset[key].variable for key in ("energy", "energy_edges") if key in dataset.variables}
    attrs = {"units": "", "long_name": "predicted counts"}
    if not components:
        return xr.DataArray(total, {key: coords[key] for key in coords if key == "energy"}, dims, "npred", attrs)
    kept = {key: dataset.attrs[key] for key in GRID_ATTRIBUTES if key in dataset.attrs}
    return xr.Dataset({label: (dims, values, attrs) for label, values in parts.items()}, coords, kept)


def counts_by_component(
    dataset: xr.Dataset,
    models: Models | Iterable[Component],
    *,
    background: bool = True,
    settings: PredictionSettings | None = None,
    pixels: Pixels | None = None,
    name: str | None = None,
) -> Iterator[tuple[str, WindowCounts | None]]:
    """Name and predicted counts of one component after the other, the background first; None for one out of reach.

    Parameters are those of `predict`.
    """
    settings = settings or PredictionSettings()
    pixels = pixels_of(dataset) if pixels is None else pixels
    chosen = models_for(models, name)
    if background and "background" in dataset:
        correction = next((model for model in chosen if isinstance(model, FoVBackgroundModel)), None)
        label = BACKGROUND if correction is None else correction.name
        yield label, background_counts(dataset, correction, pixels)
    for model in chosen:
        if isinstance(model, SkyModel):
            yield model.name, source_counts(dataset, model, pixels, settings)
        elif isinstance(model, TemplateNPredModel):
            yield model.name, WindowCounts(*template_counts(dataset, model))


def models_for(models: Models | Iterable[Component], name: str | None) -> list[Component]:
    """Models that belong to a dataset.

    Raises
    ------
    TypeError
        When something else than components is given.
    ValueError
        When two of them correct the background.
    """
    given = list(models.values()) if isinstance(models, Models) else list(models)
    for model in given:
        if not isinstance(model, Component):
            raise TypeError(f"found {model!r} of type {type(model).__name__}, expected components of a model file")
    chosen = [model for model in given if name is None or model.datasets is None or name in model.datasets]
    corrections = [model.name for model in chosen if isinstance(model, FoVBackgroundModel)]
    if len(corrections) > 1:
        raise ValueError(
            f"models {', '.join(corrections)}: all correct the background of one dataset, expected one; "
            "give the dataset's name, or take the others out"
        )
    return chosen


def split_by_dataset(models: Models, name: str) -> tuple[Models, list[str]]:
    """Models of one dataset, and a line for each of the others.

    Parameters
    ----------
    models : Models
        All components.
    name : str
        Of the dataset.

    Raises
    ------
    ValueError
        When two of them correct the background.
    """
    kept = [model.name for model in models_for(models, name)]
    lines = [
        f"{other}.datasets_names: {', '.join(models[other].datasets or ())}, which is not {name}: left out"
        for other in models
        if other not in kept
    ]
    return models.only(kept), lines


def check_predictable(models: Iterable[Component]) -> None:
    """Refuse, before anything is computed, models whose counts cannot be predicted on any cube.

    Raises
    ------
    ModelsError
        One line a model, with its component and key.
    """
    lines = []
    for model in models:
        if isinstance(model, SkyModel) and model.spatial is None:
            lines.append(
                f"{model.name}.spatial: is missing, expected a shape: counts on a map need to know where they are"
            )
        if isinstance(model, SkyModel) and model.temporal is not None and model.temporal.is_energy_dependent:
            lines.append(
                f"{model.name}.temporal: is another one at every energy, expected one for all; take `at_energy` of it"
            )
        if isinstance(model, TemplateNPredModel) and model.spatial is not None:
            lines.append(
                f"{model.name}.spatial: {model.spatial.tag[0]}, expected none: templates are predicted as they are"
            )
    if lines:
        raise ModelsError(lines)


def background_counts(dataset: xr.Dataset, model: FoVBackgroundModel | None, pixels: Pixels) -> WindowCounts:
    """Background of a dataset in its safe bins, times the factors of its model at the centres of bins and pixels."""
    values = dataset["background"].transpose("energy", "y", "x").values.astype(float)
    if model is not None:
        edges = np.asarray(dataset["energy_edges"].values, dtype=float)
        factors = np.asarray(model.spectral.value(np.sqrt(edges[1:] * edges[:-1])))
        values *= factors[:, None, None]
        if model.spatial is not None:
            values *= model.spatial.value_at(pixels.vectors)
    _leave_out(values, dataset)
    return WindowCounts(values, Window(0, values.shape[1], 0, values.shape[2]))


def source_counts(
    dataset: xr.Dataset, model: SkyModel, pixels: Pixels, settings: PredictionSettings
) -> WindowCounts | None:
    """Predicted counts of a source in the safe bins of a dataset; None when it does not reach it.

    Raises
    ------
    ValueError
        When it has no shape, or lies where the grid's pixels are far from square.
    """
    if model.spatial is None:
        raise ValueError(
            f"model {model.name}: no spatial model, expected one: a cube has pixels; give it a shape, or leave the model out"
        )
    cell, binsize = int(dataset.attrs["cell"]), float(dataset.attrs["binsize"])
    near = source_window(pixels, model.spatial)
    if near is None:
        return None
    window = cells_around(near, cell, (dataset.sizes["y"], dataset.sizes["x"]))
    part = cut_dataset(dataset, window)
    inner = cut(pixels, window)
    check_square(inner.solid_angle, binsize, model.name)
    edges = np.asarray(dataset["energy_true_edges"].values, dtype=float)
    flux = np.asarray(model.spectral.integral(edges[:-1], edges[1:]), dtype=float) * temporal_factor(dataset, model)
    kernels = None
    if model.apply_irf["psf"] and "psf_exposure" in part:
        rad_edges = tuple(float(edge) for edge in dataset["rad_edges"].values)
        kernels = kernel_matrix(binsize, settings.half_width(binsize), rad_edges)
    fractions = shape_fractions(model.spatial, inner, edges)
    found = fold_by_cell(CellResponses.of(part, model.apply_irf), fractions, flux, kernels, settings)
    reach = window.grown((found.shape[1] - window.shape[0]) // 2)
    target = reach.intersection(Window(0, dataset.sizes["y"], 0, dataset.sizes["x"]))
    values = np.ascontiguousarray(found[:, *target.relative_to(reach).slices])
    _leave_out(values, dataset, target)
    return WindowCounts(values, target)


def temporal_factor(dataset: xr.Dataset, model: SkyModel) -> float:
    """Mean over the good times of a source's time dependence; one without.

    Raises
    ------
    ValueError
        When the dataset does not hold its good times, or the time dependence is another one at every energy.
    """
    if model.temporal is None:
        return 1.0
    if model.temporal.is_energy_dependent:
        raise ValueError(
            f"model {model.name}: its time dependence is another one at every energy, expected one for all; take "
            "`at_energy` of it"
        )
    if "gti_start" not in dataset or not dataset["gti_start"].size:
        raise ValueError(
            f"model {model.name}: it changes with time, but the dataset has no good times, expected gti_start and gti_stop"
        )
    attributes = dataset["gti_start"].attrs
    reference = float(attributes["mjdrefi"]) + float(attributes["mjdreff"])
    start, stop = (dataset[key].values / SECONDS_PER_DAY for key in ("gti_start", "gti_stop"))
    if str(attributes.get("timesys", "tt")).lower() != "tt":
        from astropy.time import Time

        reference = float(Time(reference, format="mjd", scale=str(attributes["timesys"]).lower()).tt.mjd)
    integral = np.asarray(model.temporal.integral(reference + start, reference + stop))
    return float(integral.sum())


def _leave_out(values: Array, dataset: xr.Dataset, window: Window | None = None) -> None:
    """Set bins that are not safe to zero, in place."""
    if "n_safe" not in dataset:
        return
    safe = dataset["n_safe"].transpose("energy", "y", "x").values
    y, x = (slice(None), slice(None)) if window is None else window.slices
    values[safe[:, y, x] <= 0] = 0.0
