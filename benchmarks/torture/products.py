"""What a run left, held against a run that was left alone."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.torture.spoiling import SPOILINGS
from benchmarks.torture.store import SpoiledStore

SET_ASIDE = 3
"""Exit status of a run that came to its end without some observations."""
MEMORY = "1 GB"
"""Of a worker."""
PAGE = 4096
LATE = 5.0
"""Seconds after its end in which a run has no half-written file any more."""


@dataclass(frozen=True)
class Reference:
    """A run that was left alone.

    Parameters
    ----------
    digests : dict
        Hashes of the files of its stores.
    n_records : int
        Units with a marker.
    size : int
        Bytes that its files take on a disk of pages.
    seconds : float
        How long it took.
    """

    digests: dict[str, str]
    n_records: int
    size: int
    seconds: float


def command(store: SpoiledStore, out: Path, *more: str) -> list[str]:
    """The command line of a run; `more` are settings."""
    settings = [f"general.outdir={out}", *more]
    return [sys.executable, "-m", "survey.cli", "run", str(store.config), *(w for s in settings for w in ("--set", s))]


def local(workers: int) -> list[str]:
    """Settings of worker processes below the driver."""
    return ["cluster.kind=local", f"cluster.workers={workers}", f"cluster.memory={MEMORY}"]


def reference_run(store: SpoiledStore, where: Path) -> Reference:
    """Run undisturbed on one worker, and without the spoiled observations in the driver's process: to the same data.

    Raises
    ------
    RuntimeError
        When they do not end as they should.
    """
    begun = time.monotonic()
    out = where / "out"
    _run(command(store, out, *local(1)), SET_ASIDE)
    seconds = time.monotonic() - begun
    if wrong := wrong_observations(store, out):
        raise RuntimeError("the undisturbed run: " + "; ".join(wrong))
    found = digests(out)
    good = where / "good"
    _run(command(store, good, "cluster.kind=none", f"observations.obs_ids={store.good()}"), 0)
    if data(found) != data(digests(good)):
        raise RuntimeError(f"observations that were set aside left traces in {out}, which {good} does not have")
    size = sum(-(-path.stat().st_size // PAGE) * PAGE for path in out.rglob("*") if path.is_file())
    return Reference(found, len(records(out)), size, seconds)


def _run(line: list[str], status: int) -> None:
    ended = subprocess.run(line, capture_output=True, text=True)
    if ended.returncode != status:
        raise RuntimeError(f"the undisturbed run ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")


def digests(out: Path) -> dict[str, str]:
    """Hash of every file of the cube and of the maps, by path."""
    files = (
        path for store in ("cube.zarr", "maps.zarr") for path in sorted((out / store).rglob("*")) if path.is_file()
    )
    return {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def data(found: dict[str, str]) -> dict[str, str]:
    """Those of the chunks: metadata name the observations that were selected."""
    return {path: digest for path, digest in found.items() if not path.endswith("zarr.json")}


def records(out: Path) -> dict[str, float]:
    """When the unit of every slot was started that has a marker."""
    found = {}
    for path in (out / ".survey" / "markers").rglob("*.json"):
        with contextlib.suppress(FileNotFoundError):
            record = json.loads(path.read_bytes())
            found[record["slot"]] = record["started"]
    return found


def wrong_observations(store: SpoiledStore, out: Path) -> list[str]:
    """What is wrong with the observations that a run used and set aside, and with the reasons that it gives."""
    import survey

    table = survey.open(str(out)).observations
    aside = {int(row["obs_id"]): str(row["reason"]) for row in table if row["status"] != "used"}
    wrong = []
    if len(table) != store.n_observations:
        wrong.append(f"{len(table)} rows for {store.n_observations} observations")
    if set(aside) != set(store.spoiled):
        wrong.append(f"set aside {sorted(aside)}, spoiled {sorted(store.spoiled)}")
    wrong += [
        f"observation {obs_id}, {way}, set aside for the reason {aside[obs_id]!r}"
        for obs_id, way in store.spoiled.items()
        if obs_id in aside and not re.search(SPOILINGS[way].reason, aside[obs_id])
    ]
    return wrong


def differences(store: SpoiledStore, reference: Reference, out: Path) -> list[str]:
    """How the products of a run differ from those of the undisturbed one."""
    wrong = wrong_observations(store, out)
    found = digests(out)
    changed = sorted(name for name in found | reference.digests if found.get(name) != reference.digests.get(name))
    if changed:
        wrong.append(f"{len(changed)} files of the stores differ: {', '.join(changed[:3])}")
    limit = time.monotonic() + LATE
    # A job that went on after it had been given up may be writing yet, what is there already.
    while (left := [path.relative_to(out).as_posix() for path in out.rglob("*.partial")]) and time.monotonic() < limit:
        time.sleep(0.1)
    if left:
        wrong.append(f"{len(left)} half-written files were left: {', '.join(left[:3])}")
    return wrong
