"""Units of predicted counts: which tile is predicted from which models, after which tiles of the cube, under which key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cluster import Unit, unit_key
from survey.fitting.cutout import tiles_of
from survey.fitting.settings import PredictionSettings
from survey.fitting.stages import BACKGROUND, SIGNAL
from survey.models.collection import Models
from survey.reduction.axes import Axes
from survey.reduction.graph import cube_slots
from survey.sky.tiles import window_with_halo
from survey.store.variables import Variable

if TYPE_CHECKING:
    from survey.survey_plan import SurveyPlan

NPRED = "npred"
STAGE_VERSIONS = {NPRED: 2}
STAGES = "survey.fitting.stages"


def npred_url(plan: SurveyPlan) -> str:
    """Where the predicted counts of a run are."""
    return f"{plan.layout.npred}/{plan.dataset_name}"


def npred_variables(
    axes: Axes,
) -> tuple[list[Variable], Mapping[str, tuple[tuple[str, ...], NDArray[np.float64], dict[str, str]]]]:
    """Variables and coordinates of the store of predicted counts."""
    dims = ("energy", "y", "x")
    variables = [
        Variable(SIGNAL, dims, "", "predicted counts of the sources in the safe range"),
        Variable(BACKGROUND, dims, "", "predicted counts of the background in the safe range"),
    ]
    energy = {"units": "TeV", "long_name": "reconstructed energy, centre of the bin"}
    return variables, {
        "energy": (("energy",), axes.energy.centers, energy),
        "energy_edges": (
            ("energy_edge",),
            axes.energy.edges,
            {"units": "TeV", "long_name": "reconstructed energy, edges"},
        ),
    }


def npred_units(plan: SurveyPlan, models: Models, settings: PredictionSettings | None = None) -> Iterator[Unit]:
    """One unit a tile, after the tiles of the cube that its halo touches; its key holds the models that reach it alone.

    Parameters
    ----------
    plan : SurveyPlan
        The run.
    models : Models
        All components.
    settings : PredictionSettings, optional
    """
    settings = settings or PredictionSettings()
    grid = plan.grid
    halo = settings.halo(grid.binsize, grid.cell)
    reached = {model.name: tiles_of(model, grid, settings) for model in models.values()}
    config = {"settings": settings.key(), "grid": grid.key(), "axes": plan.axes.key()}
    for tile in plan.tiles:
        near = models.only(name for name, tiles in reached.items() if tile in tiles)
        yield Unit(
            slot=f"{NPRED}/{tile.name}",
            key=unit_key(NPRED, STAGE_VERSIONS[NPRED], [tile.name, near.key()], config),
            function=f"{STAGES}:predict_tile",
            arguments={
                "cube": plan.cube,
                "npred": npred_url(plan),
                "grid": grid.key(),
                "tile": tile.name,
                "halo": halo,
                "models": Models(near.values()).as_dict(),
                "name": plan.dataset_name,
                "settings": settings.key(),
            },
            after=tuple(cube_slots(plan, window_with_halo(grid, grid.window(tile), halo))),
            cost=1.0 + len(near),
        )
