"""What happened in all rounds, in a line and on a page."""

from __future__ import annotations

import os
import platform
from collections import Counter
from dataclasses import dataclass, field

from benchmarks.torture.disturbances import KINDS
from benchmarks.torture.products import MEMORY, Reference
from benchmarks.torture.store import SpoiledStore


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
    not_exercised: Counter[str] = field(default_factory=Counter)
    """Kinds that could not be, with the reason."""
    seeds: list[int] = field(default_factory=list)
    """A seed for each round."""
    failures: list[str] = field(default_factory=list)
    """What was wrong."""

    def end(self) -> None:
        """Every kind has to have happened, but for those that cannot be here."""
        excused = " ".join(self.not_exercised)
        missing = [kind for kind in KINDS if not self.happened[kind] and kind not in excused]
        self.failures += [f"seed {self.seeds[0]}: never happened: {kind}" for kind in missing]

    def line(self, seconds: float) -> str:
        """All of it in one line."""
        kinds = ", ".join(f"{count} x {kind}" for kind, count in sorted(self.happened.items())) or "nothing"
        missed = "".join(f"; not exercised: {what}" for what in sorted(self.not_exercised))
        verdict = f"{len(self.failures)} FAILURES" if self.failures else "all as undisturbed"
        return (
            f"torture: {verdict}; {self.rounds} rounds and {self.starts} starts in {seconds:.0f} s; {kinds}{missed}; "
            f"{self.kept} finished units kept by restarts"
        )

    def page(self, store: SpoiledStore, reference: Reference, *, command: str, seconds: float) -> str:
        """The page for the documentation."""
        rows = [(kind, str(self.happened[kind])) for kind in KINDS if self.happened[kind]]
        rows += [(what, "not exercised") for what in sorted(self.not_exercised)]
        return PAGE.format(
            command=command,
            store=store,
            units=reference.n_records,
            reference=reference.seconds,
            rounds=self.rounds,
            minutes=seconds / 60.0,
            failed=len({failure.partition(":")[0] for failure in self.failures}),
            starts=self.starts,
            kept=self.kept,
            first=self.seeds[0],
            last=self.seeds[-1],
            memory=MEMORY,
            python=platform.python_version(),
            cores=os.cpu_count(),
            table="\n".join(f"| {what} | {times} |" for what, times in rows),
        )


PAGE = """\
# Reliability

Written by `make torture`. A survey that `survey simulate` made is run again and again; its processes are killed and stopped at
random and its disk is too small, and it is started again until it ends by itself. Every time the products have to be those
of a run that was left alone: the same bytes in `cube.zarr` and `maps.zarr`, the spoiled observations set aside, each for its
own reason, and no others, no process and no half-written file left behind, and no unit computed again that was done. The run
that was left alone has the same chunks as one that never heard of the spoiled observations.

| | |
|---|---|
| command | `{command}` |
| data | {store} |
| units of a run | {units}, in {reference:.0f} s on one worker |
| rounds | {rounds} in {minutes:.0f} min |
| rounds with wrong products | {failed} |
| starts of `survey run` | {starts} |
| finished units that restarts kept | {kept} |
| seeds | {first} to {last} |
| Python, cores, memory of a worker | {python}, {cores}, {memory} |

| what happened | times |
|---|---|
{table}

Kills are SIGKILL. The first rounds have all kinds once; after them they take turns, at times that the seed decides. Workers
are below the driver, where their nannies live in its process and die with it, or in jobs of their own
(`cluster.kind: existing`), each a nanny and its worker, which are replaced when they end as a batch system would.

- *Everything* is all processes of a run at one instant. *Interrupted* is SIGINT to all of them, as Ctrl-C sends it;
  *terminated* is SIGTERM to the driver.
- A *stopped* worker gets SIGSTOP and is never continued: the scheduler gives it up, others do its work, and no process is left
  of it. One that is *continued* after some seconds goes on. A job that is *suspended* is continued when it has been given up:
  what it still does to its last unit changes nothing.
- A *full disk* is a file system with a part of the room that the products need; it is enlarged when the run has ended with its
  one line.
- An observation that is *too large* unpacks to three times the memory of a worker and is in every run. It brings down three
  workers and is then left out, with the reason `memory`; the units that shared a batch or a worker with it are done by others.

Spoiled files are the matter of `tests/events/test_mutations.py`, which `make test` runs: a thousand event files, each changed in
one place (a card, a size, a type, a value, its end), are refused with what is wrong, or read with the counts that astropy reads,
and then set aside in a line or reduced to finite numbers.
`SURVEY_MUTATIONS_SEED` makes other ones.
"""
