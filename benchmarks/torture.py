"""Runs that are disturbed at random must end with the products of a run that was left alone.

``python -m benchmarks.torture --minutes 3 --observations 24 [--seed N] [--write docs/reliability.md]``

A store of small synthetic observations, some of them spoiled, is reduced and mapped once undisturbed. Then it is run again
and again, each time in a fresh folder, and disturbed when a certain part of its units is done: processes are killed or
stopped, or the disk is too small. It is started again until it ends by itself, and must then have set aside the spoiled
observations and no other, hold the same bytes as the undisturbed run, and have computed nothing again that was done.

`benchmarks.torture_store` makes the data, `benchmarks.torture_run` runs, disturbs and judges.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.torture_run import FULL_DISK, KINDS, CannotMount, Disk, Disturbance, Reference, Trial, reference_run
from benchmarks.torture_store import SpoiledStore, make_spoiled_store


@dataclass
class Tally:
    """What happened in all rounds."""

    rounds: int = 0
    """Rounds: runs that came to their end, or failed to."""
    starts: int = 0
    """Starts of `survey run`."""
    kept: int = 0
    """Finished units that were there when a run was started again."""
    happened: Counter[str] = field(default_factory=Counter)
    """Disturbances by kind."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Rounds that could not be, by reason."""
    seeds: list[int] = field(default_factory=list)
    """A seed for each round."""
    failures: list[str] = field(default_factory=list)
    """What was wrong."""

    def line(self, seconds: float) -> str:
        """All of it in one line."""
        kinds = ", ".join(f"{count} x {kind}" for kind, count in sorted(self.happened.items())) or "nothing"
        skipped = "".join(f"; {count} rounds skipped: {reason}" for reason, count in sorted(self.skipped.items()))
        verdict = f"{len(self.failures)} FAILURES" if self.failures else "all as undisturbed"
        return (
            f"torture: {verdict}; {self.rounds} rounds and {self.starts} starts in {seconds:.0f} s; {kinds}{skipped}; "
            f"{self.kept} finished units kept by restarts"
        )


def plan_of_round(number: int, seed: int) -> list[Disturbance]:
    """What happens in a round: the kinds take turns as the first, up to two others follow.

    A unit that brings down three workers counts as their murderer, so no more than two workers come to harm in a round.
    """
    rng = random.Random(seed)
    first = list(KINDS)[number % len(KINDS)]
    if first == FULL_DISK:
        return [Disturbance(first, rng.uniform(0.05, 0.95))]
    kinds = [first, *rng.choices(["worker killed", "driver killed", "everything killed"], k=rng.choice((0, 1, 2)))]
    while sum(KINDS[kind].needs_workers for kind in kinds) > 2:
        kinds.pop()
    # Beyond all units are the driver's own last steps, in which it has no workers; nothing comes after them.
    last = {kind: 0.95 if KINDS[kind].needs_workers else 1.1 for kind in kinds}
    plan = [Disturbance(kind, min(rng.uniform(0.0, last[kind]), 1.0), rng.uniform(0.0, 0.4)) for kind in kinds]
    return sorted(plan, key=lambda one: one.at == 1.0)


