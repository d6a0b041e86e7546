"""Running plans in this process: order, resume, records, failures."""

import gc
import hashlib
import json
import os
from pathlib import Path

import cluster_jobs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster import ClusterError, DiskFull, PlanError, Unit, WorkspaceLocked, unit_key
from cluster.config import ClusterConfig
from cluster.events import RunEnded, RunStarted, StageEnded, UnitEnded
from cluster.history import timeline
from cluster.plan import Edges, Plan
from cluster.run import execute
from cluster.status import status
from cluster.workspace import Workspace

INLINE = ClusterConfig(kind="none")


def unit(folder, slot, text="", after=(), function="write", **more):
    arguments = {"folder": str(folder), "name": slot, **({"text": text} if function == "write" else {}), **more}
    return Unit(slot, unit_key("s", 1, text, arguments), f"cluster_jobs:{function}", arguments, tuple(after))


def run(units, folder, **options):
    return execute(units, workspace=Path(folder) / ".work", config=INLINE, **options)


def statuses(outcomes):
    return {slot: outcome.status for slot, outcome in outcomes.items()}


@st.composite
def graphs(draw):
    n = draw(st.integers(1, 12))
    rows = []
    for i in range(n):
        needs = draw(st.sets(st.integers(0, i - 1), max_size=3)) if i else set()
        rows.append((draw(st.sampled_from(["obs", "tile", "map"])), needs, draw(st.sampled_from("dddsf"))))
    return rows, draw(st.permutations(range(n)))


@given(graphs())
@settings(max_examples=40, deadline=None)
def test_any_graph_ends_as_one_pass_in_order_does(tmp_path_factory, graph):
    rows, order = graph
    folder = tmp_path_factory.mktemp("graph")
    slots = [f"{stage}/{i}" for i, (stage, _, _) in enumerate(rows)]
    expected = {}
    content = {}
    units = []
    for slot, (_, needs, how) in zip(slots, rows, strict=True):
        after = [slots[i] for i in needs]
        if how == "d":
            units.append(unit(folder, slot, slot, after))
            good = sorted(need for need in after if expected[need] == "done")
            content[slot] = "(" + ",".join([slot] + [content[need] for need in good]) + ")"
            expected[slot] = "done"
        else:
            ways = {"s": ("set aside", "set_aside"), "f": ("error", "failed")}
            units.append(unit(folder, slot, "", after, "fail", how=ways[how][0]))
            expected[slot] = ways[how][1]
    outcomes = run([units[i] for i in order], folder, retries=0)
    assert statuses(outcomes) == expected
    assert list(outcomes) == [slots[i] for i in order]
    for slot, text in content.items():
        assert (folder / slot.replace("/", "_")).read_text() == text
    ran = cluster_jobs.calls(folder)
    assert sorted(ran) == sorted(slots)
    assert all(ran.index(slots[i]) < ran.index(slot) for slot, row in zip(slots, rows, strict=True) for i in row[1])
    again = run(units, folder)
    assert cluster_jobs.calls(folder) == []
    assert {s: o.result for s, o in again.items()} == {s: o.result for s, o in outcomes.items()}


def test_a_rerun_computes_only_what_is_missing(tmp_path):
    units = [unit(tmp_path, f"obs/{i}") for i in range(4)] + [unit(tmp_path, "tile/0", after=["obs/0", "obs/1"])]
    run(units, tmp_path)
    cluster_jobs.calls(tmp_path)
    Workspace(tmp_path / ".work").forget("obs/1")
    outcomes = run(units, tmp_path)
    assert cluster_jobs.calls(tmp_path) == ["obs/1"]  # its output is what it was, so the tile stands
    assert statuses(outcomes)["tile/0"] == "skipped"
    assert outcomes["tile/0"].result == {"parts": 3, "text": ""}
    assert not outcomes["tile/0"].fresh


def test_a_changed_unit_takes_its_dependents_with_it(tmp_path):
    def plan(text):
        return [
            unit(tmp_path, "obs/0", text),
            unit(tmp_path, "obs/1"),
            unit(tmp_path, "tile/0", after=["obs/0"]),
            unit(tmp_path, "tile/1", after=["obs/1"]),
        ]

    run(plan("a"), tmp_path)
    cluster_jobs.calls(tmp_path)
    run(plan("b"), tmp_path)
    assert cluster_jobs.calls(tmp_path) == ["obs/0", "tile/0"]


def test_configurations_a_b_a_give_the_bytes_of_a(tmp_path):
    def plan(text):
        return [unit(tmp_path, "obs/0", text), unit(tmp_path, "tile/0", after=["obs/0"])]

    run(plan("a"), tmp_path)
    expected = (tmp_path / "tile_0").read_bytes()
    run(plan("b"), tmp_path)
    assert (tmp_path / "tile_0").read_bytes() != expected
    outcomes = run(plan("a"), tmp_path)
    assert (tmp_path / "tile_0").read_bytes() == expected
    assert set(statuses(outcomes).values()) == {"done"}


