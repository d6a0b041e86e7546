"""The stores of a run: made by the driver before units run, and cleared of what another configuration left in them.

A record of done work is valid only as long as the store that it speaks of is the one that the work went to. So whenever a
store is made anew, the records of the stages that write to it are removed; and tiles that no observation reaches any more
are emptied.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cluster import Outcomes
from cluster.workspace import Workspace
from survey.estimators.graph import EXCESS, TS, chosen_maps, map_url, map_variables
from survey.fitting.graph import NPRED, npred_url, npred_variables
from survey.layout import Layout
from survey.reduction.graph import BACKGROUND_TILES, TILES, background_config
from survey.refusal import Refusal
from survey.report.graph import CUBE_PICTURES, PICTURES
from survey.sky.tiles import Tile
from survey.store import urls
from survey.store.cube import create_cube, create_dataset, empty_block, open_cube, reopen
from survey.store.provenance import FormatError, NewerFormatError, content_hash
from survey.survey_plan import SurveyPlan

log = logging.getLogger(__name__)

FOR_FLUXES = ("exposure", "edisp_exposure", "irf_exposure")
"""Variables of the cube without which maps of excess have no exposure and no flux."""
OWN_PICTURE = re.compile(rf"(({'|'.join(CUBE_PICTURES)})|({EXCESS}|{TS})_\w+)\.(fits|png|json)")
"""Names that runs give to pictures; other files beside them are left alone."""


def create_cube_store(plan: SurveyPlan, workspace: Workspace, *, overwrite: bool) -> None:
    """Make the cube, or find that of an earlier run of the same survey.

    Raises
    ------
    Refusal
        When there is a cube with another grid or other axes, and `overwrite` does not say to replace it.
    """
    identity = content_hash({"grid": plan.grid.key(), "axes": plan.axes.key()})
    found = _attributes(plan.cube)
    if found is not None and found.get("identity") != identity:
        if not overwrite:
            raise Refusal(
                f"general.outdir: the cube in {plan.layout.outdir} has another grid or other axes than "
                "datasets.geom gives, and cannot be added to; choose another folder, or give --overwrite to replace it"
            )
        log.warning("replacing the cube in %s: it has another grid or other axes", plan.layout.outdir)
    variables = plan.variables
    template = content_hash([identity, list(variables)])
    background = [name for name in variables if name == "background"]
    stages = {TILES: [name for name in variables if name != "background"], BACKGROUND_TILES: background}

    def create() -> None:
        attributes = {"identity": identity, "template": template}
        create_cube(plan.cube, plan.grid, plan.axes, variables=variables, attributes=attributes)

    _ensure(plan, workspace, plan.cube, template, create, stages)


def create_map_stores(plan: SurveyPlan, workspace: Workspace) -> None:
    """Make the stores of the maps, or find those of an earlier run; remove maps that are not asked for any more."""
    chosen = chosen_maps(plan.config)
    if not chosen:
        urls.remove(plan.layout.maps)
    for name in urls.listdir(plan.layout.maps):
        if name != "zarr.json" and name not in chosen:
            urls.remove(f"{plan.layout.maps}/{name}")
    for stage, settings in chosen.items():
        variables, coordinates = map_variables(settings, plan.axes)
        about = {
            "grid": plan.grid.key(),
            "variables": [[variable.name, variable.units] for variable in variables],
            "bands": np.asarray(coordinates["energy_edges"][1]).tolist(),
        }
        # A map that the cube has no responses for is not written, and the store may hold one of a cube that had them.
        lacking = [name for name in FOR_FLUXES if name not in plan.variables]
        template = content_hash(about | ({"lacking": lacking} if lacking else {}))
        url = map_url(plan, stage)

        def create(
            url: str = url, variables: Any = variables, coordinates: Any = coordinates, key: str = template
        ) -> None:
            create_dataset(url, plan.grid, variables, coordinates=coordinates, attributes={"template": key})

        _ensure(plan, workspace, url, template, create, {stage: [variable.name for variable in variables]})


def create_npred_store(plan: SurveyPlan, workspace: Workspace) -> None:
    """Make the store of predicted counts and keep the models; remove those of an earlier run when there are none."""
    if plan.models is None:
        if urls.exists(plan.layout.npred):
            log.warning("npred.zarr and models.yaml are removed: this run has no --models")
        for url in (plan.layout.npred, plan.layout.models):
            urls.remove(url)
        return
    variables, coordinates = npred_variables(plan.axes)
    template = content_hash({"grid": plan.grid.key(), "axes": plan.axes.key(), "npred": [v.name for v in variables]})

    def create() -> None:
        attributes = {"template": template}
        create_dataset(npred_url(plan), plan.grid, variables, coordinates=coordinates, attributes=attributes)

    _ensure(plan, workspace, npred_url(plan), template, create, {NPRED: [variable.name for variable in variables]})
    urls.write_bytes(plan.layout.models, plan.models.to_yaml(full=True).encode())


def _attributes(url: str) -> dict[str, Any] | None:
    try:
        return dict(open_cube(url).attrs)
    except NewerFormatError as error:
        raise Refusal(f"general.outdir: {error}, or choose another folder") from error
    except (FileNotFoundError, FormatError, KeyError):
        return None


def _ensure(
    plan: SurveyPlan,
    workspace: Workspace,
    url: str,
    template: str,
    create: Callable[[], None],
    stages: Mapping[str, Sequence[str]],
) -> None:
    """Make a store unless it is there, forget what was done to another one, empty tiles that are not reached."""
    records = [slot for stage in stages for slot in (*workspace.markers(stage), *workspace.failures(stage))]
    found = _attributes(url)
    there = set(urls.listdir(url))
    whole = all(there.issuperset(names) for names in stages.values())
    if found is not None and not whole:
        log.warning("%s: arrays were removed since the last run: all of it is made again", url)
    if found is None or not whole or found.get("template") != template:
        for slot in records:
            workspace.forget(slot)
        create()
        return
    reopen(url)
    reached = {tile.name for tile in plan.tiles}
    for slot in records:
        stage, _, name = slot.partition("/")
        if name.partition(".")[0] in reached:
            continue
        workspace.forget(slot)
        if "." not in name:
            empty_block(url, stages[stage], Tile.from_name(name))


def remove_old_pictures(layout: Layout, outcomes: Outcomes) -> None:
    """Remove pictures of maps, or of energy bands, that the configuration does not ask for any more."""
    units = [outcome for _, outcome in outcomes.of_stage(PICTURES)]
    if not units or not all(unit.is_done for unit in units):
        return
    written = {name for unit in units for name in (unit.result or {}).get("files", ())}
    for name in urls.listdir(layout.pictures):
        if OWN_PICTURE.fullmatch(name) and name not in written:
            urls.remove(urls.join(layout.pictures, name))


def provenance_of_cube(plan: SurveyPlan) -> dict[str, Any]:
    """What the bytes of the cube follow from, besides the observations: resolved, so that spelling does not matter."""
    return {
        "grid": plan.grid.key(),
        "axes": plan.axes.key(),
        "settings": plan.settings.as_dict(),
        "background": background_config(plan),
        "exclusion": None if plan.exclusion is None else plan.exclusion.content_key(),
    }
