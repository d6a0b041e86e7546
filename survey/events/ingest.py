"""Ingesting data stores into an archive: what the units of both passes do, and the driver between them.

Pass one reads every observation and notes its facts; the driver makes prefix sums and the template of them; pass two
reads again and writes, each unit the shards that are its own. `survey.events.graph` makes the units.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from os import PathLike, fspath
from typing import Any

import zarr

from survey.events.archive_format import FORMAT, Layout, absolute, attributes, describe
from survey.events.archive_plan import ArchivePlan
from survey.events.archive_writer import complete_archive, create_archive, write_events, write_stack
from survey.events.datastore import DataStore, open_datastore
from survey.events.observation import Observation
from survey.events.problems import Problem, refused
from survey.events.source import RESPONSES, ObservationSource
from survey.events.terms import terms_of_use
from survey.refusal import Refusal
from survey.response.table import ResponseTable
from survey.store.urls import is_local, listdir, local_path, open_store


@dataclass(frozen=True)
class IngestReport:
    """What became of an ingest.

    Parameters
    ----------
    archive : str
        Its URL.
    n_observations, n_events : int
        What it holds.
    set_aside : tuple of (identity, reason)
        Observations that could not be read.
    written : bool
        False when everything was there already.
    """

    archive: str
    n_observations: int
    n_events: int
    set_aside: tuple[tuple[str, str], ...] = ()
    written: bool = True

    def __str__(self) -> str:
        verb = "wrote" if self.written else "nothing to do:"
        lines = [f"{verb} {self.archive}: {self.n_observations} observations, {self.n_events} events"]
        for identity, reason in self.set_aside:
            lines.extend(f"set aside {identity}: {line}" for line in reason.splitlines() or [""])
        return "\n".join(lines)


class IngestError(Refusal):
    """The archive could not be completed; a rerun takes up where it ended."""


def count_observation(*, source: Mapping[str, Any]) -> dict[str, Any]:
    """Pass one: facts of an observation.

    Raises
    ------
    ObservationRejected
        When it cannot be used.
    """
    return describe(ObservationSource.from_dict(source).load(responses=RESPONSES))


def fill_events(*, url: str, shard: int, pieces: Sequence[Sequence[Any]]) -> dict[str, int]:
    """Pass two: one shard of all event columns; `pieces` are (source, first, start, stop, hash of all events)."""

    def loaded() -> Iterator[tuple[Observation, int, int, int, str]]:
        for source, first, start, stop, digest in pieces:
            yield ObservationSource.from_dict(source).load(responses=()), first, start, stop, digest

    return {"events": write_events(url, shard=shard, pieces=loaded())}


def fill_stack(*, url: str, path: str, kind: str, shard: int, tables: Sequence[Sequence[Any]]) -> dict[str, int]:
    """Pass two: one shard of a stack of responses; `tables` are (source, hash of the values)."""

    def loaded() -> Iterator[tuple[ResponseTable, str]]:
        for source, digest in tables:
            yield ObservationSource.from_dict(source).load(responses=(kind,)).responses[kind], digest  # type: ignore[index]

    return {"tables": write_stack(url, path=path, shard=shard, tables=loaded())}


def ingest(
    paths: str | PathLike[str] | Sequence[str | PathLike[str]],
    out: str | PathLike[str],
    *,
    workers: int = 2,
    kind: str = "local",
    cluster: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    index_hdu: int | None = None,
    roots: Sequence[str | PathLike[str]] = (),
    strict: bool = False,
    layout: Layout | None = None,
    retry_failed: bool = False,
    listeners: Sequence[Any] | None = None,
) -> IngestReport:
    """Copy data stores into an archive; running it again does only what is missing.

    Parameters
    ----------
    paths : path or sequence of paths
        The data stores, see `survey.events.datastore.open_datastore`.
    out : path or str
        The archive: a path or any fsspec URL. Its bookkeeping lies beside it, in ``<out>.survey``.
    workers, kind : int, str
        The cluster to run on.
    cluster : mapping, optional
        The fields of `cluster.config.ClusterConfig`, instead of those two.
    overwrite : bool
        Replace an archive of other data stores.
    index_hdu, roots, strict
        See `survey.events.datastore.open_datastore`.
    layout : Layout, optional
        How arrays are cut.
    retry_failed : bool
        Try observations again that failed or were set aside.
    listeners : sequence of callables, optional
        Called with every event of the run; progress on standard error by default.

    Returns
    -------
    IngestReport

    Raises
    ------
    Refusal
        When the output is something else, or no observation can be read.
    IngestError
        When a shard could not be written.
    """
    from survey.events import graph

    url = absolute(fspath(out).rstrip("/"))
    given = [fspath(path) for path in ([paths] if isinstance(paths, str | PathLike) else paths)]
    graph.check_stores(*given, url)
    store = open_datastore(paths, index_hdu=index_hdu, roots=roots, strict=strict)
    if not store.sources:
        raise Refusal(f"{paths}: no observation that can be read")
    _check_output(url, store, overwrite=overwrite)
    with graph.Runner(
        url + ".survey", workers=workers, kind=kind, cluster=cluster, retry_failed=retry_failed, listeners=listeners
    ) as run:
        sources = sorted(store.sources, key=lambda source: (source.obs_id, source.identity))
        counted = run(graph.count_units(sources))
        outcomes = [counted[graph.count_slot(source)] for source in sources]
        good = [source for source, outcome in zip(sources, outcomes, strict=True) if outcome.is_done]
        bad = [(s.identity, s.obs_id, o.reason) for s, o in zip(sources, outcomes, strict=True) if not o.is_done]
        facts = [outcome.result or {} for outcome in outcomes if outcome.is_done]
        plan = ArchivePlan(facts=facts, set_aside=bad, layout=layout or Layout())
        rejected = tuple((identity, reason) for identity, _, reason in plan.set_aside)
        rejected += tuple((f"OBS_ID {p.obs_id}", p.note()) for p in store.problems if p.severity == "error")
        if not good:
            raise Refusal([f"{url}: no observation can be read", *(f"{i}: {reason}" for i, reason in rejected)])
        if strict and (lines := _refused(store, bad, facts)):
            raise Refusal([f"{url} (strict): {line}" for line in lines])
        records = [dict(source.record) for source in good]
        # Without sizes, which indexes do not have: the keys of archives stay.
        problems = [{k: v for k, v in asdict(problem).items() if k != "size"} for problem in store.problems]
        key = plan.key([store.name, hashlib.sha256(json.dumps([records, problems]).encode()).hexdigest()])
        report = IngestReport(url, len(good), int(plan.n_events.sum()), rejected)
        found = _attributes(url)
        if found.get("plan") == key and found.get("status") == "complete":
            return IngestReport(report.archive, report.n_observations, report.n_events, rejected, written=False)
        units = list(graph.write_units(plan, good, url=url, key=key))
        if found.get("plan") != key:
            # What was written for an earlier template goes with it.
            run.forget(units)
            rows = {source.identity: row for row, source in enumerate(store.sources)}
            create_archive(
                url,
                plan,
                name=store.name,
                key=key,
                table=store.table[[rows[source.identity] for source in good]],
                records=records,
                problems=problems,
                table_of=_Examples(good).read,
            )
        written = run(units, retry_failed=True)
        failed = [f"{slot}: {outcome.reason}" for slot, outcome in written.items() if not outcome.is_done]
        if failed:
            raise IngestError([f"{url} is not complete, run it again: {len(failed)} shards failed", *failed])
        total = sum((outcome.result or {}).get("events", 0) for outcome in written.values())
        if total != report.n_events:
            raise IngestError(f"{url}: {total} events were written and {report.n_events} counted")
        complete_archive(url, key=key, terms=terms_of_use(given))
    return report


def _refused(
    store: DataStore, set_aside: Sequence[tuple[str, int, str]], facts: Sequence[Mapping[str, Any]]
) -> list[str]:
    """What reading the observations showed that is not taken under ``strict``."""
    problems = [Problem("error", reason, obs_id) for _, obs_id, reason in set_aside]
    problems += [Problem("doubt", note, fact["obs_id"]) for fact in facts for note in fact["doubts"]]
    return refused([*store.problems, *problems])


def _check_output(url: str, store: DataStore, *, overwrite: bool) -> None:
    found = _attributes(url)
    if found.get("format") == FORMAT:
        if found.get("name") != store.name and not overwrite:
            raise Refusal(
                f"{url} is the archive of {found.get('name')}, this would be that of {store.name}; "
                "choose another name, or say --overwrite"
            )
    elif listdir(url) or (is_local(url) and local_path(url).is_file()):
        raise Refusal(f"{url} is there and is no archive; choose another name or remove it")


def _attributes(url: str) -> dict[str, Any]:
    try:
        return attributes(zarr.open_group(open_store(url, "r"), mode="r"))
    except (FileNotFoundError, KeyError, ValueError):
        return {}


class _Examples:
    """Responses of some observations; the last observation is kept, because its kinds are asked for in turn."""

    def __init__(self, sources: Sequence[ObservationSource]) -> None:
        self.sources = sources
        self.last: tuple[int, Observation] | None = None

    def read(self, row: int, kind: str) -> ResponseTable:
        if self.last is None or self.last[0] != row:
            self.last = row, self.sources[row].load(responses=RESPONSES)
        return self.last[1].responses[kind]  # type: ignore[index]
