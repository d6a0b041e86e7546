"""Whether a run has room, asked before it starts: its output on the disk, its largest unit in the memory of a worker.

Sizes on disk depend on how well the data compress, which nobody knows before. So two numbers are held against the room:
what output of such data takes at the very least, without which the run is refused, and what it is likely to take, without
which there is a warning. Both come from what runs on real and simulated data took: cubes 0.05 to 0.6 of the bytes that
observations reach, prepared observations 0.02 to 1.7 MB. Memory is asked for in the same way, unit by unit.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cluster.config import ClusterConfig
from cluster.memory import worker_limit
from survey.estimators.graph import chosen_maps, map_variables
from survey.reduction.graph import tile_bytes, variable_bytes
from survey.refusal import Refusal
from survey.report.graph import CUBE_PICTURES
from survey.sky.frames import unit_vectors
from survey.store import urls
from survey.store.variables import CUBE, PIXEL_DIMS
from survey.survey_plan import SurveyPlan
from survey.unit_memory import UnitMemory, largest_units

log = logging.getLogger(__name__)

WHOLE, REAL = (0.002, 0.1), (0.05, 0.6)
"""Bytes on disk for a byte of whole numbers, and of real ones, that observations reach: least and likely."""
PREPARED = (0.5, 7.0)
"""Bytes of a prepared observation, for a byte that `_prepared_bytes` counts: least and likely."""
SLACK = 1_000_000
"""Bytes that are not argued about."""
RECORDS = 100_000
"""Bytes that the records of any run take, also of one that has nothing left to do."""
LEAST_MEMORY = (0.8, 0.6)
"""Part of the memory foreseen that a unit takes at the very least: of what a process has without data, and of the data."""
USABLE = 0.95
"""Part of its limit at which a worker is ended."""
SAMPLES = 8
"""Places along each side of a tile at which it is asked whether an observation reaches them."""


@dataclass(frozen=True)
class Need:
    """An amount, in bytes."""

    least: int
    """No run of this size took less."""
    likely: int
    """What it takes as a rule."""


def output_need(plan: SurveyPlan) -> Need:
    """Bytes that the whole output of a run takes on disk, prepared observations included."""
    whole = sum(size for name, size in variable_bytes(plan).items() if CUBE[name].exact)
    real = tile_bytes(plan, working=1.0) - whole + _map_bytes(plan)
    reached = coverage(plan) * len(plan.tiles)
    prepared = len(plan.sources) * _prepared_bytes(plan)
    least, likely = (
        int(reached * (w * whole + r * real) + p * prepared) + _image_bytes(plan)
        for w, r, p in zip(WHOLE, REAL, PREPARED, strict=True)
    )
    return Need(max(least - SLACK, 0), likely)


def unit_need(unit: UnitMemory, threads: int = 1) -> Need:
    """Bytes of memory that a worker takes which runs a unit and others like it, `threads` at the same time."""
    base, data = LEAST_MEMORY
    return Need(int(base * unit.base + threads * data * unit.data), unit.base + threads * unit.data)


def worker_need(plan: SurveyPlan, threads: int = 1) -> Need:
    """Bytes of memory that a worker takes for the largest unit of any stage."""
    needs = [unit_need(unit, threads) for unit in largest_units(plan)]
    return Need(max((need.least for need in needs), default=0), max((need.likely for need in needs), default=0))


def check_capacity(plan: SurveyPlan, config: ClusterConfig) -> None:
    """Hold what a run needs against what there is.

    Parameters
    ----------
    plan : SurveyPlan
        The run.
    config : ClusterConfig
        Where it is executed.

    Raises
    ------
    Refusal
        When there is no room for it however well its data compress, or no worker can hold a unit.
    """
    lines = []
    free = _free(plan.layout.outdir)
    if free is not None:
        there = _size(plan.layout.outdir)
        need = output_need(plan)
        least, likely = max(need.least - there, RECORDS), max(need.likely - there, RECORDS)
        advice = (
            "make room there, or choose another folder, a smaller datasets.geom or a shorter datasets.map_selection"
        )
        if least > free:
            lines.append(
                f"general.outdir: the products take at least {_gb(least)} more and {_gb(free)} are free below "
                f"{plan.layout.outdir}; {advice}"
            )
        elif likely > free:
            log.warning(
                "the products may take %s more and %s are free below %s: a run that finds no room stops, and goes on "
                "when there is some",
                *(_gb(likely), _gb(free), plan.layout.outdir),
            )
    lines += _check_memory(plan, config)
    if lines:
        raise Refusal(lines)


def _check_memory(plan: SurveyPlan, config: ClusterConfig) -> list[str]:
    """The line of a refusal, if the largest unit cannot fit into the memory of a worker; a warning where it may not."""
    limit, threads = worker_limit(config), 1 if config.kind == "none" else config.threads
    units = largest_units(plan)
    if limit is None or not units:
        return []
    whose = "this process" if config.kind == "none" else "a worker"
    least = max(units, key=lambda unit: unit_need(unit, threads).least)
    if (size := unit_need(least, threads).least) > limit:
        return [
            f"cluster.memory: {least.slot} takes at least {_gb(size)} and {whose} has {_gb(limit)}; "
            f"{_advice(least, config)}"
        ]
    likely = max(units, key=lambda unit: unit_need(unit, threads).likely)
    if (size := unit_need(likely, threads).likely) > USABLE * limit:
        log.warning(
            "cluster.memory: %s is likely to take %s and %s has %s; %s",
            *(likely.slot, _gb(size), whose, _gb(limit), _advice(likely, config)),
        )
    return []


def _advice(unit: UnitMemory, config: ClusterConfig) -> str:
    """What makes room for a unit that is too large."""
    if config.kind == "none":
        ways = ["use a larger machine"]
    else:
        ways = ["raise cluster.memory" if config.memory_limit is not None else "lower cluster.workers"]
        ways += ["lower cluster.threads"] if config.threads > 1 else []
    return ", or ".join([*ways, unit.advice])


def coverage(plan: SurveyPlan) -> float:
    """Fraction of the area of a run's tiles that an observation reaches, by samples."""
    reached = total = 0
    for tile, numbers in plan.tiles.items():
        window = plan.grid.window(tile)
        y, x = np.meshgrid(
            np.linspace(window.y0, window.y1 - 1, SAMPLES),
            np.linspace(window.x0, window.x1 - 1, SAMPLES),
            indexing="ij",
        )
        places = unit_vectors(*plan.grid.pixel_to_world(y.ravel(), x.ravel()))
        circles = np.array([plan.footprints[number] for number in numbers])
        near = places.T @ unit_vectors(circles[:, 0], circles[:, 1]) > np.cos(
            np.radians(np.minimum(circles[:, 2], 180))
        )
        reached += int(near.any(axis=1).sum())
        total += SAMPLES**2
    return reached / total if total else 0.0


