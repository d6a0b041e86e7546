"""What stops a run: Ctrl-C, and SIGTERM, which batch systems send before they kill."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_asked: list[KeyboardInterrupt] = []


class Stopped(KeyboardInterrupt):
    """The run was asked to stop by SIGTERM; a rerun resumes it."""


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM stops a run as Ctrl-C does, and neither goes unheard: see `heed`."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    within = before[signal.SIGTERM] is _terminated
    signal.signal(signal.SIGTERM, _terminated)
    if before[signal.SIGINT] is signal.default_int_handler:  # not where somebody else handles it, or nobody shall
        signal.signal(signal.SIGINT, _interrupted)
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # one that was not set by Python stays away
                signal.signal(number, handler)
        if not within:
            _asked.clear()


def heed() -> None:
    """Stop if that was asked for and the run goes on all the same.

    Python prints and drops what a signal raises while it collects garbage or ends an object, which may be at any moment.
    """
    if _asked:
        raise _asked[-1]


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C waits until the end, where something would make another error of it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _terminated(number: int, frame: FrameType | None) -> None:
    _asked.append(Stopped("stopped by SIGTERM; run again to resume"))
    raise _asked[-1]


def _interrupted(number: int, frame: FrameType | None) -> None:
    _asked.append(KeyboardInterrupt())
    raise _asked[-1]
