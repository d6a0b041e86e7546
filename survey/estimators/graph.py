"""Units of the maps: which tile is mapped by what, after which tiles of the cube, under which key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cluster import Unit, unit_key
from survey.config import SurveyConfig
from survey.config_maps import ExcessMapConfig, TSMapConfig
from survey.estimators.excess import bands_of_excess_map, excess_map_variables, halo_of_excess_map
from survey.estimators.settings import ExcessMapSettings, TSMapSettings
from survey.estimators.stages import PUBLISHED_UNITS
from survey.estimators.ts import bands_of_ts_map, halo_of_ts_map, ts_map_variables
from survey.models import Disk, Gaussian, Point, PowerLaw, SpatialModel
from survey.reduction.axes import Axes
from survey.reduction.graph import cube_slots
from survey.sky.tiles import window_with_halo
from survey.store.variables import Variable

if TYPE_CHECKING:
    from survey.survey_plan import SurveyPlan

EXCESS, TS = "excess", "ts"
STAGE_VERSIONS = {EXCESS: 1, TS: 4}
STAGES = "survey.estimators.stages"


def excess_settings(section: ExcessMapConfig) -> ExcessMapSettings:
    """Settings of the excess map from its section."""
    parameters = section.parameters
    bands = section.bands()
    return ExcessMapSettings(
        bands=None if bands is None else tuple(bands),
        spectral_model=PowerLaw(index=section.index),
        n_sigma=parameters.n_sigma,
        n_sigma_ul=parameters.n_sigma_ul,
        n_sigma_sensitivity=parameters.n_sigma_sensitivity,
        selection_optional=parameters.optional,
        correlation_radius=float(section.correlation_radius.to_value("deg")),
        gamma_min_sensitivity=parameters.gamma_min_sensitivity,
        bkg_syst_fraction_sensitivity=parameters.bkg_syst_fraction_sensitivity,
        apply_threshold_sensitivity=parameters.apply_threshold_sensitivity,
        sum_over_energy_groups=parameters.sum_over_energy_groups,
        correlate_off=parameters.correlate_off,
    )


def ts_settings(section: TSMapConfig) -> TSMapSettings:
    """Settings of the TS map from its section."""
    bands = section.bands()
    return TSMapSettings(
        bands=None if bands is None else tuple(bands),
        spectral_model=PowerLaw(index=section.index),
        spatial_model=_shape(section),
        kernel_width=None if section.kernel_width is None else float(section.kernel_width.to_value("deg")),
        n_sigma=section.n_sigma,
        n_sigma_ul=section.n_sigma_ul,
        n_sigma_sensitivity=section.n_sigma_sensitivity,
        selection_optional=section.optional,
        rtol=section.rtol,
        max_niter=section.max_niter,
        threshold=section.threshold,
    )


def _shape(section: TSMapConfig) -> SpatialModel:
    model = section.model
    if model.sigma is not None:
        return Gaussian(sigma=float(model.sigma.to_value("deg")))
    if model.r_0 is not None:
        return Disk(r_0=float(model.r_0.to_value("deg")))
    return Point()


def chosen_maps(config: SurveyConfig) -> dict[str, ExcessMapSettings | TSMapSettings]:
    """Settings of the maps that a configuration asks for, by stage."""
    chosen: dict[str, ExcessMapSettings | TSMapSettings] = {}
    if config.excess_map is not None:
        chosen[EXCESS] = excess_settings(config.excess_map)
    if config.ts_map is not None:
        chosen[TS] = ts_settings(config.ts_map)
    return chosen


def halo(settings: ExcessMapSettings | TSMapSettings, plan: SurveyPlan) -> int:
    """Pixels around a tile that its map depends on, whole response cells."""
    if isinstance(settings, TSMapSettings):
        return halo_of_ts_map(settings, plan.grid.binsize, plan.grid.cell)
    return halo_of_excess_map(settings, plan.grid.binsize, plan.grid.cell)


def map_url(plan: SurveyPlan, stage: str) -> str:
    """Where the maps of a stage are."""
    return f"{plan.layout.maps}/{stage}"


def map_units(plan: SurveyPlan) -> Iterator[Unit]:
    """One unit a tile and kind of map, after the tiles of the cube that its halo touches."""
    for stage, settings in chosen_maps(plan.config).items():
        width = halo(settings, plan)
        config = {"settings": settings.key(), "grid": plan.grid.key(), "axes": plan.axes.key()}
        for tile in plan.tiles:
            yield Unit(
                slot=f"{stage}/{tile.name}",
                key=unit_key(stage, STAGE_VERSIONS[stage], tile.name, config),
                function=f"{STAGES}:map_tile",
                arguments={
                    "kind": stage,
                    "cube": plan.cube,
                    "maps": map_url(plan, stage),
                    "grid": plan.grid.key(),
                    "tile": tile.name,
                    "halo": width,
                    "settings": settings.key(),
                },
                after=tuple(cube_slots(plan, window_with_halo(plan.grid, plan.grid.window(tile), width))),
            )


def map_variables(
    settings: ExcessMapSettings | TSMapSettings, axes: Axes
) -> tuple[list[Variable], dict[str, tuple[tuple[str, ...], NDArray[np.float64], dict[str, str]]]]:
    """Variables and coordinates of the store of a kind of map."""
    edges = axes.energy.edges
    if isinstance(settings, TSMapSettings):
        variables, bands = ts_map_variables(settings), bands_of_ts_map(settings, edges)
    else:
        variables, bands = excess_map_variables(settings), bands_of_excess_map(settings, edges)
    variables = [
        replace(row, units=PUBLISHED_UNITS[row.units][0]) if row.units in PUBLISHED_UNITS else row for row in variables
    ]
    limits = np.array([[edges[band.start], edges[band.stop]] for band in bands])
    return variables, {
        "energy": (("energy",), np.sqrt(limits.prod(axis=1)), {"units": "TeV", "long_name": "centre of the band"}),
        "energy_edges": (("energy", "bound"), limits, {"units": "TeV", "long_name": "limits of the band"}),
    }