def test_the_marker_is_gone_while_the_unit_runs(tmp_path, monkeypatch):
    def look(folder, name):
        seen.append(Workspace(tmp_path / ".work").read(name))

    seen = []
    monkeypatch.setattr(cluster_jobs, "look", look, raising=False)
    arguments = {"folder": str(tmp_path), "name": "a/b"}
    run([Unit("a/b", "k1", "cluster_jobs:look", arguments)], tmp_path)
    run([Unit("a/b", "k2", "cluster_jobs:look", arguments)], tmp_path)
    assert seen == [None, None]


def test_a_dependency_that_ends_otherwise_makes_its_dependents_run_again(tmp_path):
    units = [
        unit(tmp_path, "obs/0", function="fail", how="set aside"),
        unit(tmp_path, "obs/1", "x"),
        unit(tmp_path, "tile/0", after=["obs/0", "obs/1"]),
    ]
    first = run(units, tmp_path)
    assert statuses(first) == {"obs/0": "set_aside", "obs/1": "done", "tile/0": "done"}
    assert first["obs/0"].reason == "obs/0 is bad"
    assert (tmp_path / "tile_0").read_text() == "(,(x))"
    (tmp_path / "ok").touch()
    assert statuses(run(units, tmp_path))["obs/0"] == "set_aside"
    again = run(units, tmp_path, retry_failed=True)
    assert statuses(again) == {"obs/0": "done", "obs/1": "skipped", "tile/0": "done"}
    assert (tmp_path / "tile_0").read_text() == "(,(set aside),(x))"


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("error", "ValueError: obs/0 went wrong"),
        ("memory", "MemoryError: cannot allocate 9 TB"),
        ("exit", "SystemExit: 3"),
        ("result", "TypeError: a unit's result holds set, which JSON does not; return plain values"),
    ],
)
def test_a_unit_that_raises_is_tried_again_then_recorded_as_failed(tmp_path, how, reason):
    units = [unit(tmp_path, "obs/0", function="fail", how=how), unit(tmp_path, "tile/0", after=["obs/0"])]
    outcomes = run(units, tmp_path, retries=2)
    assert cluster_jobs.calls(tmp_path) == ["obs/0"] * 3 + ["tile/0"]
    assert statuses(outcomes) == {"obs/0": "failed", "tile/0": "done"}
    assert outcomes["obs/0"].reason == reason
    record = json.loads((tmp_path / ".work/failed/obs/0.json").read_text())
    assert record["reason"] == reason
    assert "Traceback" in record["traceback"]
    assert statuses(run(units, tmp_path)) == {"obs/0": "failed", "tile/0": "skipped"}
    assert cluster_jobs.calls(tmp_path) == []
    (tmp_path / "ok").touch()
    assert statuses(run(units, tmp_path, retry_failed=True)) == {"obs/0": "done", "tile/0": "done"}
    assert not (tmp_path / ".work/failed/obs/0.json").exists()


def test_a_passing_trouble_is_overcome(tmp_path):
    outcomes = run([unit(tmp_path, "obs/0", function="fail", how="once")], tmp_path)
    assert statuses(outcomes) == {"obs/0": "done"}


def test_a_full_disk_stops_the_run_and_a_rerun_completes_it(tmp_path):
    units = [unit(tmp_path, "obs/0"), unit(tmp_path, "obs/1", function="fail", how="full"), unit(tmp_path, "obs/2")]
    with pytest.raises(DiskFull, match=r"^no space left to write .*/shard; make room and run again: finished work is"):
        run(units, tmp_path)
    assert status(str(tmp_path / ".work")).stages["obs"].failed == 0
    (tmp_path / "ok").touch()
    outcomes = run(units, tmp_path)
    assert statuses(outcomes)["obs/0"] == "skipped"
    assert all(outcome.is_done for outcome in outcomes.values())


