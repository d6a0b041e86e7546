"""Units whose file was removed since they were done: their records are forgotten, so that the run makes the files again.

Folders are listed once each, and what they hold is not read: a file that was damaged is found by the unit that reads it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from cluster.progress import number
from cluster.workspace import Workspace
from survey.layout import Layout
from survey.reduction.graph import BACKGROUND, OBSERVATIONS
from survey.report.graph import PICTURES
from survey.store import urls
from survey.survey_plan import SurveyPlan

log = logging.getLogger(__name__)


def forget_lost(plan: SurveyPlan, workspace: Workspace) -> None:
    """Forget the records of prepared observations, background fits and pictures whose files are not there any more."""
    lost = [*_lost_of_observations(plan, workspace), *_lost_pictures(plan.layout, workspace)]
    for slot in lost:
        workspace.forget(slot)
    if lost:
        log.warning("files of %s were removed since the last run: made again", number(len(lost), "unit"))


def _lost_of_observations(plan: SurveyPlan, workspace: Workspace) -> Iterator[str]:
    """Slots of observations that were prepared, or fitted, and whose file is gone."""
    layout = plan.layout
    for stage, place in ((OBSERVATIONS, layout.prepared), (BACKGROUND, layout.norm)):
        files = {source.identity: place(source.identity) for source in plan.sources}
        folder = next(iter(files.values()), "").rpartition("/")[0]
        there = set(urls.listdir(folder)) if folder else set()
        missing = {f"{stage}/{name}" for name, url in files.items() if url.rpartition("/")[2] not in there}
        # Records are many and small: they are read where a file is missing, which a first run has none of.
        for slot, outcome in workspace.markers(stage).items() if missing else ():
            # The fit of an observation that was set aside is done, with nothing to write.
            if slot in missing and outcome.is_done and (stage == OBSERVATIONS or outcome.result):
                yield slot


def _lost_pictures(layout: Layout, workspace: Workspace) -> Iterator[str]:
    there = set(urls.listdir(layout.pictures))
    for slot, outcome in workspace.markers(PICTURES).items():
        if outcome.is_done and not there.issuperset((outcome.result or {}).get("files", ())):
            yield slot
