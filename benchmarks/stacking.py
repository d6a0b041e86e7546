"""How the prediction from a stacked cube converges with the size of its response cells: ``python -m benchmarks.stacking``.

Sources at eight places of each field; truth is the sum of predictions observation by observation, each with its own safe
range, by the peer's responses (`tests/parity/peer_predictions.py`). Writes ``docs/stacking.md`` and its figure.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "parity"))

import numpy as np
import parity_ours as ours
from matplotlib.figure import Figure
from parity_fields import FIELDS

ROOT = Path(__file__).parents[1]
CELLS = (0.4, 0.2, 0.1, 0.06)
VARIABLES = ("exposure", "edisp_exposure", "irf_exposure", "n_safe")
BRIGHTER = 10
"""So much brighter is the source than the one of the peer's script, so that more bins hold 100 counts."""
FAR = 0.3
"""Deg from every cut edge, from where on the criterion is 0.5 % in total and 2 % in a bin."""


def truth(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """The peer's predictions by field."""
    python = os.environ["SURVEY_PEER_PYTHON"]
    subprocess.run([python, str(ROOT / "tests" / "parity" / "peer_predictions.py"), str(folder)], check=True)
    found = {}
    for name in FIELDS:
        with np.load(folder / f"{name}.npz") as archive:
            found[name] = dict(archive)
    return found


def deviations(name: str, expected: dict[str, np.ndarray], cell: float) -> dict[str, float]:
    """Largest relative deviations of a field with cells of some size, deg."""
    field = replace(FIELDS[name], binsize_irf=cell)
    data = Path(os.environ["SURVEY_DATA"])
    dataset = ours.cube(field, (ours.prepared(field, ours.read(data, one)) for one in field.obs_ids), VARIABLES)
    y, x, _ = ours.grid(field).pixel_index(expected["ra"], expected["dec"])
    found = BRIGHTER * np.array([ours.predicted_counts(dataset, *place) for place in zip(y, x, strict=True)])
    wanted = BRIGHTER * expected["predicted"].sum(axis=0)
    far = np.all(np.abs(expected["separation"] - field.offset_max) >= FAR, axis=0)
    total = np.abs(found.sum(axis=1) / wanted.sum(axis=1) - 1)
    bins = np.where(wanted > 100, np.abs(found / np.where(wanted > 0, wanted, 1) - 1), 0).max(axis=1)
    return {
        "total": total[far].max(),
        "worst bin": bins[far].max(),
        "total near an edge": total[~far].max(initial=0),
    }


def main() -> None:
    """Write table and figure."""
    with tempfile.TemporaryDirectory() as folder:
        expected = truth(Path(folder))
    table = {name: [deviations(name, expected[name], cell) for cell in CELLS] for name in FIELDS}
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    for axis, kind in zip(axes, ("total", "worst bin", "total near an edge"), strict=True):
        for name, rows in table.items():
            axis.plot(CELLS, [100 * row[kind] for row in rows], marker="o", label=name)
        axis.set(xscale="log", yscale="log", xlabel="response cell (deg)", title=kind)
        axis.set_xticks(CELLS, [f"{cell:g}" for cell in CELLS])
        axis.minorticks_off()
    for axis, limit in zip(axes, (0.5, 2.0, 10.0), strict=True):
        axis.axhline(limit, color="grey", linestyle=":", label="allowed")
    axes[0].set_ylabel("largest deviation (%)")
    axes[0].legend()
    figure.savefig(ROOT / "docs" / "images" / "stacking.png", dpi=120, metadata={"Software": None})
    lines = [
        "# Predictions from a stacked cube",
        "",
        "Predicted counts from the stacked cube beside the sum over observations of the predictions of each with its own",
        "safe range (Gammapy 2.1's responses). Eight places in each field; Crab has two thresholds, PKS 2155-304 three.",
        f"Largest deviation in total, and in a bin above 100 counts, at {FAR} degrees or more from every cut edge; in total",
        "nearer than that. Made by `python -m benchmarks.stacking`.",
        "",
        "![Convergence with the size of the response cells](images/stacking.png)",
        "",
        "| field | cell (deg) | total (%) | worst bin (%) | total near an edge (%) |",
        "|---|---:|---:|---:|---:|",
        *(
            f"| {name} | {cell:g} | {100 * row['total']:.2f} | {100 * row['worst bin']:.2f} "
            f"| {100 * row['total near an edge']:.2f} |"
            for name, rows in table.items()
            for cell, row in zip(CELLS, rows, strict=True)
        ),
        "",
        "What stays with small cells is not of the cells: the sources are put on the nearest pixel centre, and the two",
        "programs' effective areas and dispersions differ by as much.",
        "",
    ]
    (ROOT / "docs" / "stacking.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
