"""Workers that start while the driver still plans what they will do."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence

from cluster.config import ClusterConfig
from cluster.engines.base import Engine, open_engine
from cluster.stopping import terminable


@contextlib.contextmanager
def head_start(
    workspace: str | os.PathLike[str], config: ClusterConfig, *, preload: Sequence[str] = ()
) -> Iterator[Engine | None]:
    """An engine whose workers start now, or None where that would be too early.

    Only workers on this machine are started, and only for the first run in a workspace: a batch system is asked for
    nothing before a run is known to be one that can start, and a rerun may have nothing left to do. Leaving ends them,
    after an error at once, whether they are up or not. SIGTERM meanwhile stops the caller as Ctrl-C does.

    Parameters
    ----------
    workspace : str or path
        Where the bookkeeping will be; nothing is made there.
    config : ClusterConfig
        The cluster to run on.
    preload : sequence of str
        Modules that workers import when they start.

    Yields
    ------
    Engine or None
        For `cluster.run.execute`.
    """
    if config.kind != "local" or os.path.lexists(workspace) or "://" in os.fspath(workspace):
        yield None
        return
    from cluster.engines.local import Engine as LocalEngine

    with terminable(), open_engine(config, preload=preload) as engine:
        if isinstance(engine, LocalEngine):
            engine.await_processes()
        yield engine
