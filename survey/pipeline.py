"""A run from beginning to end: the stages in order, and what the driver does before and after them.

Each room's ``graph.py`` lists its own units; `survey.publish` checks and writes what belongs to the run as a whole.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster import Unit
from cluster.engines.base import check_engine, open_engine
from cluster.head_start import head_start
from cluster.imports import without_collections
from cluster.object_store import check_stores
from cluster.progress import listening, number
from cluster.run import execute, storage_errors
from cluster.status import RunStatus
from cluster.status import status as workspace_status
from cluster.stopping import terminable
from cluster.watch import table
from cluster.workspace import Workspace
from survey.changes import tell_changes
from survey.config import SurveyConfig, load_config
from survey.destination import check_writable, foreign_files
from survey.layout import OWN_FILES, Layout
from survey.products import Run
from survey.refusal import Refusal
from survey.run_page import write_run_page
from survey.store import urls

if TYPE_CHECKING:
    from survey.survey_plan import SurveyPlan

log = logging.getLogger(__name__)

PRELOAD = ("survey.reduction.stages", "survey.estimators.stages", "survey.fitting.stages")
"""What a worker imports when it starts, so that the first units do not wait for it."""


class RunFailed(RuntimeError):
    """A run whose products are not complete; the message has one line a unit that failed."""


def units_of(plan: SurveyPlan) -> list[Unit]:
    """All units of a run, stage by stage."""
    from survey.estimators.graph import map_units
    from survey.fitting.graph import npred_units
    from survey.reduction.graph import reduction_units
    from survey.report.graph import picture_units

    reduction = reduction_units(plan)
    maps = list(map_units(plan))
    predicted = list(npred_units(plan, plan.models)) if plan.models is not None else []
    return [*reduction, *maps, *predicted, *picture_units(plan, [unit.slot for unit in [*reduction, *maps]])]


def run(
    config: str | Path | Mapping[str, Any] | SurveyConfig,
    *,
    overrides: Sequence[str] = (),
    models: str | None = None,
    overwrite: bool = False,
    retry_failed: bool = False,
    listeners: Sequence[Any] | None = None,
) -> Run:
    """Make all products of a configuration; what earlier runs did is found and skipped.

    Parameters
    ----------
    config : path, mapping or SurveyConfig
        The configuration.
    overrides : sequence of str
        ``a.b=c`` each, see ``survey run --set``.
    models : str, optional
        File of sky models, whose predicted counts are made too.
    overwrite : bool
        Replace results of another grid, and write beside foreign files.
    retry_failed : bool
        Try observations and units again that failed or were set aside.
    listeners : sequence of callables, optional
        Called with every event of the run instead of the progress display.

    Returns
    -------
    Run
        Lazy access to the products.

    Raises
    ------
    Refusal
        When the run cannot start; the message has one line a problem.
    RunFailed
        When a unit failed that is not a single observation: a tile, a map, a picture.
    """
    from survey.compiled import use_kernel_cache

    if not any(Path(use_kernel_cache()).iterdir()):
        log.info("compiling kernels, which the first run on a machine does: about a minute, and times left look long")
    started = time.time()
    settings = load_config(config, overrides)
    _check_stores_of(settings)
    layout, cluster = Layout(settings.general.outdir), settings.cluster
    with contextlib.ExitStack() as ahead:
        engine = ahead.enter_context(head_start(layout.work, cluster, preload=PRELOAD))
        # Imported now, while workers start: these have most of the packages behind them.
        with without_collections():
            from survey.capacity import check_capacity
            from survey.events.problems import summary as summarise_problems
            from survey.lost_files import forget_lost
            from survey.outputs import create_cube_store, create_map_stores, create_npred_store
            from survey.publish import publish, publish_unfinished
            from survey.survey_plan import make_plan

        plan = make_plan(settings, models=models)
        for line in (*plan.notes, *summarise_problems(plan.problems)):
            log.warning(line)
        check_outdir(layout, overwrite=overwrite)
        check_capacity(plan, cluster)
        check_writable(layout.outdir, "general.outdir")
        if not urls.exists(layout.cube):  # a cluster that cannot be started is to leave nothing behind
            if engine is None:
                ahead.enter_context(terminable())
                engine = ahead.enter_context(open_engine(cluster, preload=PRELOAD))
            engine.await_start()
        workspace = Workspace(layout.work)
        with storage_errors(layout.outdir), workspace.lock:
            create_cube_store(plan, workspace, overwrite=overwrite)
            create_map_stores(plan, workspace)
            create_npred_store(plan, workspace)
            forget_lost(plan, workspace)
            changed = tell_changes(layout.configuration, plan.config.as_dict())
            units = iter(units_of(plan))  # exhausted by the driver: held by nobody else, they go as they end
            # The page of the run before would speak of other products; a driver that is killed writes none.
            write_run_page(layout, publish_unfinished(plan, "running", changed=changed), {})
            try:
                with listening(listeners) as told, ahead.pop_all():
                    outcomes = execute(
                        units,
                        workspace=workspace,
                        config=cluster,
                        engine=engine,
                        listeners=told,
                        retry_failed=retry_failed,
                        preload=PRELOAD,
                    )
                publish(plan, outcomes, changed=changed, seconds=time.time() - started)
            except BaseException as stop:
                # Where there is no room, or no store any more, there is no page; what stopped the run is what counts.
                with contextlib.suppress(Exception):
                    reason = " ".join(str(stop).split()) or "interrupted"
                    write_run_page(layout, publish_unfinished(plan, "stopped", reason=reason, changed=changed))
                raise
            made = Run(layout.outdir)
            write_run_page(layout, made.record, outcomes)
    if made.record["failed_units"]:
        advice = f"what is done is kept in {made.outdir}: run again with --retry-failed when the cause is mended"
        raise RunFailed("\n".join([*made.record["failed_units"], advice]))
    return made


def _check_stores_of(settings: SurveyConfig) -> None:
    """Refuse object stores that cannot be used: the bucket, the key, the address."""
    exclusion = settings.datasets.background.exclusion
    masks = [exclusion] if isinstance(exclusion, str) else []
    check_stores(*settings.observations.datastore, *masks, settings.general.outdir)


def check_outdir(layout: Layout, *, overwrite: bool) -> None:
    """Refuse an output folder that holds files of somebody else."""
    foreign = foreign_files(layout.outdir, OWN_FILES)
    if foreign and not overwrite:
        shown = ", ".join(foreign[:5]) + (", ..." if len(foreign) > 5 else "")
        raise Refusal(
            f"general.outdir: found files in {layout.outdir} that are not of a survey run ({shown}), expected an empty folder or "
            "an earlier run's; choose another folder, or give --overwrite to write beside them"
        )


@dataclass(frozen=True)
class StagePlan:
    """What a stage would do."""

    units: int
    """Units in the plan."""
    left: int
    """Units that an earlier run has not done."""


@dataclass(frozen=True)
class PlanSummary:
    """What a run would do; its text is for people."""

    stages: dict[str, StagePlan]
    observations: int
    tiles: int
    cube_bytes: int
    output_bytes: int
    worker_bytes: int
    workers: int | None
    """None where units run in this process."""
    seconds: float
    lines: tuple[str, ...]

    def __str__(self) -> str:
        rows = [f"{name:<18} {stage.units:>8} units {stage.left:>8} left" for name, stage in self.stages.items()]
        units, left = sum(s.units for s in self.stages.values()), sum(s.left for s in self.stages.values())
        where = "this process" if self.workers is None else f"each of {self.workers} workers"
        return "\n".join(
            [
                *self.lines,
                *rows,
                f"{'in all':<18} {units:>8} units {left:>8} left, in at most {left} tasks: short units share one",
                f"{number(self.observations, 'observation')} on {number(self.tiles, 'tile')}; "
                f"at most {self.cube_bytes / 1e9:.2f} GB of cube before compression, "
                f"about {self.output_bytes / 1e9:.2f} GB of output; "
                f"{self.worker_bytes / 1e9:.2f} GB for {where}; "
                f"about {self.seconds:.0f} s of work left, compiling apart",
            ]
        )


SECONDS_OF_UNIT = {
    "observations": 0.12,
    "background": 0.03,
    "tiles": 0.5,
    "background-tiles": 0.2,
    "excess": 0.5,
    "ts": 3.0,
    "npred": 1.0,
    "pictures": 0.25,
}
"""Typical seconds of a unit on one core, for the estimate before a run; a tile's count for ten observations."""


