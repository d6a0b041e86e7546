"""The page that a run leaves: units of all resumed runs, nothing from elsewhere, bounded however big the run was."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

import survey
from cluster import Outcome
from cluster.events import UnitEnded
from cluster.history import recorded
from cluster.workspace import Workspace
from survey.products import Run
from survey.refusal import Refusal
from survey.run_curves import LEFT, RIGHT, ROWS, STEPS, Clock, memory_curves, timeline


def page_of(outdir):
    return (Path(outdir) / "run.html").read_text()


def drawings(page):
    return [ElementTree.fromstring(text) for text in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]


def test_the_page_shows_every_stage_and_needs_nothing_from_elsewhere(finished):
    page = page_of(finished)
    units = recorded(Workspace(finished / ".survey"))
    assert {slot.partition("/")[0] for slot in units} >= {"observations", "tiles", "excess", "pictures"}
    for stage in {slot.partition("/")[0] for slot in units}:
        assert f"<td>{stage}</td>" in page
    assert not re.search(r"(src|href)=.(https?:|//)|@import|url\(", page)
    links = re.findall(r'<a href="(.*?)"', page)
    assert "run.json" in links
    assert all((finished / link).is_file() for link in links)
    times, memory = drawings(page)
    assert len(times.findall(".//rect")) > 4
    assert len(memory.findall("path")) == 3


def test_a_resumed_run_shows_the_units_of_both_runs(settings):
    def stop(event):
        if isinstance(event, UnitEnded) and event.slot.startswith("tiles/"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        survey.run(settings, listeners=[stop])
    outdir = Path(settings["general"]["outdir"])
    page = page_of(outdir)
    assert "Not complete: stopped (interrupted)." in page
    assert 'href="run.json"' in page
    assert 'href="observations.ecsv"' not in page
    assert re.search(r"<td>observations</td><td>6</td>", page)
    with pytest.raises(Refusal, match=r"it was stopped \(interrupted\)"):
        _ = Run(str(outdir)).record
    survey.run(settings, listeners=[])
    page = page_of(outdir)
    assert "Not complete" not in page
    assert "in 2 runs." in page
    assert re.search(r"<td>observations</td><td>6</td>", page)
    assert len(re.findall(r'href="\.survey/logs/', page)) == 2


def test_workers_of_their_own_leave_dasks_report(settings):
    settings["cluster"] = {"kind": "local", "workers": 2}
    run = survey.run(settings, listeners=[])
    (report,) = (Path(run.outdir) / ".survey" / "reports").iterdir()
    assert f'href=".survey/reports/{report.name}"' in page_of(run.outdir)
    text = report.read_text()
    assert "run_batch" in text
    assert "cdn.bokeh.org" not in re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"<(script|link)[^>]*(src|href)=.https?:", text)


def test_pauses_are_cut_out_of_the_axis():
    clock = Clock.of([(0.0, 50.0), (40.0, 100.0), (100_000.0, 100_100.0)])
    assert clock.spans == [(0.0, 100.0), (100_000.0, 100_100.0)]
    assert [clock.x(at) for at in (0.0, 100.0, 50_000.0, 100_000.0, 100_100.0)] == pytest.approx(
        [LEFT, (LEFT + RIGHT) / 2, (LEFT + RIGHT) / 2, (LEFT + RIGHT) / 2, RIGHT]
    )
    assert [tick["text"] for tick in clock.ticks() if tick["pause"]] == ["pause of 27 h 45 min"]
    assert Clock.of([]).x(5.0) == LEFT


@pytest.mark.parametrize(
    ("length", "step", "labels"),
    [
        (0.55, 0.1, ["0.0 s", "0.1 s", "0.2 s", "0.3 s", "0.4 s", "0.5 s"]),
        (5.2, 1.0, ["0 s", "1 s", "2 s", "3 s", "4 s", "5 s"]),
        (400.0, 60.0, ["0 s", "1 min 00 s", "2 min 00 s", "3 min 00 s", "4 min 00 s", "5 min 00 s", "6 min 00 s"]),
        (18000.0, 3600.0, ["0 s", "1 h 00 min", "2 h 00 min", "3 h 00 min", "4 h 00 min", "5 h 00 min"]),
    ],
)
def test_labels_of_the_axis_are_round_and_where_they_belong(length, step, labels):
    ticks = Clock.of([(1000.0, 1000.0 + length)]).ticks()
    assert [tick["text"] for tick in ticks] == labels
    places = [LEFT + (RIGHT - LEFT) * n * step / length for n in range(len(labels))]
    assert [tick["x"] for tick in ticks] == pytest.approx(places, abs=0.06)


@pytest.mark.parametrize("length", [1.41, 7.0, 14.1, 140.0, 1.3e6, 6e6])
def test_the_axis_has_some_labels_whose_steps_are_round_however_long_the_run(length):
    clock = Clock.of([(1000.0, 1000.0 + length)])
    ticks = clock.ticks()
    assert 4 <= len(ticks) <= 8
    step = (ticks[1]["x"] - LEFT) / (RIGHT - LEFT) * length
    assert min(abs(step / known - 1) for known in STEPS) < 0.01


def test_rows_are_limited_when_workers_run_several_units_at_the_same_time():
    ran = {
        f"observations/{w}-{n}": Outcome("done", "k", seconds=2.0, started=1000.0 + n / 4, worker=f"n:{w}")
        for w in range(60)
        for n in range(16)
    }
    drawn = timeline(ran, Clock.of([(1000.0, 1007.0)]), {"observations": "#000"})
    assert (len(drawn["rows"]), drawn["others"]) == (ROWS, 60 - ROWS // 8)


def test_units_that_a_worker_runs_at_the_same_time_are_drawn_beside_each_other():
    ran = {
        f"observations/{n}": Outcome("done", "k", seconds=2.0, started=1000.0 + n, worker="node:1") for n in range(6)
    }
    rows = timeline(ran, Clock.of([(1000.0, 1007.0)]), {"observations": "#000"})["rows"]
    assert len(rows) == 2
    assert sum(bar["width"] for row in rows for bar in row["bars"]) == pytest.approx(12 / 7 * (RIGHT - LEFT), rel=0.01)


def test_a_run_of_many_units_and_workers_is_drawn_with_few_shapes():
    ran = {
        f"{stage}/{n}": Outcome(
            "done", "k", seconds=1.0, started=n // 200 + shift, worker=f"w:{n % 200}", peak_memory=n
        )
        for stage, shift in (("observations", 0.0), ("tiles", 60.0))
        for n in range(10_000)
    }
    clock = Clock.of([(one.started, one.started + one.seconds) for one in ran.values()])
    drawn = timeline(ran, clock, {"observations": "#000", "tiles": "#fff"})
    assert (len(drawn["rows"]), drawn["others"]) == (ROWS, 200 - ROWS)
    assert sum(len(row["bars"]) for row in drawn["rows"]) == 2 * ROWS
    curves = memory_curves(ran, clock, [[(0.0, 7), (30.0, 9)]])["curves"]
    assert [curve["name"] for curve in curves] == ["largest worker", "worker in the middle", "driver"]
    assert len(json.dumps(curves)) < 20_000