def _map_bytes(plan: SurveyPlan) -> int:
    """Bytes of the maps of a tile before compression."""
    pixels = min(plan.grid.tile, plan.grid.ny) * min(plan.grid.tile, plan.grid.nx)
    total = 0
    for settings in chosen_maps(plan.config).values():
        variables, coordinates = map_variables(settings, plan.axes)
        bands = len(np.asarray(coordinates["energy_edges"][1]))
        total += sum(np.dtype(variable.dtype).itemsize for variable in variables) * bands * pixels
    return total


def _image_bytes(plan: SurveyPlan) -> int:
    """Bytes of the FITS images, which are whole grids of four bytes a pixel and are not compressed."""
    planes = len(CUBE_PICTURES.keys() & set(plan.variables))
    for settings in chosen_maps(plan.config).values():
        variables, coordinates = map_variables(settings, plan.axes)
        bands = len(np.asarray(coordinates["energy_edges"][1]))
        planes += bands * sum(variable.dims[-2:] == PIXEL_DIMS for variable in variables)
    return 4 * planes * plan.grid.ny * plan.grid.nx


def _prepared_bytes(plan: SurveyPlan) -> int:
    """Bytes of an observation's responses on the survey's axes, with six offsets and a background lattice of 60 nodes."""
    energy, energy_true = plan.axes.energy.size, plan.axes.energy_true.size
    a_bin = 1 + plan.axes.n_rad * ("psf_exposure" in plan.variables) + energy * ("edisp_exposure" in plan.variables)
    return 8 * 6 * energy_true * a_bin + 4 * energy * 60 * 60 * ("background" in plan.variables)


def _free(outdir: str) -> int | None:
    """Bytes free for a folder that may not be there yet; None where nobody can tell: on an object store."""
    if not urls.is_local(outdir):
        return None
    folder = urls.local_path(outdir).absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _size(outdir: str) -> int:
    """Bytes that are there already, of this run or of what it replaces."""
    total = 0
    for folder, _, names in os.walk(urls.local_path(outdir)):
        for name in names:
            try:
                total += Path(folder, name).lstat().st_size
            except FileNotFoundError:
                continue
    return total


def _gb(size: float) -> str:
    """Bytes in words: three figures."""
    if size < 1:
        return "0 B"
    power = min(int(math.log10(size)) // 3, 4)
    return f"{size / 1000**power:.3g} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"