def plan(config: str | Path | Mapping[str, Any] | SurveyConfig, *, overrides: Sequence[str] = ()) -> PlanSummary:
    """What a run of a configuration would do; nothing is run or written."""
    from cluster.plan import Plan, Settlement
    from survey.capacity import check_capacity, output_need, worker_need
    from survey.events.problems import summary as summarise_problems
    from survey.reduction.graph import cube_bytes
    from survey.survey_plan import make_plan

    settings = load_config(config, overrides)
    _check_stores_of(settings)
    check_engine(settings.cluster)
    resolved = make_plan(settings)
    check_capacity(resolved, settings.cluster)
    units = units_of(resolved)
    graph = Plan.of(units)
    records = Workspace(resolved.layout.work)
    found = records.markers() | records.failures()
    settlement = Settlement(graph, lambda slot, key: found[slot] if slot in found and found[slot].key == key else None)
    settlement.start()
    stages: dict[str, list[int]] = {}
    seconds = 0.0
    in_process = settings.cluster.kind == "none"
    threads = 1 if in_process else settings.cluster.threads
    for unit, outcome in zip(units, settlement.outcomes, strict=True):
        row = stages.setdefault(unit.stage, [0, 0])
        row[0] += 1
        if outcome is None:
            row[1] += 1
            weight = unit.cost / 10 if unit.stage in ("tiles", "background-tiles") else 1.0
            seconds += SECONDS_OF_UNIT.get(unit.stage, 1.0) * max(weight, 0.1)
    return PlanSummary(
        stages={name: StagePlan(*row) for name, row in stages.items()},
        observations=len(resolved.sources),
        tiles=len(resolved.tiles),
        cube_bytes=cube_bytes(resolved),
        output_bytes=output_need(resolved).likely,
        worker_bytes=worker_need(resolved, threads).likely,
        workers=None if in_process else settings.cluster.workers,
        seconds=seconds,
        lines=(*resolved.notes, *summarise_problems(resolved.problems)),
    )


