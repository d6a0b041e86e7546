"""What units cost: seconds, memory and bytes measured in a run, and drawn from for units of another plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster import Unit
from cluster.forecast import Cost
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
    if callable(unit.arguments):  # those of observations, and of what is added from observations
        return unit.cost
    if "parts" in unit.arguments:
        return float(len(unit.arguments["parts"]))
    if "tile" in unit.arguments:
        window = grid.window(Tile.from_name(unit.arguments["tile"]))
        return float(window.shape[0] * window.shape[1])
    return unit.cost


def drawn(
    cases: Iterable[Mapping[str, Any]], grid: SkyGrid, *, seed: int, known: bool = False
) -> Callable[[Unit], Cost]:
    """Function that draws what a unit costs from what units of its stage did.

    A unit is like one of its stage that is drawn at random: it takes as long, and moves as many bytes, for its size. Pictures
    are few and unlike: each is like its namesake, by a straight line through what that took on grids of several sizes.

    Parameters
    ----------
    cases : iterable of mapping
        Figures of runs, see `benchmarks.growth_case.figures`.
    grid : SkyGrid
        Of the units asked for.
    seed : int
        Of the draws.
    known : bool
        Whether a unit whose own cost is there has that.
    """
    names: dict[str, list[str]] = {}
    rows: dict[str, list[list[float]]] = {}
    for case in cases:
        for stage, samples in case["samples"].items():
            names.setdefault(stage, []).extend(str(row[0]) for row in samples)
            rows.setdefault(stage, []).extend([float(value) for value in row[1:]] for row in samples)
    tables = {stage: np.array(values) for stage, values in rows.items()}
    own = {f"{stage}/{name}": row for stage in names for name, row in zip(names[stage], tables[stage], strict=True)}
    rng = np.random.default_rng(seed)
    # A unit drawn at random says by how much one differs from the mean of its stage for its size, not what the mean is.
    shapes = {}
    for stage, table in tables.items():
        of_its_size = table[:, [1, 3, 4]] / table[:, :1]
        mean = table[:, [1, 3, 4]].sum(axis=0) / table[:, 0].sum()
        shapes[stage] = of_its_size * mean / np.maximum(of_its_size.mean(axis=0), 1e-300)

    def cost_of(unit: Unit) -> Cost:
        if known and unit.slot in own:
            return _cost(*own[unit.slot][1:])
        size = size_of(unit, grid)
        table = tables[unit.stage]
        if unit.stage in WHOLE_GRID:
            same = table[np.array(names[unit.stage]) == unit.name]
            return _cost(*(_line(same[:, 0], column, size) for column in same[:, 1:].T))
        number = int(rng.integers(len(table)))
        seconds, read, written = size * shapes[unit.stage][number]
        return _cost(seconds, table[number, 2], read, written)

    return cost_of


def _cost(seconds: float, peak_memory: float, read: float, written: float) -> Cost:
    return Cost(float(seconds), int(peak_memory), int(read), int(written))


def _line(x: NDArray[np.float64], y: NDArray[np.float64], size: float) -> float:
    if np.ptp(x) == 0:
        return float(y.mean() * size / x[0])
    slope, start = np.polyfit(x, y, 1)
    return float(max(start + slope * size, y.min()))
