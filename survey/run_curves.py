"""Coordinates of what the page of a run draws: bars of units by worker, curves of memory, a clock without pauses.

However many units and workers there are, a few thousand shapes are drawn.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from cluster.outcome import Outcome
from cluster.progress import duration

LEFT, RIGHT = 150.0, 990.0
"""Ends of the axis of time, on a canvas of 1000."""
ROWS = 40
"""Rows shown: a worker has one for each unit that it runs at the same time."""
STEP = 17.0
"""Height of a worker's row."""
PIXEL = 0.7
"""Units of a stage that follow each other within this much of the canvas are one bar."""
PAUSE = 60.0
"""Seconds without any unit that are cut out of the axis, when they are also a twentieth of the work."""
STEPS = (
    0.1,
    0.2,
    0.5,
    1,
    2,
    5,
    10,
    20,
    30,
    60,
    120,
    300,
    600,
    1200,
    1800,
    3600,
    7200,
    14400,
    28800,
    43200,
    86400,
    172800,
    345600,
    604800,
    1209600,
    2419200,
)
"""Seconds between two labels of the axis."""
MOST_STEPS = 7.5
"""On the axis: with the steps above at least three, so four labels."""
TOUCH = 0.02
"""Seconds by which units that follow each other may overlap: times are rounded."""
CURVE_HEIGHT = 200.0
BINS = 300
"""Points of a curve."""


@dataclass(frozen=True)
class Clock:
    """Place on the axis of a time, with pauses cut out: a run may be resumed days later.

    Parameters
    ----------
    spans : sequence of (float, float)
        When there was work, seconds since the epoch; sorted, apart from each other.
    """

    spans: Sequence[tuple[float, float]]

    @classmethod
    def of(cls, intervals: Sequence[tuple[float, float]]) -> Clock:
        """The clock of some units, by their beginnings and ends."""
        joined: list[tuple[float, float]] = []
        for first, last in sorted(intervals):
            if joined and first <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(joined[-1][1], last))
            else:
                joined.append((first, last))
        long = max(PAUSE, 0.05 * sum(last - first for first, last in joined))
        spans: list[tuple[float, float]] = []
        for first, last in joined:
            if spans and first - spans[-1][1] < long:
                spans[-1] = (spans[-1][0], last)
            else:
                spans.append((first, last))
        return cls(spans)

    @property
    def length(self) -> float:
        """Seconds on the axis."""
        return sum(last - first for first, last in self.spans) or 1.0

    def seconds(self, at: float) -> float:
        """Seconds since the first unit, without the pauses."""
        place = bisect_right([first for first, _ in self.spans], at) - 1
        if place < 0:
            return 0.0
        before = sum(last - first for first, last in self.spans[:place])
        first, last = self.spans[place]
        return before + min(at, last) - first

    def x(self, at: float) -> float:
        """Place on the canvas."""
        return LEFT + (RIGHT - LEFT) * self.seconds(at) / self.length

    def ticks(self) -> list[dict[str, Any]]:
        """Labels at round times, and one for every pause."""
        step = next((step for step in STEPS if self.length < MOST_STEPS * step), STEPS[-1])
        found = [
            {
                "x": round(LEFT + (RIGHT - LEFT) * number * step / self.length, 1),
                "text": f"{number * step:.1f} s" if step < 1 else duration(number * step),
                "pause": False,
            }
            for number in range(int(self.length / step + 1e-9) + 1)
        ]
        for (_, last), (first, _) in zip(self.spans, self.spans[1:], strict=False):
            found.append({"x": round(self.x(first), 1), "text": f"pause of {duration(first - last)}", "pause": True})
        return found


def timeline(ran: Mapping[str, Outcome], clock: Clock, colors: Mapping[str, str]) -> dict[str, Any]:
    """Rows of bars, a row a worker and thread, those with most work; in the order in which they began.

    Parameters
    ----------
    ran : mapping
        Units that ran, by slot.
    clock : Clock
        The axis of time.
    colors : mapping
        Of each stage.
    """
    by_worker: dict[str, list[tuple[float, float, str]]] = {}
    for slot, one in ran.items():
        by_worker.setdefault(one.worker, []).append((one.started, one.started + one.seconds, slot))
    shown: dict[str, list[list[tuple[float, float, str]]]] = {}
    room = ROWS
    for name in sorted(by_worker, key=lambda name: -sum(last - first for first, last, _ in by_worker[name])):
        found = _lanes(sorted(by_worker[name]))
        if shown and len(found) > room:
            break
        shown[name] = found[:ROWS]
        room -= len(found)
    lanes = [
        (name[-24:], lane) for name in sorted(shown, key=lambda name: min(by_worker[name])) for lane in shown[name]
    ]
    rows = [
        {"name": name, "y": STEP * number, "bars": _bars(lane, clock, colors)}
        for number, (name, lane) in enumerate(lanes)
    ]
    return {
        "rows": rows,
        "ticks": clock.ticks(),
        "height": STEP * len(rows) + 18,
        "others": len(by_worker) - len(shown),
    }


