"""Units of the pictures: one a map, FITS and PNG, after the tiles that it shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from cluster import Unit, unit_key
from survey.estimators.graph import EXCESS, TS, chosen_maps, map_url
from survey.reduction.graph import BACKGROUND_TILES, TILES

if TYPE_CHECKING:
    from survey.survey_plan import SurveyPlan

PICTURES = "pictures"
STAGE_VERSIONS = {PICTURES: 6}
STAGES = "survey.report.stages"

CUBE_PICTURES = {"counts": TILES, "background": BACKGROUND_TILES, "exposure": TILES}
"""Variables of the cube that are drawn, with the stage that writes them."""


def picture_units(plan: SurveyPlan, slots: Sequence[str]) -> Iterator[Unit]:
    """Units that draw the cube's images, the maps, and the histogram of significance.

    Parameters
    ----------
    plan : SurveyPlan
        The run.
    slots : sequence of str
        Slots of all other units.
    """
    for name, stage in CUBE_PICTURES.items():
        if name in plan.variables:
            yield _unit(plan, name, "draw_cube_image", plan.cube, [stage], slots, {"variable": name})
    for stage in chosen_maps(plan.config):
        yield _unit(plan, stage, "draw_maps", map_url(plan, stage), [stage], slots, {"prefix": stage})
    for stage in (EXCESS, TS):
        if stage in chosen_maps(plan.config):
            exclusion = None if plan.exclusion is None else plan.exclusion.as_dict()
            arguments = {"prefix": stage, "exclusion": exclusion, "grid": plan.grid.key()}
            yield _unit(
                plan,
                f"{stage}-histogram",
                "draw_histogram",
                map_url(plan, stage),
                [stage],
                slots,
                arguments,
                inputs=None if plan.exclusion is None else plan.exclusion.content_key(),
            )


def _unit(
    plan: SurveyPlan,
    name: str,
    function: str,
    url: str,
    stages: Sequence[str],
    slots: Sequence[str],
    arguments: dict[str, Any],
    *,
    inputs: Any = None,
) -> Unit:
    prefixes = tuple(f"{stage}/" for stage in stages)
    after = tuple(slot for slot in slots if slot.startswith(prefixes))
    return Unit(
        slot=f"{PICTURES}/{name}",
        key=unit_key(
            PICTURES, STAGE_VERSIONS[PICTURES], [name, inputs], {"grid": plan.grid.key(), "function": function}
        ),
        function=f"{STAGES}:{function}",
        arguments={"url": url, "out": plan.layout.picture("", "").removesuffix("."), **arguments},
        after=after,
    )