@dataclass(frozen=True)
class Validation:
    """What the check of a configuration and of its observations found; its text is for people."""

    lines: tuple[str, ...]
    observations: int
    errors: int

    def __str__(self) -> str:
        end = f"{self.observations} observations selected, {self.errors} problems that set observations aside"
        return "\n".join([*self.lines, end])

    @property
    def exit_status(self) -> int:
        """0 when all observations can be used, 3 when some will be set aside."""
        return 3 if self.errors else 0


def validate(config: str | Path | Mapping[str, Any] | SurveyConfig, *, overrides: Sequence[str] = ()) -> Validation:
    """Check a configuration; read every observation that it selects and prepare it as a run would.

    Raises
    ------
    Refusal
        When the run would be refused.
    """
    from survey.capacity import check_capacity
    from survey.compiled import use_kernel_cache
    from survey.events.problems import summary as summarise_problems
    from survey.survey_plan import check_observations, make_plan

    use_kernel_cache()
    settings = load_config(config, overrides)
    _check_stores_of(settings)
    check_engine(settings.cluster)
    resolved = make_plan(settings)
    check_capacity(resolved, settings.cluster)
    problems = check_observations(resolved)
    errors = {problem.obs_id for problem in problems if problem.severity == "error"}
    return Validation((*resolved.notes, *summarise_problems(problems)), len(resolved.sources), len(errors))


def status(outdir: str | Path) -> StatusSummary:
    """How far the run in `outdir` is.

    Raises
    ------
    Refusal
        When there is no run.
    """
    layout = Layout(str(outdir))
    check_stores(layout.outdir)
    is_folder = not urls.is_local(layout.work) or urls.local_path(layout.work).is_dir()
    found = workspace_status(Workspace(layout.work)) if is_folder else None
    if found is None or not found.stages:
        raise Refusal(f"there is no run in {outdir}; expected a folder that `survey run` wrote (general.outdir)")
    return StatusSummary(found)


@dataclass(frozen=True)
class StatusSummary:
    """How far a run is; its text is for people."""

    found: RunStatus

    def __str__(self) -> str:
        return "\n".join(table(self.found))