def test_a_marker_that_finds_no_room_stops_the_run(tmp_path, monkeypatch):
    def refuse(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(DiskFull, match=r"lock\.json; make room"):
        run([unit(tmp_path, "obs/0")], tmp_path)
    monkeypatch.undo()
    kept = Workspace.record

    def record(self, *arguments):
        monkeypatch.setattr(os, "fsync", refuse)
        kept(self, *arguments)

    monkeypatch.setattr(Workspace, "record", record)
    with pytest.raises(DiskFull, match=r"markers/obs/0\.json; make room"):
        run([unit(tmp_path, "obs/0")], tmp_path)
    monkeypatch.undo()
    assert not list((tmp_path / ".work").rglob("*.partial"))
    assert statuses(run([unit(tmp_path, "obs/0")], tmp_path)) == {"obs/0": "done"}


def test_a_function_that_is_not_there_stops_the_run(tmp_path):
    with pytest.raises(PlanError, match="unit a/b: cannot import cluster_jobs:absent: AttributeError"):
        run([Unit("a/b", "k", "cluster_jobs:absent")], tmp_path)


def test_plans_that_are_none_are_refused(tmp_path):
    def bare(slot, *after):
        return Unit(slot, "k", "cluster_jobs:nothing", {}, after)

    with pytest.raises(PlanError, match="slot a/b is in the plan twice"):
        run([bare("a/b"), bare("a/b")], tmp_path)
    with pytest.raises(PlanError, match="unit a/b comes after a/c, which is not in the plan"):
        run([bare("a/b", "a/c")], tmp_path)
    with pytest.raises(PlanError, match=r"circle: a/1 after a/2 after a/1|circle: a/2 after a/1 after a/2"):
        run([bare("a/1", "a/2"), bare("a/2", "a/1"), bare("a/3")], tmp_path)
    with pytest.raises(PlanError, match="circle"):
        run([bare("a/1", "a/2"), bare("a/2", "a/1"), bare("b/1", "a/1")], tmp_path)
    assert run([], tmp_path) == {}


def test_a_second_driver_is_refused_and_told_of_the_first(tmp_path):
    with (
        Workspace(tmp_path / ".work").lock,
        pytest.raises(WorkspaceLocked, match=rf"another run works here \(process {os.getpid()} on .* since 20"),
    ):
        run([unit(tmp_path, "obs/0")], tmp_path)
    assert statuses(run([unit(tmp_path, "obs/0")], tmp_path)) == {"obs/0": "done"}


def test_the_lock_may_be_held_by_the_caller(tmp_path):
    workspace = Workspace(tmp_path / ".work")
    with workspace.lock:
        execute([unit(tmp_path, "obs/0")], workspace=workspace, config=INLINE)
        assert workspace.lock.holder().pid == os.getpid()
    assert workspace.lock.holder() is None


@pytest.mark.parametrize("url", ["memory://cluster-{}/work", "file://{}/work"])
def test_the_workspace_may_be_any_url(tmp_path, url):
    name = tmp_path if url.startswith("file") else hashlib.sha256(str(tmp_path).encode()).hexdigest()
    url = url.format(name)
    units = [unit(tmp_path, "obs/0"), unit(tmp_path, "obs/a b/c?é", function="fail", how="set aside")]
    units.append(unit(tmp_path, "obs/2", after=["obs/0"], function="fail", how="error"))
    execute(units, workspace=url, config=INLINE)
    cluster_jobs.calls(tmp_path)
    outcomes = execute(units, workspace=url, config=INLINE)
    assert cluster_jobs.calls(tmp_path) == []
    assert list(statuses(outcomes).values()) == ["skipped", "set_aside", "failed"]
    assert Workspace(url).traceback("obs/2").startswith("Traceback")
    assert Workspace(url).lock.holder() is None


def test_status_counts_what_the_next_run_would_find(tmp_path):
    units = [unit(tmp_path, f"obs/{i}") for i in range(3)]
    units += [unit(tmp_path, "obs/3", function="fail", how="set aside")]
    units += [unit(tmp_path, "obs/4", function="fail", how="error"), unit(tmp_path, "tile/0", after=["obs/0"])]
    work = str(tmp_path / ".work")
    assert status(work).stages == {}
    run(units, tmp_path)
    found = status(work)
    assert found.is_complete
    assert found.running is None
    row = found.stages["obs"]
    assert (row.planned, row.done, row.left, row.set_aside, row.failed) == (5, 3, 0, 1, 1)
    assert found.reasons == {"obs/3": "obs/3 is bad", "obs/4": "ValueError: obs/4 went wrong"}
    Workspace(work).forget("obs/0")
    found = status(work)
    assert (found.stages["obs"].left, found.stages["tile"].left) == (1, 1)
    assert not found.is_complete


def test_listeners_hear_all_and_history_adds_up(tmp_path):
    events = []
    units = [unit(tmp_path, "obs/0", seconds=0.05), unit(tmp_path, "obs/1"), unit(tmp_path, "tile/0", after=["obs/0"])]
    outcomes = run(units, tmp_path, listeners=[events.append])
    assert events[0] == RunStarted({"obs": 2, "tile": 1})
    assert events[-1] == RunEnded(True)
    assert {event.slot for event in events if isinstance(event, UnitEnded)} == set(outcomes)
    assert {event.stage for event in events if isinstance(event, StageEnded)} == {"obs", "tile"}
    history = outcomes.history
    assert history["stages"]["obs"]["done"] == 2
    assert history["stages"]["obs"]["slowest"][0] == "obs/0"
    assert history["stages"]["obs"]["seconds"] >= 0.05
    assert history["peak_memory"] > 10**7
    assert json.loads(json.dumps(history)) == history
    assert sorted(row[1] for row in timeline(outcomes)) == ["obs/0", "obs/1", "tile/0"]
    assert outcomes.tally() == {"obs": {"done": 2}, "tile": {"done": 1}}


def test_what_a_unit_imports_is_of_its_time(tmp_path, monkeypatch):
    (tmp_path / "slow_to_import.py").write_text("import time\n\ntime.sleep(0.2)\n\n\ndef nothing():\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    outcomes = run([Unit("obs/0", unit_key("obs", 1, "", {}), "slow_to_import:nothing")], tmp_path)
    assert outcomes["obs/0"].seconds >= 0.2


def test_chains_are_ended_before_others_are_begun(tmp_path):
    units = [unit(tmp_path, f"obs/{i}") for i in range(6)]
    units += [unit(tmp_path, f"tile/{i}", after=[f"obs/{2 * i}", f"obs/{2 * i + 1}"]) for i in range(3)]
    units += [unit(tmp_path, "lone/0")]
    plan = Plan.of(units)
    order = [plan.slots[i] for i in sorted(range(len(plan)), key=plan.rank.__getitem__)]
    assert order == [
        *("obs/0", "obs/1", "tile/0"),
        *("obs/2", "obs/3", "tile/1"),
        *("obs/4", "obs/5", "tile/2"),
        "lone/0",
    ]
    assert Plan.from_bytes(plan.to_bytes()) == plan


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 7])
def test_a_plan_is_one_text_though_it_is_made_in_pieces(tmp_path, monkeypatch, n):
    plan = Plan.of([unit(tmp_path, f"obs/{i}", after=[f"obs/{j}" for j in range(i)]) for i in range(n)])
    whole = json.dumps([1, plan.slots, plan.keys, list(map(list, plan.after)), plan.costs], separators=(",", ":"))
    monkeypatch.setattr("cluster.plan.PIECE", 2)
    assert plan.to_bytes() == whole.encode()
    assert Plan.from_bytes(plan.to_bytes()) == plan


