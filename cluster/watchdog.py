"""An end for units that hang: on storage that does not answer, in a library that waits for ever.

What runs in a thread cannot be stopped from outside, so the worker ends with it; the engine starts another.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator

EXIT = 70
"""Exit status of a worker that was ended so."""
PATIENCE = 10.0
"""Seconds for the note that says why: it goes to the storage that may be what hangs."""


@contextlib.contextmanager
def watched(seconds: float | None, note: Callable[[], None]) -> Iterator[None]:
    """End this process when what runs inside takes too long.

    Parameters
    ----------
    seconds : float or None
        How long it may take; None for as long as it likes.
    note : callable
        Called before the end.
    """
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, _end, (note,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _end(note: Callable[[], None]) -> None:
    writer = threading.Thread(target=note, daemon=True)
    writer.start()
    writer.join(PATIENCE)
    os._exit(EXIT)
