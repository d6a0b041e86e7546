"""``python -m benchmarks.torture --minutes 3 --observations 24 [--seed N] [--rounds N] [--write docs/reliability.md]``."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.torture.disk import CannotMount, Disk
from benchmarks.torture.disturbances import FIRST_ROUNDS, FULL_DISK, RoundPlan, plan_of_round
from benchmarks.torture.products import Reference, reference_run
from benchmarks.torture.store import SpoiledStore, make_spoiled_store
from benchmarks.torture.tally import Tally
from benchmarks.torture.trial import Trial


def torture(
    store: SpoiledStore, reference: Reference, folder: Path, *, deadline: float, seed: int, rounds: int = 0
) -> Tally:
    """Disturb runs in every way once, and then until the time is up.

    Parameters
    ----------
    store, reference : SpoiledStore, Reference
        What is run, and how it ends when it is left alone.
    folder : Path
        For the rounds.
    deadline : float
        By the monotonic clock; of the rounds beyond `rounds` none begins that may be expected to end later.
    seed : int
        The seed of a round is a thousand times this plus its number.
    rounds : int
        Least number of rounds; never fewer than have every kind of disturbance once.
    """
    tally = Tally()
    longest = 2.0 * reference.seconds
    number = 0
    while number < max(rounds, len(FIRST_ROUNDS)) or time.monotonic() + longest < deadline:
        round_seed = 1000 * seed + number
        plan = plan_of_round(number, round_seed)
        number += 1
        where = folder / f"round-{round_seed}"
        begun = time.monotonic()
        trial = _round(store, reference, where, plan, tally)
        seconds = time.monotonic() - begun
        longest = max(longest, seconds)
        tally.rounds += 1
        tally.starts += trial.starts
        tally.kept += trial.kept
        tally.happened += trial.happened
        tally.seeds.append(round_seed)
        tally.failures += [f"seed {round_seed}: {one}" for one in trial.failures]
        verdict = "FAILED: " + "; ".join(trial.failures) if trial.failures else "as undisturbed"
        print(f"seed {round_seed}: {plan}: {trial.starts} starts, {seconds:.1f} s, {verdict}", flush=True)
        if not trial.failures:
            shutil.rmtree(where)
    tally.end()
    return tally


def _round(store: SpoiledStore, reference: Reference, where: Path, plan: RoundPlan, tally: Tally) -> Trial:
    """One round; on a disk that has room where none can be mounted."""
    products = where / "disk"
    products.mkdir(parents=True)
    if plan.disk is not None:
        try:
            with Disk(products, int(plan.disk * reference.size)) as disk:
                trial = Trial(store, reference, products, plan, disk)
                trial.run()
                return trial
        except CannotMount:
            tally.not_exercised[f"{FULL_DISK}: a file system cannot be mounted here, which takes root"] += 1
    trial = Trial(store, reference, products, plan)
    trial.run()
    return trial


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 when anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.torture", description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0, help="how long, data and undisturbed runs included")
    parser.add_argument("--observations", type=int, default=24, help="observations of the store, at least 8")
    parser.add_argument(
        "--seed", type=int, default=int(time.time()) % 100_000, help="to repeat what another torture did"
    )
    parser.add_argument("--rounds", type=int, default=0, help="how many at least, whatever time they take")
    parser.add_argument("--write", type=Path, metavar="FILE", help="page to write the figures to")
    options = parser.parse_args(arguments)
    if options.observations < 8:
        parser.error(
            f"--observations: found {options.observations}, expected at least 8: each kind of spoiling takes one"
        )
    begun = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    store = make_spoiled_store(folder / "store", options.observations, options.seed)
    print(f"seed {options.seed}: {store}", flush=True)
    reference = reference_run(store, folder / "undisturbed")
    print(f"undisturbed: {reference.n_records} units in {reference.seconds:.1f} s", flush=True)
    tally = torture(
        store, reference, folder, deadline=begun + 60.0 * options.minutes, seed=options.seed, rounds=options.rounds
    )
    seconds = time.monotonic() - begun
    print(tally.line(seconds))
    if options.write is not None:
        again = (
            f"python -m benchmarks.torture --observations {options.observations} --seed {options.seed} --rounds {tally.rounds} "
            f"--write {options.write}"
        )
        options.write.write_text(tally.page(store, reference, command=again, seconds=seconds))
    if tally.failures:
        print(f"what was left is in {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
