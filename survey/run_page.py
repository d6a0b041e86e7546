"""The page that every run leaves, ``run.html``: stages, a timeline of units by worker, memory, links to the rest.

It is made from the records of units, which resumed runs share, and needs nothing from elsewhere to be looked at.
`survey.run_curves` makes the coordinates of what is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from statistics import median
from typing import Any

from cluster.history import recorded
from cluster.outcome import Outcome
from cluster.progress import duration, number
from cluster.workspace import Workspace
from survey.layout import Layout
from survey.run_curves import Clock, memory_curves, timeline
from survey.store import urls

COLORS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#ee8866", "#44bb99", "#777777")
"""Of the stages, told apart by most eyes (P. Tol's bright scheme, and two of his light one)."""


def write_run_page(layout: Layout, record: Mapping[str, Any], outcomes: Mapping[str, Outcome] | None = None) -> None:
    """Write the page of a run that has ended, or was stopped.

    Parameters
    ----------
    layout : Layout
        Where the run is.
    record : mapping
        Its ``run.json``.
    outcomes : mapping, optional
        How all its units ended, by slot; without it the records of those that did are read.
    """
    urls.write_bytes(layout.page, run_page(layout, record, outcomes).encode())


def run_page(layout: Layout, record: Mapping[str, Any], outcomes: Mapping[str, Outcome] | None = None) -> str:
    """The page, as HTML; see `write_run_page`."""
    from jinja2 import Environment

    workspace = Workspace(layout.work)
    ended = recorded(workspace) if outcomes is None else outcomes
    ran = {slot: outcome for slot, outcome in ended.items() if outcome.started > 0}
    drivers = workspace.driver_memory()
    clock = Clock.of([(one.started, one.started + one.seconds) for one in ran.values()])
    names = list(dict.fromkeys(slot.partition("/")[0] for slot in ended))
    colors = {name: COLORS[number % len(COLORS)] for number, name in enumerate(names)}
    template = Environment(autoescape=True, trim_blocks=True).from_string(
        files("survey").joinpath("run_page.html").read_text(encoding="utf-8")
    )
    return template.render(
        title=layout.outdir.rstrip("/").rsplit("/", 1)[-1],
        lead=_lead(record, ran, drivers),
        stages=[_stage(name, {s: o for s, o in ended.items() if s.startswith(f"{name}/")}) for name in names],
        colors=colors,
        timeline=timeline(ran, clock, colors),
        memory=memory_curves(ran, clock, drivers),
        links=list(_links(layout)),
    )


def _lead(record: Mapping[str, Any], ran: Mapping[str, Outcome], drivers: Sequence[Any]) -> str:
    if record["state"] in ("complete", "failed"):
        used, aside = record["observations"]["used"], record["observations"]["set_aside"]
        text = f"{used} observations used, {aside} set aside."
        if record["failed_units"]:
            text += (
                f" Not complete: {number(len(record['failed_units']), 'unit')} failed; run again with --retry-failed."
            )
    elif record["state"] == "running":
        # Written when a run begins, so it speaks of nothing that has ended.
        return "Not complete: running, or killed; `survey status` tells which. This page is written anew when the run ends."
    else:
        text = f"Not complete: stopped ({record['reason']})."
        if "run again" not in text:
            text += " Run again to go on."
    work = sum(outcome.seconds for outcome in ran.values())
    text += (
        f" {number(len(ran), 'unit')} whose results hold: {duration(work)} of work by "
        f"{number(len({outcome.worker for outcome in ran.values()}), 'worker')} in {number(max(len(drivers), 1), 'run')}."
    )
    if ran:
        first = min(outcome.started for outcome in ran.values())
        last = max(outcome.started + outcome.seconds for outcome in ran.values())
        begin, end = (f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}" for at in (first, last))
        text += f" First unit begun {begin}, last one ended {end} UTC."
    return text


def _stage(name: str, ended: Mapping[str, Outcome]) -> dict[str, Any]:
    """A row of the table of stages."""
    ran = [outcome for outcome in ended.values() if outcome.started > 0]
    slowest = max(((o.seconds, slot) for slot, o in ended.items()), default=(0.0, ""))
    return {
        "name": name,
        "done": sum(outcome.is_done for outcome in ended.values()),
        "set_aside": sum(outcome.status == "set_aside" for outcome in ended.values()),
        "failed": sum(outcome.status == "failed" for outcome in ended.values()),
        "work": duration(sum(outcome.seconds for outcome in ran)),
        "median": f"{median(outcome.seconds for outcome in ran):.3g} s" if ran else "",
        "slowest": f"{slowest[0]:.3g} s, {slowest[1].partition('/')[2]}" if ran else "",
        "memory": f"{max(outcome.peak_memory for outcome in ran) / 1e6:.0f} MB" if ran else "",
        "read": f"{sum(outcome.read for outcome in ran) / 1e6:.0f} MB",
        "written": f"{sum(outcome.written for outcome in ran) / 1e6:.0f} MB",
    }


def _links(layout: Layout) -> Any:
    """Files beside the page, with what they are."""
    yield "run.json", "ledger, timings by stage, configuration, provenance"
    if urls.exists(layout.observations):
        yield "observations.ecsv", "a row an observation"
    for name in urls.listdir(urls.join(layout.work, "reports")):
        yield f".survey/reports/{name}", "Dask's performance report of a run"
    for name in urls.listdir(urls.join(layout.work, "logs")):
        yield f".survey/logs/{name}", "log of a run"
