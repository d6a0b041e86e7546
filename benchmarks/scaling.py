"""Figures of growth and of forecasts, and the page and the picture made of them: ``python -m benchmarks.scaling``.

The benches `growth`, `crowd`, `forecasts` and `incremental` each fill in their part of `benchmarks/scaling.json`; whatever is
there is shown in `docs/scaling.md`, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FIGURES, PAGE, PICTURE = ROOT / "benchmarks/scaling.json", ROOT / "docs/scaling.md", ROOT / "docs/images/scaling.png"
TEXT = Path(__file__).with_name("scaling.md.in")


@dataclass
class Figures:
    """All that was measured and forecast.

    Parameters
    ----------
    path : pathlib.Path
        Where they are kept.
    growth, crowd, checks, planned : dict
        Of the benches of these names, by case.
    incremental : dict
        Of `benchmarks.incremental`, by case.
    """

    path: Path = FIGURES
    growth: dict[str, dict[str, Any]] = field(default_factory=dict)
    crowd: dict[str, dict[str, Any]] = field(default_factory=dict)
    checks: dict[str, dict[str, Any]] = field(default_factory=dict)
    planned: dict[str, dict[str, Any]] = field(default_factory=dict)
    incremental: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path | None = None) -> Figures:
        """Those of a file, or none."""
        path = path or FIGURES
        return cls(path, **(json.loads(path.read_text()) if path.exists() else {}))

    def save(self) -> None:
        """Keep them."""
        content = {name: value for name, value in asdict(self).items() if name != "path"}
        self.path.write_text(json.dumps(content, indent=1) + "\n")

    def cases(self) -> list[dict[str, Any]]:
        """Runs measured, by observations and workers."""
        return sorted(self.growth.values(), key=lambda case: (case["observations"], case["workers"]))


def size(case: Mapping[str, Any]) -> int:
    """Observations of a run."""
    return int(case["observations"])


def scheduling(case: Mapping[str, Any]) -> float:
    """Part of the workers' time between the first and the last unit in which they waited for their next one."""
    gaps = case["gaps"]
    return float((gaps["records"] + gaps["hand_over"]) / (case["workers"] * case["span"]))


def table(head: str, rows: Iterator[str] | list[str]) -> str:
    """A table of Markdown: numbers to the right, all but the first column."""
    names = head.split("|")
    lines = ["| " + " | ".join(name.strip() for name in names) + " |", "|---|" + "---:|" * (len(names) - 1)]
    return "\n".join([*lines, *(f"| {row} |" for row in rows)])


def growth_part(figures: Figures) -> str:
    """Tables of the runs measured."""
    cases = figures.cases()
    if not cases:
        return ""
    head = "observations | workers | run, s | ms an observation | ms an added one | ms of work an observation | scheduling "
    head += "| scheduler and driver, CPU | worker, GB | driver, GB | efficiency"
    rows = []
    for case in cases:
        n, workers = case["observations"], case["workers"]
        alone = figures.growth.get(f"{n} on 1")
        efficiency = "" if workers == 1 or alone is None else f"{alone['wall'] / case['wall'] / workers:.0%}"
        before = max(
            (one for one in cases if one["workers"] == workers and one["observations"] < n), key=size, default=None
        )
        added = ""
        if before is not None:
            added = f"{1e3 * workers * (case['wall'] - before['wall']) / (n - before['observations']):.0f}"
        own = sum(case["threads_cpu"].get(name, 0.0) for name in ("driver", "scheduler"))
        rows.append(
            f"{n} | {workers} | {case['wall']:.1f} | {1e3 * case['wall'] * workers / n:.0f} | {added} "
            f"| {1e3 * case['work'] / n:.0f} "
            f"| {scheduling(case):.1%} | {own / (own + case['workers_cpu']):.1%} | {case['worker_memory'] / 1e9:.2f} "
            f"| {case['driver_memory'] / 1e9:.2f} | {efficiency}"
        )
    stages = list(dict.fromkeys(stage for case in cases for stage in case["stages"]))
    work = [
        f"{stage} | "
        + " | ".join(f"{1e3 * case['stages'][stage]['seconds'] / case['observations']:.1f}" for case in cases)
        for stage in stages
    ]
    memory = [
        f"{stage} | " + " | ".join(f"{case['stages'][stage]['peak_memory'] / 1e9:.2f}" for case in cases)
        for stage in stages
    ]
    names = " | ".join(f"{case['observations']} on {case['workers']}" for case in cases)
    parts = {"in units": "work"} | {
        name: name for name in ("records", "hand_over", "head", "tail", "start", "plan", "publish")
    }
    where = []
    for label, name in parts.items():
        cells = []
        for case in cases:
            slots = case["workers"] * case["wall"]
            value = case[name] * (1 if name == "work" else case["workers"]) if name in case else case["gaps"][name]
            cells.append(f"{value / slots:.1%}")
        where.append(f"{label.replace('_', ' ')} | " + " | ".join(cells))
    busy = max(case["load_before"] for case in cases)
    return "\n\n".join(
        [
            table(head, rows),
            f"{cases[-1]['processor']}, {cases[-1]['cores']} cores; load of the machine before a run began: at most {busy:.1f}.",
            "Milliseconds of work an observation, by stage:",
            table(f"stage | {names}", work),
            "Peak memory of a worker, GB, by stage:",
            table(f"stage | {names}", memory),
            "Where the workers' time went, as part of workers x wall time:",
            table(f"part | {names}", where),
        ]
    )


