"""The end of a run: the driver checks the sums, writes what belongs to the whole, and says that it is complete.

Nothing here is done by workers; it is repeated on every run, and costs a read of the counts.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np
import zarr

from cluster import Outcome, Outcomes
from survey.estimators.graph import chosen_maps, map_url
from survey.events.terms import terms_of_use
from survey.fitting.graph import NPRED, npred_url
from survey.layout import OWN_FILES
from survey.observation_table import Totals, rows_of, table_text
from survey.outputs import provenance_of_cube, remove_old_pictures
from survey.reduction.graph import (
    BACKGROUND,
    BACKGROUND_TILES,
    OBSERVATIONS,
    TILES,
    observation_slot,
)
from survey.reduction.ledger import LINES, Ledger, LedgerError
from survey.reduction.prepare import POINT_LIKE
from survey.store import urls
from survey.store.cube import finalise, open_cube, write_tables
from survey.store.provenance import provenance
from survey.survey_plan import SurveyPlan
from survey.version import __version__

log = logging.getLogger(__name__)


class ConservationError(RuntimeError):
    """Events were lost or counted twice: the run fails."""


def publish(plan: SurveyPlan, outcomes: Outcomes, *, changed: Sequence[str] = (), seconds: float) -> None:
    """Check the sums and write the table of observations, the record and the cube's final metadata.

    Parameters
    ----------
    plan : SurveyPlan
        The run.
    outcomes : Outcomes
        How its units ended.
    changed : sequence of str
        What changed in the configuration since the last run in the same folder.
    seconds : float
        Wall time so far.

    Raises
    ------
    ConservationError
        When the events of the ledger and of the cube are not the same.
    """
    totals = Totals()
    table = table_text(totals.counting(rows_of(plan, outcomes)))
    ledger = totals.ledger
    try:
        ledger.check()
    except LedgerError as error:
        raise ConservationError(str(error)) from error
    failed = _failed_units(plan, outcomes)
    if not failed:
        _check_counts(plan, outcomes, ledger)
    if ledger.read == 0:
        log.warning("no event is in the cube: the observations hold none")
    elif ledger.in_cube == 0:
        lines = ledger.as_dict()
        most = max((line for line in LINES if line != "in_cube"), key=lines.__getitem__)
        log.warning("no event is in the cube: of %d read, most (%d) ended as %s", ledger.read, lines[most], most)
    if totals.point_like:
        log.warning("%d of %d observations have %s", totals.point_like, totals.rows, POINT_LIKE)
    urls.write_bytes(plan.layout.observations, table)
    _write_cube_tables(plan, outcomes, totals.used)
    record = _record(plan, outcomes, totals, failed, changed, seconds)
    if any(outcome.fresh for stage in (TILES, BACKGROUND_TILES) for _, outcome in outcomes.of_stage(stage)):
        urls.remove(plan.layout.dataset)  # an export of the cube as it was
    urls.write_bytes(plan.layout.attribution, terms_of_use(plan.config.observations.datastore).encode())
    _write_record(plan, record)
    urls.sweep(plan.layout.outdir, OWN_FILES)
    remove_old_pictures(plan.layout, outcomes)
    predicted = [npred_url(plan)] if plan.models is not None else []
    for url in (*(map_url(plan, stage) for stage in chosen_maps(plan.config)), *predicted, plan.cube):
        finalise(url, provenance=record["provenance"], complete=not failed)


def publish_unfinished(
    plan: SurveyPlan, state: str, *, reason: str = "", changed: Sequence[str] = ()
) -> dict[str, Any]:
    """Write a record that says that the products are not those of a complete run, and return it.

    Parameters
    ----------
    plan : SurveyPlan
        The run.
    state : str
        ``running``, which a run that was killed leaves too, or ``stopped``.
    reason : str
        Why it stopped.
    changed : sequence of str
        What changed in the configuration since the last run in the same folder.
    """
    record = {
        "version": __version__,
        "state": state,
        "reason": reason,
        "changed": list(changed),
        "configuration": plan.config.as_dict(),
    }
    _write_record(plan, record)
    return record


def _write_record(plan: SurveyPlan, record: Mapping[str, Any]) -> None:
    urls.write_bytes(plan.layout.record, json.dumps(_finite(record), indent=1, allow_nan=False).encode())


def _failed_units(plan: SurveyPlan, outcomes: Outcomes) -> list[str]:
    """Units that failed, other than those of single observations, which are set aside.

    A fit that was not to set its observation aside is one of them: the tiles hold its counts and not its background.
    """
    waits = plan.config.datasets.background.on_failure == "set_aside"
    per_observation = (f"{OBSERVATIONS}/", f"{BACKGROUND}/") if waits else (f"{OBSERVATIONS}/",)
    return [
        f"{slot}: {outcome.reason}"
        for slot, outcome in outcomes.items()
        if outcome.status in ("failed", "set_aside") and not slot.startswith(per_observation)
    ]


def _check_counts(plan: SurveyPlan, outcomes: Outcomes, ledger: Ledger) -> None:
    """The ledger, the tiles' records and the cube must hold the same number of events."""
    if "counts" not in plan.variables:
        return
    recorded = sum(
        int((outcome.result or {}).get("counts", 0)) for slot, outcome in outcomes.of_stage(TILES) if "." not in slot
    )
    stored = 0
    counts = open_cube(plan.cube)["counts"]
    with zarr.config.set({"async.concurrency": 1}):  # chunk by chunk: quicker for small ones, and in half the memory
        for tile in plan.tiles:
            stored += int(counts[(..., *plan.grid.window(tile).slices)].values.sum())
    if not ledger.in_cube == recorded == stored:
        raise ConservationError(
            f"{plan.cube}: the ledger has {ledger.in_cube} events in the cube, its tiles recorded {recorded}, and the cube holds "
            f"{stored}: it was changed from outside, or this is an error of the program; remove {plan.cube} and run "
            "again, and if that ends so too, report it"
        )


