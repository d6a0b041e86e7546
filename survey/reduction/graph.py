"""Units of the reduction: which observation is prepared, fitted and added to which tile, after what, under which key."""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Iterator
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from cluster import Unit, unit_key
from survey.sky.pixels import Window
from survey.sky.tiles import Tile, tiles_touching
from survey.store.variables import CUBE

if TYPE_CHECKING:
    from survey.survey_plan import SurveyPlan

OBSERVATIONS, BACKGROUND, TILES, BACKGROUND_TILES = "observations", "background", "tiles", "background-tiles"
STAGE_VERSIONS = {OBSERVATIONS: 4, BACKGROUND: 2, TILES: 1, BACKGROUND_TILES: 1}

HEAVY_TILE = 400
"""Observations on a tile above which it is split into parts of about half as many."""

STAGES = "survey.reduction.stages"
PREPARE, FIT = f"{STAGES}:prepare_observation", f"{STAGES}:fit_background_norm"
REDUCE, ADD = f"{STAGES}:reduce_tile", f"{STAGES}:add_parts"


def observation_slot(identity: str) -> str:
    """Slot in which an observation is prepared."""
    return sys.intern(f"{OBSERVATIONS}/{identity}")  # many units name it


def background_slot(identity: str) -> str:
    """Slot in which an observation's background is fitted."""
    return sys.intern(f"{BACKGROUND}/{identity}")


def observation_units(plan: SurveyPlan) -> Iterator[Unit]:
    """One unit an observation: read, check, bring to the survey's axes."""
    grid, axes, settings = plan.grid.key(), plan.axes.key(), plan.settings.as_dict()
    config = {"grid": grid, "axes": axes, "settings": settings}
    for source, footprint in zip(plan.sources, plan.footprints, strict=True):
        inputs = {"source": source.fingerprint(), "footprint": list(footprint)}
        yield Unit(
            slot=observation_slot(source.identity),
            key=unit_key(OBSERVATIONS, STAGE_VERSIONS[OBSERVATIONS], inputs, config),
            function=PREPARE,
            arguments={
                "source": source.as_dict(),
                "grid": grid,
                "axes": axes,
                "settings": settings,
                "footprint": tuple(footprint),  # workers know nothing of plans
                "out": plan.layout.prepared(source.identity),
            },
        )


def fits_background(plan: SurveyPlan) -> bool:
    """Whether the configuration asks for a norm of every observation's background."""
    return plan.config.datasets.background.method is not None and "background" in plan.settings.selection


def background_units(plan: SurveyPlan) -> Iterator[Unit]:
    """One unit an observation: fit the norm of its background on its whole field of view."""
    if not fits_background(plan):
        return
    background = background_config(plan)
    exclusion = None if plan.exclusion is None else plan.exclusion.as_dict()
    grid, axes = plan.grid.key(), plan.axes.key()
    config = {
        "grid": grid,
        "background": background,
        "exclusion": None if plan.exclusion is None else plan.exclusion.content_key(),
    }
    for source in plan.sources:
        slot = observation_slot(source.identity)
        yield Unit(
            slot=background_slot(source.identity),
            key=unit_key(BACKGROUND, STAGE_VERSIONS[BACKGROUND], source.identity, config),
            function=FIT,
            arguments={
                "prepared": plan.layout.prepared(source.identity),
                "slot": slot,
                "grid": grid,
                "axes": axes,
                "background": background,
                "exclusion": exclusion,
                "out": plan.layout.norm(source.identity),
            },
            after=(slot,),
        )


def background_config(plan: SurveyPlan) -> dict[str, Any]:
    section = plan.config.datasets.background
    parameters = section.parameters
    return {
        "method": parameters.method,
        "tilt": parameters.tilt,
        "min_counts": parameters.min_counts,
        "min_npred_background": parameters.min_npred_background,
        "on_failure": section.on_failure,
    }


def tile_units(plan: SurveyPlan) -> Iterator[Unit]:
    """Units that add the observations of a tile and write its shards; the background apart from all else.

    The background depends on the exclusion and on the method, everything else only on the observations: a changed exclusion
    redoes the background alone. Where a failed fit sets an observation aside, everything waits for the fits.
    """
    fitted = fits_background(plan)
    fit_decides = fitted and plan.config.datasets.background.on_failure == "set_aside"
    plain = tuple(name for name in plan.variables if name != "background")
    # An observation is on several tiles, and is the same object for all of them: there are many.
    members = _members(plan, with_fit=False, wait_for_fit=fit_decides)
    background = _members(plan, with_fit=fitted, wait_for_fit=fitted) if "background" in plan.variables else None
    for tile, numbers in plan.tiles.items():
        yield from _units_of_tile(plan, TILES, tile, [members[number] for number in numbers], plain)
        if background is not None:
            observations = [background[number] for number in numbers]
            yield from _units_of_tile(plan, BACKGROUND_TILES, tile, observations, ("background",))


