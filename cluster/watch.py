"""The status of a run for people: a table, shown once, or again and again while the run goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from typing import TextIO

from cluster.progress import duration, number
from cluster.status import RunStatus

EVERY = 2.0
"""Seconds between two looks, at least; where a look takes long, nine tenths of the time are left to the run."""
REASONS = 20
"""Units set aside or failed that are named; the others are counted."""


def table(found: RunStatus, *, now: float | None = None) -> list[str]:
    """The status as lines of text.

    Parameters
    ----------
    found : RunStatus
        The status.
    now : float, optional
        Seconds since the epoch; the clock's by default.
    """
    head = ("stage", "units", "done", "left", "set aside", "failed", "seconds", "units/s")
    lines = [_row(*head)]
    for name, stage in found.stages.items():
        rate = "" if stage.rate is None else f"{stage.rate:.3g}"
        counts = (stage.planned, stage.done, stage.left, stage.set_aside, stage.failed)
        lines.append(_row(name, *counts, f"{stage.seconds:.1f}", rate))
    reasons = sorted(found.reasons.items())
    lines += [f"{slot}: {(reason.splitlines() or [''])[0]}" for slot, reason in reasons[:REASONS]]
    if len(reasons) > REASONS:
        lines.append(f"... and {len(reasons) - REASONS} more")
    return [*lines, *state(found, now=now)]


def state(found: RunStatus, *, now: float | None = None) -> list[str]:
    """Who runs, and when it will end."""
    if found.running is None:
        failed = sum(stage.failed for stage in found.stages.values())
        if found.is_complete and failed:
            return [f"ended; {number(failed, 'unit')} failed, `survey run --retry-failed` tries again"]
        return ["complete" if found.is_complete else "not running; `survey run` goes on from here"]
    lines = [f"running: {found.running}"]
    left = found.seconds_left
    if left is not None:
        at = datetime.fromtimestamp(time.time() if now is None else now, UTC) + timedelta(seconds=left)
        more = f", and the time of {', '.join(found.unknown)}" if found.unknown else ""
        end = "not before" if found.unknown else "at about"
        lines.append(f"about {duration(left)} left{more}; ends {end} {at:%Y-%m-%d %H:%M} UTC")
    return lines


def watch(
    look: Callable[[], RunStatus],
    stream: TextIO,
    *,
    every: float = EVERY,
    sleep: Callable[[float], object] = time.sleep,
) -> RunStatus:
    """Show a run until it is complete or stops; returns the last status.

    A table that is renewed in its place where `stream` is a terminal; elsewhere the table once, a line for each stage
    that has moved since, and the table again at the end.

    Parameters
    ----------
    look : callable
        Gives the status.
    stream : text stream
        Where to.
    every : float
        Seconds between two looks, at least.
    sleep : callable
        Waits for some seconds.
    """
    shown = _live(look, stream) if stream.isatty() else _plain(look, stream)
    begun = time.monotonic()
    for found in shown:
        if found.running is None or found.is_complete:
            shown.close()
            break
        sleep(max(every, 9 * (time.monotonic() - begun)))
        begun = time.monotonic()
    return found


def _live(look: Callable[[], RunStatus], stream: TextIO) -> Generator[RunStatus, None, None]:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    with Live(console=Console(file=stream), auto_refresh=False) as live:
        while True:
            found = look()
            live.update(Text("\n".join(table(found))), refresh=True)
            yield found


def _plain(look: Callable[[], RunStatus], stream: TextIO) -> Generator[RunStatus, None, None]:
    found = look()
    print("\n".join(table(found)), file=stream, flush=True)
    yield found
    while True:
        before, found = found, look()
        if found.running is None or found.is_complete:
            print("\n".join(table(found)), file=stream, flush=True)
        else:
            lines = _moved(before, found)
            if lines:
                print("\n".join([*lines, *state(found)[1:]]), file=stream, flush=True)
        yield found


def _moved(before: RunStatus, found: RunStatus) -> list[str]:
    lines = []
    for name, stage in found.stages.items():
        if stage == before.stages.get(name) or (name in before.stages and stage.left == before.stages[name].left):
            continue
        parts = [(stage.set_aside, "set aside"), (stage.failed, "failed")]
        bad = "".join(f", {number} {what}" for number, what in parts if number)
        lines.append(f"{name}: {stage.planned - stage.left}/{stage.planned}{bad}")
    return lines


def _row(name: object, units: object, done: object, left: object, aside: object, failed: object, *rest: object) -> str:
    seconds, rate = rest
    text = f"{name:<18} {units:>8} {done:>8} {left:>8} {aside:>10} {failed:>8} {seconds:>10} {rate:>8}"
    return text.rstrip()