def crowd_part(figures: Figures) -> str:
    """Table of the runs with workers that sleep."""
    rows = []
    for _, found in sorted(figures.crowd.items(), key=lambda item: int(item[0])):
        for name, row in found.items():
            beside = row["overheads"]
            rows.append(
                f"{row['workers']} | {row['units']} of {row['seconds']:g} s, {name} | {row['tasks']} "
                f"| {row['tasks'] / row['wall']:.0f} | {1e3 * beside['scheduler_task']:.2f} | {1e3 * beside['client_task']:.2f} "
                f"| {1e6 * row['driver_own'] / row['units']:.0f} | {1e3 * beside['worker_task']:.1f} "
                f"| {row['cores_busy']:.1f} | {row['wall']:.1f} "
                f"| {_beside(row['from_itself'], row['wall'])} | {_beside(row['from_other'], row['wall'])}"
            )
    head = "workers | units | tasks | tasks a second | scheduler, ms a task | client, ms a task | driver, us a unit "
    head += "| gap between tasks, ms | cores busy | run, s | forecast by its own costs, s | by another row's, s"
    if not rows:
        return ""
    busy = max(row["load_before"] for found in figures.crowd.values() for row in found.values())
    return f"{table(head, rows)}\n\nLoad of the machine before a run began: at most {busy:.1f}."


def _beside(forecast: float | None, measured: float) -> str:
    """A forecast with its error."""
    return "" if forecast is None else f"{forecast:.1f} ({forecast / measured - 1:+.1%})"


def checks_part(figures: Figures) -> str:
    """Table of forecasts beside the runs."""
    columns = (("wall", "units in, s", 1.0, ".1f"), ("peak_memory", "worker, GB", 1e9, ".2f"))
    columns += (("bytes_read", "read, GB", 1e9, ".2f"), ("bytes_written", "written, GB", 1e9, ".2f"))
    rows = []
    for name, row in figures.checks.items():
        for label, key in (("measured", "measured"), ("own units", "from_itself"), ("the other run's", "from_other")):
            found, measured = row[key], row["measured"]
            cells = []
            for column, _, unit, digits in columns:
                error = "" if key == "measured" else f" ({found[column] / measured[column] - 1:+.1%})"
                cells.append(f"{found[column] / unit:{digits}}{error}")
            work = f"{row['work'] / row['work_other'] - 1:+.1%}" if key == "from_other" else ""
            rows.append(" | ".join([name, label, *cells, work]))
    head = "observations, workers | units' costs | " + " | ".join(title for _, title, _, _ in columns)
    return table(f"{head} | work beside the other run's", rows) if rows else ""


def _led_to(figures: Figures, name: str, n: int) -> float:
    """A figure of a run of `n` observations, by a straight line through the two largest runs on the most workers."""
    *_, before, last = [case for case in figures.cases() if case["workers"] == figures.cases()[-1]["workers"]]
    slope = (last[name] - before[name]) / (last["observations"] - before["observations"])
    return float(last[name] + slope * (n - last["observations"]))


def planned_part(figures: Figures) -> str:
    """Tables of large surveys that were planned and forecast."""
    parts = []
    for n, row in sorted(figures.planned.items(), key=lambda item: int(item[0])):
        units = sum(row["units"].values())
        parts.append(
            f"{int(n):,} observations: {row['tiles']:,} tiles of a grid of {row['pixels'] / 1e6:,.0f} million pixels, "
            f"{row['pairs'] / row['observations']:.1f} tiles an observation, at most {row['most_on_a_tile']} observations on "
            f"a tile; {units:,} units with {row['dependencies']:,} dependencies, a plan of {row['plan_bytes'] / 1e6:.0f} MB. "
            f"Unit costs are those of {' and '.join(row['costs_from'])} workers."
        )
        parts.append(
            table(
                "planning | CPU, s | memory of the driver after it, GB",
                [f"{name} | {step['cpu']:.1f} | {step['memory'] / 1e9:.2f}" for name, step in row["steps"].items()],
            )
        )
        parts.append(
            table(
                "workers, where the scheduler is | units in, s | work, s | busy | tasks | driver, s | client, s | scheduler, s "
                "| load of its process | messages, MB | worker, GB | store, at most, GB/s read | written",
                [
                    f"{name} | {run['wall']:.0f} | {run['work']:.0f} | {run['busy']:.0%} | {run['tasks']} "
                    f"| {run['driver']:.1f} | {run['client']:.1f} | {run['scheduler']:.1f} | {run['load']:.0%} "
                    f"| {run['message_bytes'] / 1e6:.0f} | {run['peak_memory'] / 1e9:.2f} "
                    f"| {max(row[1] for row in run['traffic']) / 1e9:.2f} | {max(row[2] for row in run['traffic']) / 1e9:.2f}"
                    for name, run in row["runs"].items()
                ],
            )
        )
        fastest = min(row["runs"].values(), key=lambda run: run["wall"])
        parts.append(
            f"Stages on {fastest['workers']} workers, the fastest of these: "
            + "; ".join(f"{stage} {first:.0f} to {last:.0f} s" for stage, (_, first, last) in fastest["stages"].items())
            + ". The longest units: "
            + ", ".join(f"{slot} {seconds:.0f} s" for seconds, slot in fastest["longest"][:3])
            + f". Driver and forecast together in one process took {row['driver_memory'] / 1e9:.2f} GB; a straight line "
            "through the drivers measured, which also keep how units ended and make the report, leads to "
            f"{_led_to(figures, 'driver_memory', int(n)) / 1e9:.1f} GB. To the time of the units comes that of the plan, "
            f"{sum(step['cpu'] for step in row['steps'].values()):.0f} s of the driver by the table above, while workers start, "
            f"and that of the end, {_led_to(figures, 'publish', int(n)):.0f} s by such a line."
        )
        parts.append(
            table(
                "stage | read from the store, GB | written to it, GB",
                [
                    f"{stage} | {read / 1e9:.1f} | {written / 1e9:.1f}"
                    for stage, (read, written) in fastest["bytes"].items()
                ],
            )
        )
    return "\n\n".join(parts)


