"""Times us beside the peer, Gammapy 2.1, in one run: ``SURVEY_PEER_PYTHON=... python -m benchmarks``.

Each side is a process of its own on the same core with one thread; tasks alternate between the sides, after one warm-up of
each; medians are given. ``--quick`` takes a few observations and one repeat, and writes nothing: a smoke test.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "parity"))

import numpy as np
from parity_fields import MSH

from benchmarks.results import Row, write_results
from benchmarks.side import Side
from survey.compiled import use_kernel_cache

ROOT = Path(__file__).parents[1]

RTOL = 1e-2
"""The peer's default, and the tolerance of both sides."""

SHORT = 2.0
"""Seconds below which a task is done three times in its turn."""


def say(text: str) -> None:
    """Progress."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def alternate(repeats: int, tasks: dict[str, Callable[[], dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Answers of all tasks, one after the other, again and again; a first round of warm-up is left out.

    A short task is done three times in its turn and gives the median: the system takes memory back from a process that
    idles for the minutes of the other side's turn, and to get it again would be much of its time.
    """
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in tasks}
    for turn in range(repeats + 1):
        for name, task in tasks.items():
            answer = task()
            if turn and answer["seconds"] < SHORT:
                answer = sorted((answer, task(), task()), key=itemgetter("seconds"))[1]
            if turn:
                answers[name].append(answer)
    return answers


def seconds(answers: list[dict[str, Any]], per: int = 1) -> float:
    """Median time of a task, for one of the `per` things that it does."""
    return median(answer["seconds"] for answer in answers) / per


def reading(us: Side, peer: Side, stores: dict[str, str], obs_ids: list[int], repeats: int) -> list[Row]:
    """Reading one observation with all its responses."""
    fits, archive, theirs = [], [], []
    for _ in range(repeats + 1):
        fits.append([us.ask("read", store=stores["FITS"], obs_id=one)["seconds"] for one in obs_ids])
        archive.append([us.ask("read", store=stores["archive"], obs_id=one)["seconds"] for one in obs_ids])
        theirs.append([peer.ask("read", obs_id=one)["seconds"] for one in obs_ids])
    ours_fits, ours_archive, peers = (float(np.median(times[1:])) for times in (fits, archive, theirs))
    return [
        Row("read one observation from FITS", peers, ours_fits, "s"),
        Row(
            "read one observation from the archive, against our own reading of FITS", ours_fits, ours_archive, "s", 2.0
        ),
    ]


def reduction(
    us: Side, peer: Side, stores: dict[str, str], obs_ids: list[int], repeats: int, work: Path
) -> tuple[list[Row], dict[str, Any]]:
    """DL3 to DL4 of the field, for one observation; checks that both sides count the same events."""
    tasks: dict[str, Callable[[], dict[str, Any]]] = {
        "peer": lambda: peer.ask("reduce", obs_ids=obs_ids, oversampling=None),
        "peer10": lambda: peer.ask("reduce", obs_ids=obs_ids, oversampling=10),
    }

    for name, store in stores.items():
        tasks[name] = lambda store=store: us.ask("reduce_in_memory", store=store, obs_ids=obs_ids)
    tasks["files"] = lambda: us.ask("reduce", store=stores["archive"], obs_ids=obs_ids, out=str(work / "reduced"))
    answers = alternate(repeats, tasks)
    counts = {name: {answer["counts"] for answer in found} for name, found in answers.items()}
    assert len(set().union(*counts.values())) == 1, f"the sides count different events: {counts}"
    for name in ("archive", "files", "peer10"):
        tolerance = 5e-3 if name == "peer10" else 1e-12
        np.testing.assert_allclose(answers[name][0]["norms"], answers["FITS"][0]["norms"], rtol=tolerance)
    n = len(obs_ids)
    peer_default, peer_fine = seconds(answers["peer"], n), seconds(answers["peer10"], n)
    archive, fits, files = (seconds(answers[name], n) for name in ("archive", "FITS", "files"))
    name = "reduce MSH 15-52 to a stack in memory, one observation"
    rows = [
        Row(f"{name}, from the archive, against the peer's default accuracy", peer_default, archive, "s", 30.0),
        Row(f"{name}, from the archive, against background_oversampling=10", peer_fine, archive, "s", 60.0),
        Row(f"{name}, from FITS, against the peer's default accuracy", peer_default, fits, "s", 15.0),
        Row(f"{name}, from FITS, against background_oversampling=10", peer_fine, fits, "s", 30.0),
        Row(
            "the same by the units of a run, cube written to disk, against background_oversampling=10",
            peer_fine,
            files,
            "s",
        ),
    ]
    stages = {stage: time / n for stage, time in answers["files"][-1]["stages"].items()}
    return rows, {"seconds by stage of the units of a run, one observation": stages}


def maps(us: Side, peer: Side, name: str, target: float, repeats: int, work: Path) -> list[Row]:
    """TS map per pixel, both sides from the same cube and to the same tolerance."""
    ours_file, peer_file = str(work / "ours.npy"), str(work / "peer.npy")
    answers = alternate(
        repeats,
        {
            "peer": lambda: peer.ask("ts_map", rtol=RTOL, out=peer_file),
            "us": lambda: us.ask("ts_map", rtol=RTOL, out=ours_file),
        },
    )
    first, second = np.load(ours_file), np.load(peer_file)
    both = np.isfinite(first) & np.isfinite(second)
    # The peer takes one kernel and the exposure at p (tests/parity compares on its terms): here only a guard.
    assert both.sum() == np.isfinite(second).sum()
    assert np.median(np.abs(first - second)[both]) < 0.2
    pixels = answers["peer"][0]["pixels"]
    assert answers["us"][0]["pixels"] == pixels
    return [
        Row(f"TS map, one pixel, {name}", seconds(answers["peer"], pixels), seconds(answers["us"], pixels), "s", target)
    ]


