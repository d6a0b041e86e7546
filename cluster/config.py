"""The `cluster` section of a configuration: which machines, how many, how big."""

from __future__ import annotations

import importlib.util
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

Kind = Literal["local", "none", "slurm", "pbs", "htcondor", "kubernetes", "gateway", "existing"]

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}
_MEMORY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?I?)B?\s*", re.IGNORECASE)


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def parse_memory(text: str) -> int:
    """Bytes in a text such as ``2 GB``, ``1500MB`` or ``4 GiB``.

    Raises
    ------
    ValueError
        When the text is not an amount of memory.
    """
    match = _MEMORY.fullmatch(text)
    if match is None or match[2].upper() == "I":
        raise ValueError(f"{text!r} is not an amount of memory; write for example '2 GB', '1500 MB' or 'auto'")
    return int(float(match[1]) * _UNITS[match[2].upper()])


class ClusterConfig(BaseModel):
    """Where a run's units are executed. The same fields serve every kind of cluster."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    kind: Kind = "local"
    """local: processes on this machine; none: in this process, for debugging; the others name a batch system."""
    workers: Annotated[int, Field(ge=1)] = 2
    """Worker processes."""
    threads: Annotated[int, Field(ge=1)] = 1
    """Units that a worker runs at the same time. One is safe; more share the worker's memory."""
    memory: Annotated[str, BeforeValidator(_as_text)] = "auto"
    """Memory limit of a worker, for example '2 GB'; auto shares the machine's memory between the workers."""
    jobs: Annotated[int, Field(ge=1)] | None = None
    """Batch jobs to submit, when a job holds several workers."""
    walltime: str | None = None
    """Time limit of a batch job, HH:MM:SS."""
    queue: str | None = None
    """Queue or partition of a batch system."""
    account: str | None = None
    """Account or project to charge."""
    interface: str | None = None
    """Network interface between scheduler and workers, for example ib0."""
    scratch: str | None = None
    """Folder on a worker's local disk for temporary files; the system's own by default."""
    setup: tuple[str, ...] = ()
    """Shell lines that a batch job runs before its workers start."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Passed as they are to the engine's own constructor."""
    dashboard: bool | str = False
    """Dask's dashboard: off, on the loopback at a free port (true), or at 'host:port'."""
    preload: tuple[str, ...] = ()
    """Modules that workers import when they start."""

    @field_validator("kind")
    @classmethod
    def _has_engine(cls, kind: str) -> str:
        if importlib.util.find_spec(engine_module(kind)) is None:
            raise ValueError(f"cluster.kind {kind!r} is not there yet; use local or none")
        return kind

    @field_validator("memory")
    @classmethod
    def _is_memory(cls, memory: str) -> str:
        if memory != "auto":
            parse_memory(memory)
        return memory

    @property
    def memory_limit(self) -> int | None:
        """Memory limit of a worker in bytes; None for auto."""
        return None if self.memory == "auto" else parse_memory(self.memory)


def engine_module(kind: str) -> str:
    """Name of the module that holds an engine: one file a kind of cluster."""
    return "cluster.engines." + {"none": "inline"}.get(kind, kind)
