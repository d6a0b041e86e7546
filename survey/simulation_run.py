"""A simulation from beginning to end: the driver of `survey simulate`.

The data store holds ``events/`` (a file an observation), ``responses/`` (a file a distinct set), both indexes, which are
written last, ``models.yaml`` (the truth) and ``.survey/`` (what is done already).
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import zarr

from cluster import Outcomes, Unit
from cluster.plan import Plan
from cluster.progress import listening
from cluster.run import execute, storage_errors
from cluster.status import settled
from cluster.workspace import Workspace
from survey.changes import tell_changes
from survey.config import SurveyConfig, load_config
from survey.destination import check_writable, foreign_files
from survey.events.archive_format import attributes
from survey.events.gadf_shared import (
    EVENTS,
    RESPONSES,
    event_file_name,
    write_response_file,
    write_store_indexes,
)
from survey.refusal import Refusal
from survey.simulation.graph import PRELOAD, simulation_slot, simulation_units
from survey.simulation.schedule import REFERENCE
from survey.simulation_plan import SimulationPlan, make_simulation_plan
from survey.store import urls

log = logging.getLogger(__name__)

MODELS = "models.yaml"
INDEXES = ("hdu-index.fits.gz", "obs-index.fits.gz")
WORK = ".survey"
README = "README.txt"
OWN_FILES = frozenset({EVENTS, RESPONSES, MODELS, README, WORK, *INDEXES})
"""What a simulated store consists of."""
OWN_EVENT_FILE = re.compile(r"obs_\d{6,}\.fits(\.gz)?")
TERMS = "Simulated with gammasurvey: no event here was measured. Free for any use. models.yaml holds the sky.\n"


class SimulationFailed(RuntimeError):
    """A simulation that is not complete; the message has one line an observation that failed."""


@dataclass(frozen=True)
class SimulationReport:
    """What became of a simulation; its text is for people.

    Parameters
    ----------
    store : str
        The data store or archive.
    n_observations, n_events : int
        What it holds.
    events : mapping of str to int
        Events by component, ``background`` among them.
    written : bool
        False when everything was there already.
    """

    store: str
    n_observations: int
    n_events: int
    events: Mapping[str, int]
    written: bool = True

    def __str__(self) -> str:
        verb = "wrote" if self.written else "nothing to do:"
        background = self.events.get("background", 0)
        sources = sum(1 for name, count in self.events.items() if name != "background" and count)
        return (
            f"{verb} {self.store}: {self.n_observations} observations, {self.n_events} events, "
            f"{background} of them background and {self.n_events - background} from {sources} sources"
        )


def simulate(
    config: str | Path | Mapping[str, Any] | SurveyConfig,
    out: str | PathLike[str],
    *,
    overrides: Sequence[str] = (),
    overwrite: bool = False,
    listeners: Sequence[Any] | None = None,
) -> SimulationReport:
    """Simulate the survey of a configuration; running it again does only what is missing or changed.

    Parameters
    ----------
    config : path, mapping or SurveyConfig
        The configuration, with a section `simulation`; its section `cluster` says where to compute.
    out : path or str
        Folder of the data store to write; or, when it ends in ``.zarr``, the archive.
    overrides : sequence of str
        ``a.b=c`` each, see ``survey simulate --set``.
    overwrite : bool
        Write beside foreign files, and replace an archive of other data.
    listeners : sequence of callables, optional
        Called with every event of the run instead of the progress display.

    Returns
    -------
    SimulationReport

    Raises
    ------
    Refusal
        When it cannot start; the message has one line a problem.
    SimulationFailed
        When an observation could not be made.
    """
    from survey.compiled import use_kernel_cache

    use_kernel_cache()
    settings = load_config(config, overrides, to_run=False)
    plan = make_simulation_plan(settings)
    target = fspath(out).rstrip("/")
    if not target.strip():
        raise Refusal(f"found {fspath(out)!r} where the simulation is to go, expected a folder or an archive, OUT.zarr")
    if target.endswith(".zarr"):
        return _simulate_archive(plan, settings, target, overwrite=overwrite, listeners=listeners)
    if not urls.is_local(target):
        raise Refusal(
            f"{target}: found a URL, expected a folder on this machine; to have it on an object store, then: "
            f"survey ingest FOLDER {target}.zarr"
        )
    return _simulate_store(plan, settings, str(Path(target).expanduser().absolute()), overwrite, listeners)


def _simulate_store(
    plan: SimulationPlan, settings: SurveyConfig, root: str, overwrite: bool, listeners: Sequence[Any] | None
) -> SimulationReport:
    _check_root(root, OWN_FILES | plan.templates.keys(), overwrite=overwrite)
    workspace = Workspace(urls.join(root, WORK))
    sky = urls.join(root, MODELS) if plan.sky else ""
    with storage_errors(root), workspace.lock:
        tell_changes(urls.join(root, WORK, "configuration.json"), {"simulation": settings.as_dict()["simulation"]})
        units = list(simulation_units(plan, root, sky))
        _remove_outdated(plan, root, workspace, units)
        _prepare(plan, root, sky)
        with listening(listeners) as told:
            outcomes = execute(
                units,
                workspace=workspace,
                config=settings.cluster,
                listeners=told,
                retry_failed=True,
                preload=PRELOAD,
            )
        return _complete(plan, root, outcomes)


def _check_root(root: str, own: frozenset[str], *, overwrite: bool) -> None:
    """Refuse a folder that holds files of somebody else than `own`, or cannot be written to."""
    if Path(root).is_file():
        raise Refusal(f"{root}: found a file, expected a folder to write the data store to")
    found = set(urls.listdir(root))
    foreign = foreign_files(root, own)
    measured = bool(found) and WORK not in found
    if (foreign or measured) and not overwrite:
        shown = ", ".join((foreign or sorted(found))[:5])
        raise Refusal(
            f"{root}: found files that are not of a simulation ({shown}), expected an empty folder or an earlier simulation; "
            "choose another folder, or give --overwrite to write beside them"
        )
    check_writable(root, root)


def _remove_outdated(plan: SimulationPlan, root: str, workspace: Workspace, units: Sequence[Unit]) -> None:
    """Take away event files that will be made anew, and with the first of them the indexes.

    A simulation that is stopped must not leave events of two configurations side by side under an index that says
    that all is there.
    """
    whole = True
    for run, unit, outcome in zip(plan.runs, units, settled(Plan.of(units), workspace), strict=True):
        name = urls.join(root, EVENTS, event_file_name(run.obs_id, compress=plan.compress))
        # A record of done work is worth what it made, and no more.
        if outcome is not None and outcome.is_done and urls.exists(name):
            continue
        if whole:
            for index in INDEXES:
                urls.remove(urls.join(root, index))
            whole = False
        workspace.forget(unit.slot)
        urls.remove(name)


def _prepare(plan: SimulationPlan, root: str, sky: str) -> None:
    """Write what observations share, and take away what no observation of this plan has."""
    names = {event_file_name(run.obs_id, compress=plan.compress) for run in plan.runs}
    for name in urls.listdir(urls.join(root, EVENTS)):
        if name not in names and OWN_EVENT_FILE.fullmatch(name):
            Path(urls.join(root, EVENTS, name)).unlink()
    sets = plan.response_sets()
    for name, zenith in sets.items():
        write_response_file(root, name, plan.responses.tables(zenith))
    for name in urls.listdir(urls.join(root, RESPONSES)):
        if name.removesuffix(".fits") not in sets and name.startswith("responses_"):
            Path(urls.join(root, RESPONSES, name)).unlink()
    _write_if_new(urls.join(root, README), TERMS.encode())
    for name, content in plan.templates.items():
        _write_if_new(urls.join(root, name), content)
    if sky:
        _write_if_new(sky, plan.sky.encode())


def _write_if_new(url: str, content: bytes) -> None:
    if not urls.exists(url) or urls.read_bytes(url) != content:
        urls.write_bytes(url, content)


def _complete(plan: SimulationPlan, root: str, outcomes: Outcomes) -> SimulationReport:
    """Write the indexes, unless they are those of the same observations already."""
    failed = [f"{slot}: {outcome.reason}" for slot, outcome in outcomes.items() if not outcome.is_done]
    if failed:
        raise SimulationFailed(
            "\n".join([*failed, f"what is done is kept in {root}: run again when the cause is mended"])
        )
    rows = [outcomes[simulation_slot(run.obs_id)].result or {} for run in plan.runs]
    digest = hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()
    done = urls.join(root, WORK, "indexed")
    there = all(urls.exists(urls.join(root, name)) for name in INDEXES)
    written = not (there and urls.exists(done) and urls.read_bytes(done).decode() == digest)
    if written:
        write_store_indexes(root, rows, location=plan.site.location, reference=REFERENCE)
        urls.write_bytes(done, digest.encode())
    names = ["background", *plan.models]
    events = dict.fromkeys(names, 0)
    for row in rows:
        for number, count in row["events"].items():
            events[names[int(number)]] += count
    return SimulationReport(root, len(rows), sum(events.values()), events, written)


def _simulate_archive(
    plan: SimulationPlan,
    settings: SurveyConfig,
    target: str,
    *,
    overwrite: bool,
    listeners: Sequence[Any] | None,
) -> SimulationReport:
    """Simulate into a data store beside the archive's bookkeeping, ingest that, and remove it."""
    from survey.events.archive_format import absolute
    from survey.events.ingest import ingest

    url = absolute(target)
    if not urls.is_local(url):
        raise Refusal(
            f"{target}: found a URL; simulate to a folder on this machine, then: survey ingest FOLDER {target}"
        )
    stem = Path(url).name.removesuffix(".zarr")
    record = urls.join(url + ".survey", "simulated.json")
    units = list(simulation_units(plan, stem, MODELS))
    key = hashlib.sha256("".join(unit.key for unit in units).encode()).hexdigest()
    if urls.exists(record) and _is_complete(url):
        kept = json.loads(urls.read_bytes(record))
        if kept["key"] == key:
            return SimulationReport(url, kept["observations"], kept["n_events"], kept["events"], written=False)
    root = urls.join(url + ".survey", "store", stem)
    made = _simulate_store(plan, settings, root, False, listeners)
    cluster = settings.cluster.model_dump(exclude_defaults=True)
    report = ingest(root, url, cluster=cluster, overwrite=overwrite, listeners=listeners)
    if report.set_aside:
        raise SimulationFailed("\n".join(f"{identity}: {reason}" for identity, reason in report.set_aside))
    kept = {"key": key, "observations": report.n_observations, "n_events": report.n_events, "events": dict(made.events)}
    urls.write_bytes(record, json.dumps(kept).encode())
    for name, content in {**plan.templates, **({MODELS: plan.sky.encode()} if plan.sky else {})}.items():
        _write_if_new(urls.join(url + ".survey", name), content)
    shutil.rmtree(urls.local_path(urls.join(url + ".survey", "store")))
    return SimulationReport(url, report.n_observations, report.n_events, made.events)


def _is_complete(url: str) -> bool:
    from survey.store.urls import open_store

    try:
        return attributes(zarr.open_group(open_store(url, "r"), mode="r")).get("status") == "complete"
    except (FileNotFoundError, KeyError, ValueError):
        return False