def excess(us: Side, peer: Side, repeats: int, work: Path) -> list[Row]:
    """Excess map; equal on both sides to single precision."""
    ours_file, peer_file = str(work / "ours.npy"), str(work / "peer.npy")
    answers = alternate(
        repeats,
        {
            "peer": lambda: peer.ask("excess_map", out=peer_file),
            "us": lambda: us.ask("excess_map", out=ours_file),
        },
    )
    np.testing.assert_allclose(np.load(ours_file), np.load(peer_file), atol=1e-4)
    return [Row("excess map, whole field", seconds(answers["peer"]), seconds(answers["us"]), "s", 1.0)]


def compilation(command: list[str], core: int, store: str, obs_ids: list[int], work: Path) -> dict[str, float]:
    """Seconds that the first use costs on a machine without compiled kernels, and with them."""
    cache = work / "numba"
    found = {}
    for name in ("cold", "warm"):
        with Side(command, core=core, environment={"NUMBA_CACHE_DIR": str(cache)}) as side:
            start = time.perf_counter()
            side.ask("read", store=store, obs_id=obs_ids[0])
            found[f"{name}: start and first reading"] = time.perf_counter() - start
            answer = side.ask("run", store=store, obs_ids=obs_ids[:1], out=str(work / "first"), kind="none", workers=1)
            found[f"{name}: first run of one observation"] = answer["seconds"]
            side.ask("open", out=str(work / "first"))
            found[f"{name}: first TS map"] = side.ask("ts_map", rtol=RTOL, out=str(work / "ts.npy"))["seconds"]
    return found


def memory(
    ours_command: list[str], peer_command: list[str], core: int, store: str, obs_ids: list[int], work: Path
) -> tuple[list[Row], dict[str, Any]]:
    """Largest memory of a worker of a run, and of the peer's process that reduces and stacks the same observations."""
    with Side(peer_command, core=core) as side:
        theirs = side.ask("reduce", obs_ids=obs_ids, oversampling=10)["peak_memory"]
    with Side(ours_command, core=None) as side:
        answer = side.ask("run", store=store, obs_ids=obs_ids, out=str(work / "local"), kind="local", workers=2)
    stages = answer["timings"]["stages"]
    worker = max(stage["peak_memory"] or 0 for stage in stages.values())
    row = Row("peak memory of a worker, against the peer's process", theirs / 1e9, worker / 1e9, "GB", limit=1.0)
    return [row], {"whole run on two local workers, pictures included, s": answer["seconds"]}


def main() -> None:
    """Run the benchmarks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few observations, one repeat, nothing written")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    options = parser.parse_args()
    python, data = os.environ.get("SURVEY_PEER_PYTHON"), os.environ.get("SURVEY_DATA")
    if not python or not data or not (Path(data) / "hess-dl3-dr1").exists():
        raise SystemExit(
            "set SURVEY_PEER_PYTHON to the peer's interpreter and SURVEY_DATA to the data, or `make bench`"
        )
    use_kernel_cache()
    repeats = 1 if options.quick else max(options.repeats, 1)
    obs_ids = list(MSH.obs_ids[: 3 if options.quick else None])
    ours_command, peer_command = [sys.executable, "-m", "benchmarks.our_side"], [python, "benchmarks/peer_side.py"]
    work = Path(tempfile.mkdtemp(prefix="gammasurvey-bench-"))
    rows: list[Row] = []
    remarks: dict[str, Any] = {}
    stores = {"FITS": str(Path(data) / "hess-dl3-dr1"), "archive": str(work / "archive.zarr")}
    try:
        with Side(ours_command, core=options.core) as us, Side(peer_command, core=options.core) as peer:
            say("archive")
            remarks["ingest of 90 observations, s"] = us.ask("archive", out=stores["archive"])["seconds"]
            say("reading")
            rows += reading(us, peer, stores, obs_ids[:5], repeats)
            say("reduction")
            found, more = reduction(us, peer, stores, obs_ids, repeats, work)
            rows += found
            remarks |= more
            say("maps")
            exported = us.ask(
                "run", store=stores["FITS"], obs_ids=obs_ids, out=str(work / "run"), kind="none", workers=1
            )
            us.ask("open", out=str(work / "run"))
            peer.ask("load", path=exported["export"])
            rows += excess(us, peer, repeats, work)
            rows += maps(us, peer, "MSH 15-52", 50.0, repeats, work)
            deep = us.ask("deepen", out=str(work / "deep.fits"))
            remarks["deep field: bins with counts"] = deep["filled"]
            peer.ask("load", path=str(work / "deep.fits"))
            rows += maps(us, peer, "deep field", 10.0, repeats, work)
        say("memory")
        found, more = memory(ours_command, peer_command, options.core, stores["FITS"], obs_ids, work)
        rows += found
        remarks |= more
        say("compilation")
        remarks["first use, s"] = compilation(ours_command, options.core, stores["FITS"], obs_ids, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    text = write_results(rows, remarks, folder=None if options.quick else ROOT / "benchmarks", repeats=repeats)
    print(text)
    if not options.quick and not all(row.met for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