def incremental_part(figures: Figures) -> str:
    """Table of surveys that observations were added to."""
    rows = []
    for name, row in figures.incremental.items():
        seconds, units = row["seconds"], row["units"]
        computed = ", ".join(f"{stage} {done} of {total}" for stage, (done, total) in units.items())
        rows.append(
            f"{name} | {seconds['before']:.0f} | {seconds['added']:.0f} | {seconds['from scratch']:.0f} "
            f"| {row['touched']} of {row['tiles']} | {row['files']} | {computed}"
        )
    head = (
        "observations | before, s | added, s | all from scratch, s | tiles touched | files, all equal | units computed"
    )
    return table(head, rows) if rows else ""


PARTS = {
    "growth": growth_part,
    "crowd": crowd_part,
    "checks": checks_part,
    "planned": planned_part,
    "incremental": incremental_part,
}
MISSING = "*Not measured yet.*"


def page(figures: Figures) -> str:
    """The page: what is not measured is said to be so."""
    text = TEXT.read_text()
    for name, part in PARTS.items():
        text = text.replace(f"<!-- {name} -->", part(figures) or MISSING)
    return text


def write_page(figures: Figures) -> None:
    """Write the page and its picture."""
    PAGE.write_text(page(figures))
    draw(figures)


def draw(figures: Figures) -> None:
    """Draw the curves."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    (time, memory), (strong, busy) = figure.subplots(2, 2)
    for workers in sorted({case["workers"] for case in figures.cases()}):
        cases = [case for case in figures.cases() if case["workers"] == workers]
        n = [case["observations"] for case in cases]
        walls = [1e3 * case["wall"] * workers / case["observations"] for case in cases]
        time.plot(n, walls, "o-", label=f"{workers} workers: workers x run")
        work = [1e3 * case["work"] / case["observations"] for case in cases]
        time.plot(n, work, "s--", label=f"{workers} workers: in units")
        memory.plot(n, [case["worker_memory"] / 1e9 for case in cases], "o-", label=f"worker, of {workers}")
        memory.plot(n, [case["driver_memory"] / 1e9 for case in cases], "s--", label=f"driver, of {workers}")
    time.set(xlabel="observations", ylabel="ms an observation", title="Time, measured", xscale="log", ylim=(0, None))
    memory.set(xlabel="observations", ylabel="GB", title="Peak memory, measured", xscale="log", ylim=(0, None))
    for n, row in figures.planned.items():
        for one_process, label in ((True, "scheduler in the driver's process"), (False, "scheduler apart")):
            runs = [run for run in row["runs"].values() if run["one_process"] == one_process]
            strong.plot([run["workers"] for run in runs], [run["wall"] for run in runs], "o-", label=label)
        workers = [run["workers"] for run in runs]
        strong.plot(workers, [run["work"] / run["workers"] for run in runs], "k:", label="work / workers")
        most = max(row["runs"].values(), key=lambda run: (run["workers"], run["one_process"]))
        busy.plot(*zip(*most["curve"], strict=True), label=f"{int(n):,} observations")
        busy.set(title=f"Workers at work, of {most['workers']}, forecast")
    strong.set(xlabel="workers", ylabel="run, s", xscale="log", yscale="log", title="Larger survey, forecast")
    busy.set(xlabel="s", ylabel="workers", ylim=(0, None))
    for axes in (time, memory, strong, busy):
        if axes.lines:
            axes.legend(frameon=False, fontsize=8)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE)


if __name__ == "__main__":
    write_page(Figures.read())
