"""What units cost: seconds measured in a run, and drawn from for units of another plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from cluster import Unit
from survey.sky.grid import SkyGrid
from survey.sky.tiles import Tile

WHOLE_GRID = ("pictures",)
"""Stages whose units take in all of the grid."""


def size_of(unit: Unit, grid: SkyGrid) -> float:
    """What the time of a unit is proportional to, more or less.

    An observation counts one, a tile of the cube its observations, the sum of a tile's parts their number, a map the pixels
    of its tile, a picture the pixels of the grid.
    """
    if unit.stage in WHOLE_GRID:
        return float(grid.nx * grid.ny)
    if "tile" in unit.arguments and "observations" not in unit.arguments and "parts" not in unit.arguments:
        window = grid.window(Tile.from_name(unit.arguments["tile"]))
        return float(window.shape[0] * window.shape[1])
    if "parts" in unit.arguments:
        return float(len(unit.arguments["parts"]))
    return unit.cost


def drawn(
    cases: Iterable[Mapping[str, Any]], grid: SkyGrid, *, seed: int, known: bool = False
) -> Callable[[Unit], float]:
    """Function that draws the seconds of a unit from what units of its stage took.

    A unit takes its size times a stage's mean rate, times what a unit drawn at random differed from that rate. Pictures are
    few and unlike: each takes the time of its namesake, by a straight line through what that took on grids of several sizes.

    Parameters
    ----------
    cases : iterable of mapping
        Figures of runs, see `benchmarks.growth_case.figures`.
    grid : SkyGrid
        Of the units asked for.
    seed : int
        Of the draws.
    known : bool
        Whether a unit whose own time is there takes that.
    """
    samples: dict[str, list[tuple[str, float, float]]] = {}
    for case in cases:
        for stage, rows in case["samples"].items():
            samples.setdefault(stage, []).extend((str(name), float(size), float(s)) for name, size, s in rows)
    own = {f"{stage}/{name}": s for stage, rows in samples.items() for name, _, s in rows} if known else {}
    rng = np.random.default_rng(seed)
    rates, ratios = {}, {}
    for stage, rows in samples.items():
        size, seconds = np.array([row[1:] for row in rows]).T
        rates[stage] = seconds.sum() / size.sum()
        ratios[stage] = seconds / (size * rates[stage])
        ratios[stage] /= ratios[stage].mean()

    def seconds_of(unit: Unit) -> float:
        if unit.slot in own:
            return own[unit.slot]
        size = size_of(unit, grid)
        if unit.stage in WHOLE_GRID:
            return _line([(at, took) for name, at, took in samples[unit.stage] if name == unit.name], size)
        return float(size * rates[unit.stage] * rng.choice(ratios[unit.stage]))

    return seconds_of


def _line(points: list[tuple[float, float]], size: float) -> float:
    x, y = np.array(points).T
    if np.ptp(x) == 0:
        return float(y.mean() * size / x[0])
    slope, start = np.polyfit(x, y, 1)
    return float(max(start + slope * size, y.min()))
