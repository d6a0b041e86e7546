"""Progress of a run for people: bars with the time left on a terminal, lines now and then elsewhere."""

from __future__ import annotations

import contextlib
import io
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, TextIO

from cluster.events import (
    Event,
    Listener,
    RunEnded,
    RunStarted,
    StageEnded,
    UnitEnded,
    UnitRetried,
    WorkerLost,
)

EVERY = 5.0
"""Seconds between two lines of a stage."""
SHOWN = 20
"""Bad units that are named as they appear; the others are counted."""


class Progress(Protocol):
    """A listener to show while it is entered."""

    def __call__(self, event: Event) -> None:
        """Take note of an event."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


def open_progress(stream: TextIO | None = None) -> Progress:
    """Bars when `stream` (standard error by default) is a terminal, lines otherwise.

    Use it as ``with open_progress() as progress: execute(..., listeners=[progress])``.
    """
    stream = sys.stderr if stream is None else stream
    if stream is None:  # a process that was started with its standard error closed
        progress = Lines(io.StringIO())
        progress.hidden = True
        return progress
    return Bars(stream) if stream.isatty() else Lines(stream)


@dataclass
class _Stage:
    """What is known of a stage."""

    total: int
    ended: int = 0
    earlier: int = 0
    set_aside: int = 0
    failed: int = 0
    begun: float | None = None
    said: float = float("-inf")

    def note(self, event: UnitEnded, now: float) -> None:
        self.ended += 1
        self.earlier += not event.outcome.fresh
        self.set_aside += event.outcome.status == "set_aside"
        self.failed += event.outcome.status == "failed"
        if event.outcome.fresh and self.begun is None:
            self.begun = now - event.outcome.seconds

    def seconds_left(self, now: float) -> float | None:
        """By the rate of this run; None before some units have been done, as the first ones wait for imports."""
        fresh = self.ended - self.earlier
        if self.begun is None or fresh < min(20, max(1, self.total // 100)):
            return None
        return (now - self.begun) / fresh * (self.total - self.ended)

    def notes(self) -> str:
        parts = [(self.set_aside, "set aside"), (self.failed, "failed")]
        return "".join(f", {n} {what}" for n, what in parts if n)


class _Listener:
    """Counts by stage; what is shown is the subclasses'."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream = stream
        self.clock = clock
        self.stages: dict[str, _Stage] = {}
        self.bad = 0
        self.hidden = False

    def __call__(self, event: Event) -> None:
        """Show an event. A terminal that is gone, a pipe whose reader ended and a full disk end the display, not the run."""
        if self.hidden:
            return
        try:
            self._show(event)
        except (OSError, ValueError):  # a closed file raises the latter
            self.hidden = True

    def _show(self, event: Event) -> None:
        match event:
            case RunStarted():
                self.stages = {stage: _Stage(total) for stage, total in event.stages.items()}
                self.bad = 0
                self.begin()
            case UnitEnded():
                stage = event.slot.partition("/")[0]
                self.stages[stage].note(event, self.clock())
                if event.outcome.fresh and event.outcome.reason:
                    what = event.outcome.status.replace("_", " ")
                    self._name(f"{event.slot} {what}: {event.outcome.reason}")
                self.ended(stage)
            case UnitRetried():
                self._name(f"{event.slot} is tried again: {event.reason}")
            case WorkerLost():
                at = f" while it ran {event.slot}" if event.slot else ""
                how = "was ended for its memory" if event.overgrown else "died"
                goes = "goes" if event.unfinished == 1 else "go"
                self._name(f"a worker {how}{at}; {number(event.unfinished, 'unit')} {goes} to another")
            case StageEnded():
                self.stage_ended(event.stage)
            case RunEnded():
                self.end()
            case _:
                pass

    def _name(self, line: str) -> None:
        self.bad += 1
        if self.bad <= SHOWN:
            self.say(line)
        elif self.bad == SHOWN + 1:
            self.say("more of this kind is not shown; see the run's status")

    def say(self, line: str) -> None:
        """Show a line."""
        print(line, file=self.stream, flush=True)

    def begin(self) -> None:
        """The stages are known."""

    def ended(self, stage: str) -> None:
        """A unit of a stage ended."""

    def stage_ended(self, stage: str) -> None:
        """All units of a stage ended."""

    def end(self) -> None:
        """The run ended."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        # What drew bars and could not is in any state, and no display is worth a run.
        with contextlib.suppress(Exception):
            self.end()


class Lines(_Listener):
    """A line a stage every few seconds, and one when it has ended."""

    def ended(self, stage: str) -> None:
        """Say how far the stage is, unless that was said just now."""
        now = self.clock()
        row = self.stages[stage]
        if now - row.said < EVERY or row.ended == row.total:
            return
        row.said = now
        left = row.seconds_left(now)
        time_left = "" if left is None else f", {duration(left)} left"
        self.say(f"{stage}: {row.ended}/{row.total}{row.notes()}{time_left}")

    def stage_ended(self, stage: str) -> None:
        """Say how the stage ended."""
        row = self.stages[stage]
        earlier = f", {row.earlier} of them before" if row.earlier else ""
        took = "" if row.begun is None else f" in {duration(self.clock() - row.begun)}"
        self.say(f"{stage}: all {row.total} units ended{took}{earlier}{row.notes()}")


class Bars(_Listener):
    """A bar a stage, with the time left."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream, clock)
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}

    def begin(self) -> None:
        """Show a bar for each stage."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        class OurConsole(Console):
            def on_broken_pipe(self) -> None:
                raise BrokenPipeError("nobody reads")  # rich would end this process and turn off its standard output

        self.end()
        self._bars = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("[yellow]{task.fields[notes]}"),
            console=OurConsole(file=self.stream),
            refresh_per_second=4,
        )
        self._tasks = {
            stage: self._bars.add_task(stage, total=row.total, start=False, left="", notes="")
            for stage, row in self.stages.items()
        }
        self._bars.start()

    def ended(self, stage: str) -> None:
        """Move the stage's bar."""
        now = self.clock()
        row = self.stages[stage]
        if now - row.said < 0.1 and row.ended < row.total:
            return
        row.said = now
        task = self._tasks[stage]
        left = row.seconds_left(now)
        self._bars.start_task(task)
        self._bars.update(
            task,
            completed=row.ended,
            left="" if not left else f"{duration(left)} left",
            notes=row.notes().removeprefix(", "),
        )

    def say(self, line: str) -> None:
        """Show a line above the bars."""
        if self._bars is None:
            super().say(line)
        else:
            self._bars.console.print(line, markup=False, highlight=False)

    def end(self) -> None:
        """Leave the bars as they are."""
        bars, self._bars = self._bars, None
        if bars is not None:
            bars.stop()


@contextlib.contextmanager
def listening(listeners: Sequence[Listener] | None) -> Iterator[Sequence[Listener]]:
    """The listeners given; where none are, a display of progress: bars on a terminal, lines elsewhere."""
    if listeners is not None:
        yield listeners
        return
    with open_progress() as progress:
        yield [progress]


def number(n: int, noun: str) -> str:
    """How many of something, in words: ``1 unit``, ``2 units``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def duration(seconds: float) -> str:
    """Seconds in words: ``8 s``, ``3 min 05 s``, ``2 h 10 min``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