def _members(plan: SurveyPlan, *, with_fit: bool, wait_for_fit: bool) -> list[list[Any]]:
    """Each observation as tiles add it, see `survey.reduction.stages.reduce_tile`."""
    members: list[list[Any]] = []
    for source in plan.sources:
        identity = source.identity
        slots = [observation_slot(identity)] + ([background_slot(identity)] if wait_for_fit else [])
        norm = plan.layout.norm(identity) if with_fit else None
        members.append([identity, slots, plan.layout.prepared(identity), norm])
    return members


def _units_of_tile(
    plan: SurveyPlan, stage: str, tile: Tile, observations: list[list[Any]], variables: tuple[str, ...]
) -> Iterator[Unit]:
    observations = sorted(observations, key=itemgetter(0))
    common = {"cube": plan.cube, "grid": plan.grid.key(), "axes": plan.axes.key(), "tile": tile.name}
    config = {"grid": plan.grid.key(), "axes": plan.axes.key(), "variables": list(variables)}
    version = STAGE_VERSIONS[stage]

    def unit(slot: str, members: list[list[Any]], partial: str | None) -> Unit:
        return Unit(
            slot=slot,
            key=unit_key(
                stage,
                version,
                {"tile": tile.name, "observations": [[*one[:2], one[3] is not None] for one in members]},
                config,
            ),
            function=REDUCE,
            arguments={**common, "observations": members, "variables": list(variables), "partial": partial},
            after=tuple(sorted({slot for _, slots, _, _ in members for slot in slots})),
            cost=float(max(1, len(members))),
        )

    if len(observations) <= HEAVY_TILE:
        yield unit(f"{stage}/{tile.name}", observations, None)
        return
    n_parts = -(-2 * len(observations) // HEAVY_TILE)
    parts: list[list[Any]] = [[] for _ in range(n_parts)]
    for member in observations:
        parts[_part_of(member[0], n_parts)].append(member)
    slots, urls = [], []
    for number, members in enumerate(parts):
        if members:
            slots.append(f"{stage}/{tile.name}.{number}")
            urls.append(plan.layout.partial(f"{stage}.{tile.name}", number))
            yield unit(slots[-1], members, urls[-1])
    yield Unit(
        slot=f"{stage}/{tile.name}",
        key=unit_key(stage, version, {"tile": tile.name, "parts": slots}, config),
        function=ADD,
        arguments={**common, "parts": urls, "variables": list(variables)},
        after=tuple(slots),
    )


def _part_of(identity: str, n_parts: int) -> int:
    """Part of a heavy tile: by a hash of the observation, so that one more night does not move the others."""
    return int(hashlib.sha256(identity.encode()).hexdigest()[:8], 16) % n_parts


def cube_slots(plan: SurveyPlan, window: Window) -> Iterator[str]:
    """Slots of the units that write what the cube holds on a window."""
    for tile in tiles_touching(plan.grid, window):
        if tile in plan.tiles:
            yield f"{TILES}/{tile.name}"
            yield f"{BACKGROUND_TILES}/{tile.name}"


def reduction_units(plan: SurveyPlan) -> list[Unit]:
    """All units from the files to the cube."""
    return [*observation_units(plan), *background_units(plan), *tile_units(plan)]


def cube_bytes(plan: SurveyPlan) -> int:
    """Bytes of the cube's tiles before compression: what the output may take at most."""
    return tile_bytes(plan, working=1.0) * len(plan.tiles)


def tile_bytes(plan: SurveyPlan, *, working: float = 2.0) -> int:
    """Bytes of the sums of a tile, times a factor for what is held beside them while observations are added."""
    return int(sum(variable_bytes(plan).values()) * working)


def variable_bytes(plan: SurveyPlan) -> dict[str, int]:
    """Bytes of each variable of a tile, before compression."""
    sizes = {
        "energy": plan.axes.energy.size,
        "energy_true": plan.axes.energy_true.size,
        "rad": plan.axes.n_rad,
        "y": min(plan.grid.tile, plan.grid.ny),
        "x": min(plan.grid.tile, plan.grid.nx),
    }
    sizes |= {"y_irf": -(-sizes["y"] // plan.grid.cell), "x_irf": -(-sizes["x"] // plan.grid.cell)}
    rows = {name: CUBE[name] for name in plan.variables}
    return {
        name: math.prod(sizes[dim] for dim in row.dims) * np.dtype(row.dtype).itemsize for name, row in rows.items()
    }