def test_arguments_that_are_made_when_sent_are_made_for_each_try(tmp_path):
    asked = []

    def arguments(name):
        asked.append(name)
        return {"folder": str(tmp_path), "name": name, "how": "once"}

    outcomes = run([Unit("obs/a", "k", "cluster_jobs:fail", arguments)], tmp_path)
    assert statuses(outcomes) == {"obs/a": "done"}
    assert asked == ["a", "a"]


@given(st.integers(1, 8).flatmap(lambda n: st.lists(st.lists(st.integers(0, n - 1)), min_size=n, max_size=n)))
def test_links_are_what_was_given_and_can_be_seen_from_both_ends(links):
    edges = Edges.of(links)
    assert [list(ends) for ends in edges] == links
    assert [list(edges[index]) for index in range(len(links))] == links
    there = sorted((start, end) for start, ends in enumerate(links) for end in ends)
    assert sorted((end, start) for start, ends in enumerate(edges.reversed()) for end in ends) == there
    assert edges == Edges.of(links) != Edges.of([*links, []])


def test_the_driver_forgets_units_that_have_ended(tmp_path):
    alive = {}

    def count(event):
        if isinstance(event, StageEnded):
            found = [one for one in gc.get_objects() if isinstance(one, Unit) and one.slot.startswith(event.stage)]
            alive[event.stage] = len(found)

    execute(
        [unit(tmp_path, f"forgotten/{i}") for i in range(5)],
        workspace=tmp_path / ".work",
        config=INLINE,
        listeners=[count],
    )
    assert alive == {"forgotten": 0}


def test_a_record_that_cannot_be_read_counts_as_absent(tmp_path):
    run([unit(tmp_path, "obs/0")], tmp_path)
    (tmp_path / ".work/markers/obs/0.json").write_text('{"format": 1, "slo')
    assert statuses(run([unit(tmp_path, "obs/0")], tmp_path)) == {"obs/0": "done"}


def test_long_names_have_records_too(tmp_path):
    slots = [f"obs/{'x' * 300}{i}" for i in range(2)]
    units = [Unit(slot, slot, "cluster_jobs:nothing") for slot in slots]
    run(units, tmp_path)
    assert statuses(run(units, tmp_path)) == dict.fromkeys(slots, "skipped")


def test_errors_of_the_machinery_are_one_family():
    assert issubclass(DiskFull, ClusterError)
    assert issubclass(WorkspaceLocked, ClusterError)