def _write_cube_tables(plan: SurveyPlan, outcomes: Mapping[str, Outcome], used: Container[str]) -> None:
    """Observation ids and good time intervals of what is in the cube, relative to one reference."""
    obs_ids, intervals = [], []
    first: tuple[int, float, str] | None = None
    for source in plan.sources:
        if source.identity not in used:
            continue
        result = outcomes[observation_slot(source.identity)].result or {}
        obs_ids.append(source.obs_id)
        mjdrefi, mjdreff, scale = result["reference"]
        first = first or (mjdrefi, mjdreff, scale)
        shift = ((mjdrefi - first[0]) + (mjdreff - first[1])) * 86400.0
        intervals += [(start + shift, stop + shift) for start, stop in result["gti"]]
    reference = first or (0, 0.0, "tt")
    write_tables(
        plan.cube,
        observation_id=np.asarray(obs_ids, dtype=np.int64),
        gti=np.asarray(sorted(intervals), dtype=np.float64).reshape(-1, 2),
        reference={"mjdrefi": reference[0], "mjdreff": reference[1], "timesys": reference[2]},
    )


def _record(
    plan: SurveyPlan,
    outcomes: Outcomes,
    totals: Totals,
    failed: Sequence[str],
    changed: Sequence[str],
    seconds: float,
) -> dict[str, Any]:
    return {
        "version": __version__,
        "state": "failed" if failed else "complete",
        "dataset": plan.dataset_name,
        "maps": [name for name, section in (("excess", plan.config.excess_map), ("ts", plan.config.ts_map)) if section],
        "observations": {"used": len(totals.used), "set_aside": totals.rows - len(totals.used)},
        "set_aside": totals.unused,
        "failed_units": list(failed),
        "ledger": totals.ledger.as_dict(),
        "changed": list(changed),
        "timings": outcomes.history,
        "wall_seconds": seconds,
        "predicted_counts": _predicted(outcomes),
        "configuration": plan.config.as_dict(),
        "provenance": provenance(provenance_of_cube(plan), plan.grid, plan.observations_key()),
    }


def _predicted(outcomes: Outcomes) -> dict[str, float]:
    """Predicted counts of every component in the cube."""
    total: dict[str, float] = {}
    for _, outcome in outcomes.of_stage(NPRED):
        for name, counts in (outcome.result or {}).get("counts", {}).items():
            total[name] = total.get(name, 0.0) + counts
    return total


def _finite(value: Any) -> Any:
    """JSON has no NaN: null instead."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
