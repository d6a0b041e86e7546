"""What the largest unit of every stage holds in the memory of a worker, known from the plan.

Arrays are counted as the stages make them; what a worker has besides, by stage, is what units of small grids were measured
to take: more of the packages and kernels is loaded with every stage. Records of runs (`peak_memory`) tell how good that is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from survey.estimators.graph import EXCESS, TS, chosen_maps, halo, map_variables
from survey.estimators.settings import ExcessMapSettings, TSMapSettings
from survey.estimators.template import half_width
from survey.fitting.graph import NPRED
from survey.fitting.settings import PredictionSettings
from survey.reduction.graph import (
    BACKGROUND,
    BACKGROUND_TILES,
    OBSERVATIONS,
    TILES,
    background_slot,
    fits_background,
    observation_slot,
    variable_bytes,
)
from survey.report.graph import PICTURES
from survey.report.panels import Panels
from survey.sky.tiles import Tile, window_with_halo
from survey.survey_plan import SurveyPlan

REAL = 8
"""Bytes of a number."""
GEOMETRY = 4 * REAL
"""Bytes of the direction and the solid angle of a pixel."""
KEPT_GEOMETRIES = 4
"""Tiles whose geometry a worker keeps."""
DRAWING = 90
"""Bytes that a pixel takes while it is drawn."""
BASES = {
    OBSERVATIONS: 290,
    BACKGROUND: 330,
    TILES: 320,
    BACKGROUND_TILES: 355,
    EXCESS: 375,
    TS: 430,
    NPRED: 415,
    PICTURES: 470,
}
"""Megabytes that a worker has before a unit of the stage holds any data."""

_FIELD = "make datasets.geom.selection.offset_max smaller or datasets.geom.wcs.binsize larger"
ADVICE = {
    OBSERVATIONS: _FIELD,
    BACKGROUND: _FIELD,
    TS: "make datasets.geom.tiles or ts_map.kernel_width smaller",
    PICTURES: "make datasets.geom.wcs.binsize larger",
}
"""What makes units of a stage smaller, where that is not the size of the tiles alone."""


@dataclass(frozen=True)
class UnitMemory:
    """Memory of the largest unit of a stage, bytes."""

    slot: str
    """The unit."""
    base: int
    """What the process takes without it."""
    data: int
    """What it holds at the same time."""

    @property
    def advice(self) -> str:
        """Which keys of a configuration make it smaller."""
        return ADVICE.get(self.slot.partition("/")[0], "make datasets.geom.tiles smaller")


def largest_units(plan: SurveyPlan) -> list[UnitMemory]:
    """The largest unit of every stage that a run has, in the order of the stages."""
    if not plan.tiles:
        return []
    found = [*_observations(plan), *_tiles(plan), *_maps(plan), *_pictures(plan)]
    return [UnitMemory(slot, BASES[slot.partition("/")[0]] * 10**6, int(data)) for slot, data in found]


def _observations(plan: SurveyPlan) -> Iterator[tuple[str, float]]:
    """The widest field of view, with its directions, and for the fit with its background and safe bins."""
    if not plan.sources or plan.settings.offset_max is None:  # only the responses know how far they reach
        return
    number = max(range(len(plan.sources)), key=lambda index: plan.footprints[index].radius)
    ra, dec, radius = plan.footprints[number]
    pixels = np.prod(plan.grid.window_around(ra, dec, radius, margin=True).shape, dtype=float)
    identity = plan.sources[number].identity
    yield observation_slot(identity), pixels * GEOMETRY
    if fits_background(plan):
        yield background_slot(identity), pixels * (GEOMETRY + (REAL + 1) * plan.axes.energy.size + 4)


def _tiles(plan: SurveyPlan) -> Iterator[tuple[str, float]]:
    tile, pixels = _largest_tile(plan, 0)
    working = pixels * (KEPT_GEOMETRIES * GEOMETRY + plan.axes.energy.size + 2)
    sizes = variable_bytes(plan)
    background = sizes.pop("background", 0)
    yield f"{TILES}/{tile.name}", sum(sizes.values()) + working
    if background:
        yield f"{BACKGROUND_TILES}/{tile.name}", background + working


def _maps(plan: SurveyPlan) -> Iterator[tuple[str, float]]:
    core = _largest_tile(plan, 0)[1]
    for stage, settings in chosen_maps(plan.config).items():
        tile, pixels = _largest_tile(plan, halo(settings, plan))
        variables, coordinates = map_variables(settings, plan.axes)
        bands = np.asarray(coordinates["energy_edges"][1])
        read = _read_bytes(plan, pixels, psf=stage == TS)
        results = 2 * len(variables) * len(bands) * core * REAL
        yield f"{stage}/{tile.name}", read + _estimate_bytes(settings, plan, bands, pixels, core) + results
    if plan.models is not None:
        tile, pixels = _largest_tile(plan, PredictionSettings().halo(plan.grid.binsize, plan.grid.cell))
        sums = 2 * core * plan.axes.energy.size * REAL
        source = 2 * pixels * plan.axes.energy_true.size * REAL  # one that fills the window
        yield f"{NPRED}/{tile.name}", _read_bytes(plan, pixels, psf=True) + sums + source


def _estimate_bytes(
    settings: ExcessMapSettings | TSMapSettings, plan: SurveyPlan, bands: NDArray[np.float64], pixels: int, core: int
) -> float:
    """What a map of the widest band takes beside what is read and what comes out."""
    centers = plan.axes.energy.centers
    widest = max(int(np.count_nonzero((centers > low) & (centers < high))) for low, high in bands)
    if not isinstance(settings, TSMapSettings):
        # a variable in the safe bins, and the exposure in reconstructed energy; sums of them
        return pixels * (2 * widest + 4) * REAL
    width = 2 * half_width(settings, plan.grid.binsize) + 1
    cells = plan.grid.tile // plan.grid.cell + 2
    templates = 3 * cells * width**2 * widest * REAL + plan.axes.n_rad * width**2 * REAL
    # counts, background, weight, inverse and the sums of safe bins around; expected counts and peaks at the tile's own pixels
    return pixels * (4 * REAL + 4) * widest + core * (3 * widest + 10) * REAL + templates


def _read_bytes(plan: SurveyPlan, pixels: int, *, psf: bool) -> float:
    """Counts, background, safe observations and exposure of a window, and the responses of its cells."""
    energy, energy_true = plan.axes.energy.size, plan.axes.energy_true.size
    a_cell = energy_true * (energy + 1 + psf * plan.axes.n_rad) * REAL
    return pixels * (energy * (REAL + 4 + 4 + 1) + energy_true * REAL) + pixels / plan.grid.cell**2 * a_cell


def _pictures(plan: SurveyPlan) -> Iterator[tuple[str, float]]:
    """What is drawn of the grid, and the strip that is being drawn; a tile of the variable."""
    panels = Panels.of((plan.grid.ny, plan.grid.nx), plan.grid.wcs)
    samples = plan.grid.ny * plan.grid.nx / panels.step**2
    core = _largest_tile(plan, 0)[1]
    strip = samples * min(panels.widest / plan.grid.nx, 1.0)
    deep = next((name for name in ("background", "counts") if name in plan.variables), None)
    if deep is not None:
        yield f"{PICTURES}/{deep}", DRAWING * strip + REAL * samples + 2 * core * plan.axes.energy.size * REAL


def _largest_tile(plan: SurveyPlan, halo: int) -> tuple[Tile, int]:
    """The tile with the most pixels when it is read with a halo, and how many they are."""
    sizes = {tile: int(np.prod(window_with_halo(plan.grid, plan.grid.window(tile), halo).shape)) for tile in plan.tiles}
    return max(sizes.items(), key=lambda item: item[1])
