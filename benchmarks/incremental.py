"""Ten observations added to a survey of a thousand: ``python -m benchmarks.incremental``.

A strip of the Galactic plane is simulated, reduced and mapped without the last observations; then they are added, and at
last everything is done from scratch in another folder. What was computed when they were added is held against what they
touch, and the products against those from scratch, byte by byte. Simulated data and products are kept below ``--folder``
when one is given, and a second call goes on from there.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.scaling import ROOT, Figures, write_page

PER_DEGREE = 6.0
"""Observations for a degree of Galactic longitude: a tile is touched by some tens, as in a real survey."""
STORES = ("cube.zarr", "maps.zarr")


def settings(folder: Path, n: int, obs_ids: Sequence[int] | None, out: str, *, workers: int) -> dict[str, Any]:
    """Configuration of a survey of `n` simulated observations, of which some are reduced."""
    import yaml

    config = yaml.safe_load((ROOT / "configs" / "galactic-survey.yaml").read_text())
    width = max(8.0, n / PER_DEGREE)
    center = 337.5
    pointings = config["simulation"]["pointings"]
    pointings |= {"runs": n, "lon_range": [f"{center - width / 2} deg", f"{center + width / 2} deg"]}
    config["simulation"]["sky"] = {"population": {"size": 1000}}
    wcs = config["datasets"]["geom"]["wcs"]
    wcs |= {"binsize": "0.04 deg", "width": {"width": f"{width + 6} deg", "height": "7 deg"}}
    config["datasets"]["background"]["exclusion"] = config["datasets"]["background"]["exclusion"][:1]
    config["general"]["outdir"] = str(folder / out)
    config["observations"] = {"datastore": str(folder / "data")}
    if obs_ids is not None:
        config["observations"]["obs_ids"] = list(obs_ids)
    config["cluster"] = {"kind": "local", "workers": workers}
    return config


def digests(outdir: str) -> dict[str, str]:
    """Hash of every file of the cube and of the maps."""
    found = {}
    for store in STORES:
        for path in sorted(Path(outdir, store).rglob("*")):
            if path.is_file():
                found[str(path.relative_to(outdir))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def ran(run: Any) -> dict[str, tuple[int, int]]:
    """Units that a run computed, and all of its units, by stage."""
    stages = run.record["timings"]["stages"].items()
    return {
        name: (row["done"] + row["set_aside"] + row["failed"], row["done"] + row["skipped"]) for name, row in stages
    }


def measure(folder: Path, n: int, added: int, workers: int) -> dict[str, Any]:
    """Simulate, reduce, add, reduce from scratch; returns the figures.

    Raises
    ------
    AssertionError
        When other units were computed than those that the new observations touch, or products differ.
    """
    import survey
    from survey.config import load_config
    from survey.simulation_run import simulate
    from survey.survey_plan import make_plan

    simulate(settings(folder, n + added, None, "out", workers=workers), folder / "data")
    everything = settings(folder, n + added, None, "out", workers=workers)
    ids = sorted(source.obs_id for source in make_plan(load_config(everything)).sources)
    seconds, runs = {}, {}
    for name, chosen, out in (
        ("before", ids[:-added], "out"),
        ("added", ids, "out"),
        ("from scratch", ids, "scratch"),
    ):
        begun = time.perf_counter()
        runs[name] = survey.run(settings(folder, n + added, chosen, out, workers=workers))
        seconds[name] = time.perf_counter() - begun
    plan = make_plan(load_config(everything))
    new = {number for number, source in enumerate(plan.sources) if source.obs_id in ids[-added:]}
    touched = sum(bool(new & set(numbers)) for numbers in plan.tiles.values())
    done = ran(runs["added"])
    first, second = digests(runs["added"].outdir), digests(runs["from scratch"].outdir)
    differ = sorted(name for name in first | second if first.get(name) != second.get(name))
    assert not differ, f"{len(differ)} files differ: {differ[:3]}"
    assert done["observations"][0] == added, done
    assert done["tiles"][0] == touched, (done, touched)
    return {
        "workers": workers,
        "seconds": seconds,
        "units": done,
        "touched": touched,
        "tiles": len(plan.tiles),
        "files": len(first),
    }


def main() -> None:
    """Run the benchmark, and write the page of figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.incremental", description=__doc__)
    parser.add_argument("--observations", type=int, default=1000)
    parser.add_argument("--added", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where data and products are kept; a temporary one by default")
    parser.add_argument("--figures", type=Path, help="the figures; benchmarks/scaling.json, with its page, by default")
    options = parser.parse_args()
    from survey.compiled import use_kernel_cache

    use_kernel_cache()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="gammasurvey-incremental-"))
    try:
        found = measure(folder, options.observations, options.added, options.workers)
    finally:
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    print(found)
    figures = Figures.read(options.figures)
    figures.incremental[f"{options.observations} + {options.added}"] = found
    figures.save()
    if options.figures is None:
        write_page(figures)


if __name__ == "__main__":
    main()
