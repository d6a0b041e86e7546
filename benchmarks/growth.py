"""Growth of a run with the survey: ``python -m benchmarks.growth --observations 100 1000 6000 --workers 1 2``.

Every case is a piece of the survey of `configs/galactic-survey.yaml` (`benchmarks.piece`), simulated once and reduced and
mapped from nothing in a process of its own. Its figures go to `benchmarks/scaling.json`, and a case that is there is not
run again, so that a call that was cut off goes on; ``--again`` measures anew. `benchmarks.scaling` makes the page of them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.piece import ROOT, piece
from benchmarks.scaling import Figures, write_page

WARM_UP = 8
"""Observations of a run that is thrown away: it compiles the kernels."""


def simulated(n: int, folder: Path, workers: int) -> Path:
    """Data store of a piece, made when it is not there."""
    from survey.simulation_run import simulate

    data = folder / f"data-{n}"
    print(simulate(piece(n, data, folder / "unused", workers=workers), data, listeners=[]), flush=True)
    return data


def measure(n: int, workers: int, folder: Path) -> dict[str, Any]:
    """Figures of one case; its products are removed afterwards, its simulated data are kept."""
    data, out = simulated(n, folder, workers), folder / f"out-{n}-{workers}"
    shutil.rmtree(out, ignore_errors=True)
    config = folder / f"case-{n}-{workers}.json"
    config.write_text(json.dumps(piece(n, data, out, workers=workers), default=str))
    command = [sys.executable, "-m", "benchmarks.growth_case", str(config)]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    shutil.rmtree(out)
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found | {"input_bytes": sum(path.stat().st_size for path in (data / "events").iterdir())}


def main() -> None:
    """Measure what is not measured yet, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--observations", type=int, nargs="+", default=[100, 1000, 6000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--folder", type=Path, help="where the data are kept; a temporary one by default")
    parser.add_argument("--again", action="store_true", help="measure cases that are in the figures already")
    parser.add_argument("--figures", type=Path, help="the figures; benchmarks/scaling.json, with its page, by default")
    options = parser.parse_args()
    from survey.compiled import use_kernel_cache

    use_kernel_cache()
    folder = (options.folder or Path(tempfile.mkdtemp(prefix="gammasurvey-growth-"))).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    figures = Figures.read(options.figures)
    try:
        if any(
            f"{n} on {w}" not in figures.growth or options.again for n in options.observations for w in options.workers
        ):
            measure(WARM_UP, 1, folder)
        for n in options.observations:
            for workers in options.workers:
                name = f"{n} on {workers}"
                if name in figures.growth and not options.again:
                    continue
                figures.growth[name] = case = measure(n, workers, folder)
                figures.save()
                print(f"{name}: {case['wall']:.1f} s, {case['work']:.1f} s of work", flush=True)
    finally:
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    if options.figures is None:
        write_page(figures)


if __name__ == "__main__":
    main()