def _lanes(units: Sequence[tuple[float, float, str]]) -> list[list[tuple[float, float, str]]]:
    """Units of a worker, apart where it runs several at the same time."""
    lanes: list[list[tuple[float, float, str]]] = []
    for unit in units:
        free = (lane for lane in lanes if lane[-1][1] <= unit[0] + TOUCH)
        lane = next(free, None)
        if lane is None:
            lanes.append([unit])
        else:
            lane.append(unit)
    return lanes


def _bars(units: Sequence[tuple[float, float, str]], clock: Clock, colors: Mapping[str, str]) -> list[dict[str, Any]]:
    """Bars of a worker: neighbours of one stage are joined."""
    bars: list[list[Any]] = []
    for first, last, slot in units:
        begin, end, stage = clock.x(first), clock.x(last), slot.partition("/")[0]
        if bars and bars[-1][2] == stage and begin - bars[-1][1] < PIXEL:
            bars[-1][1] = max(bars[-1][1], end)
            bars[-1][3] += 1
        elif bars and end - bars[-1][1] < PIXEL / 4:  # too short to be seen beside the one before
            bars[-1][3] += 1
        else:
            bars.append([begin, end, stage, 1, slot])
    return [
        {
            "x": round(begin, 1),
            "width": round(max(end - begin, 0.4), 1),
            "color": colors[stage],
            "title": slot if number == 1 else f"{slot} and {number - 1} more",
        }
        for begin, end, stage, number, slot in bars
    ]


def memory_curves(ran: Mapping[str, Outcome], clock: Clock, drivers: Sequence[Sequence[tuple[float, int]]]) -> Any:
    """Curves of memory against time: largest and middle worker, and the driver.

    Parameters
    ----------
    ran : mapping
        Units that ran, by slot.
    clock : Clock
        The axis of time.
    drivers : sequence
        Samples of the driver's memory, a list a run.
    """
    workers: list[dict[str, int]] = [{} for _ in range(BINS)]
    for one in ran.values():
        first, last = (_bin(clock, at) for at in (one.started, one.started + one.seconds))
        for number in range(first, last + 1):
            workers[number][one.worker] = max(workers[number].get(one.worker, 0), one.peak_memory)
    driver: list[int] = [0] * BINS
    for at, size in (sample for samples in drivers for sample in samples):
        driver[_bin(clock, at)] = max(driver[_bin(clock, at)], size)
    curves = {
        "largest worker": ("#aa3377", [max(found.values(), default=0) for found in workers]),
        "worker in the middle": ("#4477aa", [int(median(found.values())) if found else 0 for found in workers]),
        "driver": ("#ccbb44", driver),
    }
    top = max((max(values) for _, values in curves.values()), default=0) * 1.05 or 1.0
    ticks = [
        {"y": round(CURVE_HEIGHT * (1 - part), 1), "text": f"{part * top / 1e6:.0f} MB"}
        for part in (0, 0.25, 0.5, 0.75)
    ]
    return {
        "curves": [
            {"name": name, "color": color, "path": _path(values, top)}
            for name, (color, values) in curves.items()
            if any(values)
        ],
        "ticks": ticks,
        "height": CURVE_HEIGHT + 6,
        "left": LEFT,
    }


def _bin(clock: Clock, at: float) -> int:
    return min(int(BINS * clock.seconds(at) / clock.length), BINS - 1)


def _path(values: Sequence[int], top: float) -> str:
    """A line through the points that are there."""
    points = [
        f"{LEFT + (RIGHT - LEFT) * (number + 0.5) / BINS:.1f} {CURVE_HEIGHT * (1 - value / top):.1f}"
        for number, value in enumerate(values)
        if value
    ]
    return "M" + " L".join(points if len(points) > 1 else points * 2)
