"""Units of the reduction: which observation is prepared, fitted and added to which tile, after what, under which key."""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cluster import Unit, unit_key
from survey.sky.pixels import Window
from survey.sky.tiles import Tile, tiles_touching
from survey.store.variables import CUBE

if TYPE_CHECKING:
    from survey.survey_plan import SurveyPlan

OBSERVATIONS, BACKGROUND, TILES, BACKGROUND_TILES = "observations", "background", "tiles", "background-tiles"
STAGE_VERSIONS = {OBSERVATIONS: 5, BACKGROUND: 3, TILES: 1, BACKGROUND_TILES: 1}

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
    common = {"grid": plan.grid.key(), "axes": plan.axes.key(), "settings": plan.settings.as_dict()}
    found = {source.identity: number for number, source in enumerate(plan.sources)}

    def arguments(identity: str) -> dict[str, Any]:
        number = found[identity]
        return {
            **common,
            "source": plan.sources[number].as_dict(),
            "footprint": tuple(plan.footprints[number]),  # workers know nothing of plans
            "out": plan.layout.prepared(identity),
        }

    for source, footprint in zip(plan.sources, plan.footprints, strict=True):
        inputs = {"source": source.fingerprint(), "footprint": list(footprint)}
        yield Unit(
            slot=observation_slot(source.identity),
            key=unit_key(OBSERVATIONS, STAGE_VERSIONS[OBSERVATIONS], inputs, common),
            function=PREPARE,
            arguments=arguments,
        )


def fits_background(plan: SurveyPlan) -> bool:
    """Whether the configuration asks for a norm of every observation's background."""
    return plan.config.datasets.background.method is not None and "background" in plan.settings.selection


def background_units(plan: SurveyPlan) -> Iterator[Unit]:
    """One unit an observation: fit the norm of its background on its whole field of view."""
    if not fits_background(plan):
        return
    grid, background = plan.grid.key(), background_config(plan)
    common = {
        "grid": grid,
        "axes": plan.axes.key(),
        "background": background,
        "exclusion": None if plan.exclusion is None else plan.exclusion.as_dict(),
    }
    config = {
        "grid": grid,
        "background": background,
        "exclusion": None if plan.exclusion is None else plan.exclusion.content_key(),
    }

    def arguments(identity: str) -> dict[str, Any]:
        return {
            **common,
            "prepared": plan.layout.prepared(identity),
            "slot": observation_slot(identity),
            "out": plan.layout.norm(identity),
        }

    for source in plan.sources:
        yield Unit(
            slot=background_slot(source.identity),
            key=unit_key(BACKGROUND, STAGE_VERSIONS[BACKGROUND], source.identity, config),
            function=FIT,
            arguments=arguments,
            after=(observation_slot(source.identity),),
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
    stages = [_TileStage(plan, TILES, plain, with_fit=False, wait_for_fit=fit_decides)]
    if "background" in plan.variables:
        stages.append(_TileStage(plan, BACKGROUND_TILES, ("background",), with_fit=fitted, wait_for_fit=fitted))
    for tile, numbers in plan.tiles.items():
        for stage in stages:
            yield from stage.units(tile, numbers)


class _TileStage:
    """What is added to tiles at once, and from which observations.

    Parameters
    ----------
    plan : SurveyPlan
        The run.
    name : str
        Of the stage.
    variables : tuple of str
        Variables of the cube that it writes.
    with_fit : bool
        Whether observations come with the norm of their background.
    wait_for_fit : bool
        Whether that has to have been fitted.
    """

    def __init__(
        self, plan: SurveyPlan, name: str, variables: tuple[str, ...], *, with_fit: bool, wait_for_fit: bool
    ) -> None:
        self.plan, self.name, self.variables = plan, name, variables
        self.with_fit, self.wait_for_fit = with_fit, wait_for_fit
        self.config = {"grid": plan.grid.key(), "axes": plan.axes.key(), "variables": list(variables)}
        self.added: dict[str, Sequence[int]] = {}

    def units(self, tile: Tile, numbers: Sequence[int]) -> Iterator[Unit]:
        """Units of a tile, from the numbers of its observations in the plan."""
        if len(numbers) <= HEAVY_TILE:
            yield self._adding(tile.name, numbers)
            return
        parts: list[list[int]] = [[] for _ in range(-(-2 * len(numbers) // HEAVY_TILE))]
        for number in numbers:
            parts[_part_of(self.plan.sources[number].identity, len(parts))].append(number)
        slots, urls = [], []
        for part, chosen in enumerate(parts):
            if chosen:
                unit = self._adding(f"{tile.name}.{part}", chosen)
                slots.append(unit.slot)
                urls.append(self._partial(unit.name))
                yield unit
        yield Unit(
            slot=f"{self.name}/{tile.name}",
            key=self._key({"tile": tile.name, "parts": slots}),
            function=ADD,
            arguments={**self._common(tile.name), "parts": urls},
            after=tuple(slots),
        )

    def arguments(self, name: str) -> dict[str, Any]:
        """Arguments of the unit of this name that adds observations, see `survey.reduction.stages.reduce_tile`."""
        layout = self.plan.layout
        observations = [
            [
                identity,
                self._slots(identity),
                layout.prepared(identity),
                layout.norm(identity) if self.with_fit else None,
            ]
            for identity in self._identities(self.added[name])
        ]
        return {**self._common(name), "observations": observations, "partial": self._partial(name)}

    def _adding(self, name: str, numbers: Sequence[int]) -> Unit:
        self.added[name] = numbers
        members = {identity: self._slots(identity) for identity in self._identities(numbers)}
        observations = [[identity, slots, self.with_fit] for identity, slots in members.items()]
        return Unit(
            slot=f"{self.name}/{name}",
            key=self._key({"tile": _tile_of(name), "observations": observations}),
            function=REDUCE,
            arguments=self.arguments,
            after=tuple(sorted(slot for slots in members.values() for slot in slots)),
            cost=float(max(1, len(members))),
        )

    def _common(self, name: str) -> dict[str, Any]:
        grid, axes = self.config["grid"], self.config["axes"]
        return {
            "cube": self.plan.cube,
            "grid": grid,
            "axes": axes,
            "tile": _tile_of(name),
            "variables": list(self.variables),
        }

    def _key(self, inputs: Mapping[str, Any]) -> str:
        return unit_key(self.name, STAGE_VERSIONS[self.name], inputs, self.config)

    def _identities(self, numbers: Sequence[int]) -> list[str]:
        return sorted(self.plan.sources[number].identity for number in numbers)

    def _slots(self, identity: str) -> list[str]:
        return [observation_slot(identity)] + ([background_slot(identity)] if self.wait_for_fit else [])

    def _partial(self, name: str) -> str | None:
        """Where the part of a heavy tile goes; None for the only unit of a tile."""
        tile, _, part = name.partition(".")
        return self.plan.layout.partial(f"{self.name}.{tile}", int(part)) if part else None


def _tile_of(name: str) -> str:
    """Tile that a unit of this name adds to: its own name, or that before the number of a part."""
    return name.partition(".")[0]


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