def torture(store: SpoiledStore, reference: Reference, folder: Path, *, deadline: float, seed: int) -> Tally:
    """Disturb runs until the time is up.

    Parameters
    ----------
    store, reference : SpoiledStore, Reference
        What is run, and how it ends when it is left alone.
    folder : Path
        For the rounds.
    deadline : float
        By the monotonic clock; no round begins that may be expected to end later.
    seed : int
        The seed of a round is a thousand times this plus its number.
    """
    tally = Tally()
    longest = 2.0 * reference.seconds
    number = 0
    while not tally.rounds or time.monotonic() + longest < deadline:
        round_seed = 1000 * seed + number
        plan = plan_of_round(number, round_seed)
        number += 1
        where = folder / f"round-{round_seed}"
        where.mkdir()
        begun = time.monotonic()
        if plan[0].kind == FULL_DISK:
            try:
                with Disk(where, int(plan[0].at * reference.size)) as disk:
                    trial = Trial(store, reference, where, plan, disk)
                    found = trial.run()
            except CannotMount:
                tally.skipped["a file system cannot be mounted here"] += 1
                continue
        else:
            trial = Trial(store, reference, where, plan)
            found = trial.run()
        seconds = time.monotonic() - begun
        longest = max(longest, seconds)
        tally.rounds += 1
        tally.starts += trial.starts
        tally.kept += trial.kept
        tally.happened += trial.happened
        tally.seeds.append(round_seed)
        tally.failures += [f"seed {round_seed}: {one}" for one in found]
        verdict = "FAILED: " + "; ".join(found) if found else "as undisturbed"
        print(
            f"seed {round_seed}: {', '.join(map(str, plan))}: {trial.starts} starts, {seconds:.1f} s, {verdict}",
            flush=True,
        )
        if not found:
            shutil.rmtree(where)
    return tally


REPORT = """\
# Reliability

Written by `make torture`. A survey of synthetic observations is run again and again; its processes are killed and stopped at
random and its disk is too small, and it is started again until it ends by itself. Every time the products have to be those
of a run that was left alone: the same bytes in `cube.zarr` and `maps.zarr`, the spoiled observations set aside with their
reasons and no others, no process and no half-written file left behind, and no unit computed again that was done.

| | |
|---|---|
| data | {store} |
| units of a run | {units}, in {reference:.0f} s in one process |
| rounds | {rounds} in {minutes:.0f} min |
| rounds with wrong products | {failed} |
| starts of `survey run` | {starts} |
| finished units that restarts kept | {kept} |
| seeds | {first} to {last} |
| Python, cores | {python}, {cores} |

| what happened | times |
|---|---|
{table}

Kills are SIGKILL. With the local engine the nannies of the workers live in the driver's process and die with it; *everything*
is all processes of the run at one instant. A *stopped* worker gets SIGSTOP, and SIGCONT when the scheduler has given it up
and others did its work. *Interrupted* is SIGINT to all processes of the run, as Ctrl-C sends it; *terminated* is SIGTERM to
the driver. A *full disk* is a file system with a fraction of the room that the products need; it is enlarged when the run has
ended with its one line.
"""


def report(store: SpoiledStore, reference: Reference, tally: Tally, seconds: float) -> str:
    """The page for the documentation."""
    rows = [*sorted(tally.happened.items()), *((f"skipped: {why}", n) for why, n in sorted(tally.skipped.items()))]
    return REPORT.format(
        store=store,
        units=reference.n_records,
        reference=reference.seconds,
        rounds=tally.rounds,
        minutes=seconds / 60.0,
        failed=len({failure.partition(":")[0] for failure in tally.failures}),
        starts=tally.starts,
        kept=tally.kept,
        first=tally.seeds[0],
        last=tally.seeds[-1],
        python=platform.python_version(),
        cores=os.cpu_count(),
        table="\n".join(f"| {what} | {times} |" for what, times in rows),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 when anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.torture", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=3.0, help="how long, the undisturbed run included")
    parser.add_argument("--observations", type=int, default=24, help="observations of the store, at least 8")
    parser.add_argument(
        "--seed", type=int, default=int(time.time()) % 100_000, help="to repeat what another torture did"
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="page to write the figures to")
    options = parser.parse_args(arguments)
    begun = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    store = make_spoiled_store(folder / "store", options.observations, options.seed)
    print(f"seed {options.seed}: {store}", flush=True)
    reference = reference_run(store, folder / "undisturbed")
    print(f"undisturbed: {reference.n_records} units in {reference.seconds:.1f} s", flush=True)
    tally = torture(store, reference, folder, deadline=begun + 60.0 * options.minutes, seed=options.seed)
    seconds = time.monotonic() - begun
    print(tally.line(seconds))
    if options.write is not None:
        options.write.write_text(report(store, reference, tally, seconds))
    if tally.failures:
        print(f"what was left is in {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
