"""Units of an ingest: one an observation counts it, one a shard writes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from cluster import Outcomes, SetAside, Unit, unit_key
from cluster.config import ClusterConfig
from cluster.object_store import check_stores as check_stores
from cluster.progress import open_progress
from cluster.run import execute, storage_errors
from cluster.workspace import Workspace
from survey.events.archive_plan import ArchivePlan
from survey.events.ingest import count_observation
from survey.events.observation import ObservationRejected
from survey.events.source import ObservationSource

COUNT, EVENTS, RESPONSES = "count", "events", "responses"
STAGE_VERSIONS = {COUNT: 2, EVENTS: 1, RESPONSES: 1}
WORKER = "survey.events.ingest"


def count_slot(source: ObservationSource) -> str:
    """Slot in which an observation is counted."""
    return f"{COUNT}/{source.identity}"


def count_units(sources: Iterable[ObservationSource]) -> Iterator[Unit]:
    """One unit an observation: read it, note its facts."""
    for source in sources:
        yield Unit(
            slot=count_slot(source),
            key=unit_key(COUNT, STAGE_VERSIONS[COUNT], source.fingerprint(), {}),
            function=f"{__name__}:count",
            arguments={"source": source.as_dict()},
        )


def count(*, source: Mapping[str, Any]) -> dict[str, Any]:
    """Count an observation, or set it aside."""
    try:
        return count_observation(source=source)
    except ObservationRejected as rejected:
        raise SetAside(str(rejected)) from rejected


def write_units(plan: ArchivePlan, sources: Sequence[ObservationSource], *, url: str, key: str) -> Iterator[Unit]:
    """One unit a shard of events or of responses; `key` is that of the plan, `sources` are its observations."""
    for shard, pieces in plan.event_shards().items():
        inputs = [key, shard]
        yield Unit(
            slot=f"{EVENTS}/{shard:06d}",
            key=unit_key(EVENTS, STAGE_VERSIONS[EVENTS], inputs, {}),
            function=f"{WORKER}:fill_events",
            arguments={
                "url": url,
                "shard": shard,
                "pieces": [
                    [sources[p.row].as_dict(), p.first, p.start, p.stop, plan.facts[p.row]["events"]] for p in pieces
                ],
            },
            cost=float(len(pieces)),
        )
    for stack in plan.stacks().values():
        length = plan.stack_shard(stack)
        digests = list(stack.values)
        for shard in range(-(-len(stack.rows) // length)):
            part = range(shard * length, min((shard + 1) * length, len(stack.rows)))
            yield Unit(
                slot=f"{RESPONSES}/{stack.kind}-{stack.name}-{shard:06d}",
                key=unit_key(RESPONSES, STAGE_VERSIONS[RESPONSES], [key, stack.path, shard], {}),
                function=f"{WORKER}:fill_stack",
                arguments={
                    "url": url,
                    "path": stack.path,
                    "kind": stack.kind,
                    "shard": shard,
                    "tables": [[sources[stack.rows[i]].as_dict(), digests[i]] for i in part],
                },
                cost=float(len(part)),
            )


class Runner:
    """Runs the passes of an ingest one after the other on one cluster, holding the lock of their workspace.

    Parameters
    ----------
    workspace : str
        Where the bookkeeping is.
    workers, kind, cluster
        Of the cluster.
    retry_failed : bool
        Try again what failed or was set aside.
    listeners : sequence of callables, optional
        Called with every event; progress on standard error by default.
    """

    def __init__(
        self,
        workspace: str,
        *,
        workers: int = 2,
        kind: str = "local",
        cluster: Mapping[str, Any] | None = None,
        retry_failed: bool = False,
        listeners: Sequence[Any] | None = None,
    ) -> None:
        self.workspace = Workspace(workspace)
        self.config = ClusterConfig.model_validate({"kind": kind, "workers": workers} if cluster is None else cluster)
        self.retry_failed = retry_failed
        self.listeners = listeners

        self._held = ExitStack()

    def __enter__(self) -> Runner:
        with ExitStack() as held:
            held.enter_context(storage_errors(self.workspace.url.removesuffix(".survey")))
            held.enter_context(self.workspace.lock)
            self._held = held.pop_all()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._held.__exit__(*exception)

    def __call__(self, units: Iterable[Unit], *, retry_failed: bool = False) -> Outcomes:
        """Run units, see `cluster.run.execute`."""
        units = list(units)
        with ExitStack() as stack:
            listeners = self.listeners
            if listeners is None:
                listeners = [stack.enter_context(open_progress())]
            return execute(
                units,
                workspace=self.workspace,
                config=self.config,
                listeners=listeners,
                retry_failed=retry_failed or self.retry_failed,
            )

    def forget(self, units: Iterable[Unit]) -> None:
        """Remove the records of units whose output is about to go."""
        for unit in units:
            self.workspace.forget(unit.slot)
