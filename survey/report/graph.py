"""Units of the pictures: one a variable, FITS and PNG, after the tiles that it shows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from cluster import Unit, unit_key
from survey.estimators.graph import chosen_maps, map_url, map_variables
from survey.reduction.graph import BACKGROUND_TILES, TILES
from survey.store.variables import PIXEL_DIMS

if TYPE_CHECKING:
    from survey.survey_plan import SurveyPlan

PICTURES = "pictures"
STAGE_VERSIONS = {PICTURES: 7}
STAGES = "survey.report.stages"

CUBE_PICTURES = {"counts": (TILES,), "background": (TILES, BACKGROUND_TILES), "exposure": (TILES,)}
"""Variables of the cube that are drawn, with the stages that write them and where there are observations."""


def picture_units(plan: SurveyPlan, slots: Sequence[str]) -> Iterator[Unit]:
    """Units that draw the cube's images, the maps, and the histogram of significance.

    Parameters
    ----------
    plan : SurveyPlan
        The run.
    slots : sequence of str
        Slots of all other units.
    """
    of_stage: dict[str, list[str]] = defaultdict(list)
    for slot in slots:
        of_stage[slot.partition("/")[0]].append(slot)

    def unit(
        name: str, function: str, url: str, stages: Sequence[str], arguments: dict[str, Any], inputs: Any = None
    ) -> Unit:
        config = {"grid": plan.grid.key(), "function": function}
        return Unit(
            slot=f"{PICTURES}/{name}",
            key=unit_key(PICTURES, STAGE_VERSIONS[PICTURES], [name, inputs], config),
            function=f"{STAGES}:{function}",
            arguments={"url": url, "out": plan.layout.picture("", "").removesuffix("."), **arguments},
            after=tuple(slot for stage in stages for slot in of_stage[stage]),
        )

    for variable, stages in CUBE_PICTURES.items():
        if variable in plan.variables:
            yield unit(variable, "draw_cube_image", plan.cube, stages, {"variable": variable})
    exclusion, inputs = None, None
    if plan.exclusion is not None:
        exclusion, inputs = plan.exclusion.as_dict(), plan.exclusion.content_key()
    for stage, settings in chosen_maps(plan.config).items():
        url = map_url(plan, stage)
        drawn = [row.name for row in map_variables(settings, plan.axes)[0] if row.dims[-2:] == PIXEL_DIMS]
        for name in drawn:
            yield unit(f"{stage}-{name}", "draw_map_image", url, [stage], {"prefix": stage, "variable": name})
        arguments = {"prefix": stage, "exclusion": exclusion, "grid": plan.grid.key()}
        yield unit(f"{stage}-histogram", "draw_histogram", url, [stage], arguments, inputs)
