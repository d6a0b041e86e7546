"""The `cluster` section of a configuration: which machines, how many, how big."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

Kind = Literal["local", "none", "slurm", "pbs", "htcondor", "kubernetes", "gateway", "existing"]

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}
_MEMORY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?I?)B?\s*", re.IGNORECASE)
_WALLTIME = re.compile(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)")
_SCHEDULER = re.compile(r"(?:\w+://)?[^\s/]+:\d+")
_DASHBOARD = re.compile(r"[^\s/]*:\d+")
_TLS = ("tls", "tls_ca", "tls_cert", "tls_key")

_COMMON = ("kind", "workers", "options", "preload", "worker_timeout", "unit_timeout")
_OWN = ("threads", "memory", "interface", "scratch", "dashboard", *_TLS)
_BATCH = (*_COMMON, *_OWN, "jobs", "walltime", "account", "setup")
#: The fields that each kind has a place for. `none` takes all, so that a file of any kind can be debugged with it.
FIELDS: Mapping[str, frozenset[str]] = {
    "local": frozenset((*_COMMON, *_OWN)),
    "slurm": frozenset((*_BATCH, "queue")),
    "pbs": frozenset((*_BATCH, "queue")),
    "htcondor": frozenset(_BATCH),
    "kubernetes": frozenset((*_COMMON, "threads", "memory", "scratch", "setup", "dashboard")),
    "gateway": frozenset((*_COMMON, "threads", "memory", "address")),
    "existing": frozenset((*_COMMON, "address", "scheduler_file", *_TLS)),
}
#: The fields that a kind cannot do without, and why.
NEEDED: Mapping[str, Mapping[str, str]] = {
    "slurm": {"memory": "a job asks for an amount, for example '4 GB'"},
    "pbs": {"memory": "a job asks for an amount, for example '4 GB'"},
    "htcondor": {"memory": "a job asks for an amount, for example '4 GB'"},
    "kubernetes": {"memory": "a pod asks for an amount, for example '4 GB'"},
    "gateway": {"address": "the gateway's URL, for example https://hub.example.org/services/dask-gateway"},
}


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _is_text(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError("expected a text, in quotes: without them YAML reads 0123 as 83")
    return value


def _not_seconds(value: Any) -> Any:
    if isinstance(value, int | float):
        raise ValueError("expected HH:MM:SS or D-HH:MM:SS in quotes: without them YAML reads 12:00:00 as 43200")
    return value


def _is_dashboard(value: Any) -> Any:
    if not isinstance(value, bool) and not (isinstance(value, str) and _DASHBOARD.fullmatch(value)):
        raise ValueError("expected true, false, or 'host:port' in quotes")
    return value


LEAST_MEMORY = 10**6
"""Bytes below which an amount of memory is taken for one whose unit was forgotten."""


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
    size = int(float(match[1]) * _UNITS[match[2].upper()])
    if not size:
        raise ValueError(f"{text!r} is no memory at all; write for example '2 GB', or 'auto'")
    return size


def parse_walltime(text: str) -> int:
    """Seconds in a text such as ``12:00:00`` or ``2-00:00:00``.

    Raises
    ------
    ValueError
        When the text is not such a time, or is zero.
    """
    match = _WALLTIME.fullmatch(text.strip())
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0, 0)
    total = ((24 * days + hours) * 60 + minutes) * 60 + seconds
    if not total:
        raise ValueError(f"{text!r} is not a time limit; write HH:MM:SS or D-HH:MM:SS, in quotes")
    return total


class ClusterConfig(BaseModel):
    """Where a run's units are executed. The same fields serve every kind of cluster."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    kind: Kind = "local"
    """local: processes on this machine; none: in this process, for debugging, whatever else the section says; existing:
    a scheduler that runs already; the others name a batch system or service that starts workers."""
    workers: Annotated[int, Field(ge=1)] = 2
    """Worker processes."""
    threads: Annotated[int, Field(ge=1)] = 1
    """Units that a worker runs at the same time. One is safe; more share the worker's memory."""
    memory: Annotated[str, BeforeValidator(_as_text)] = "auto"
    """Memory limit of a worker, for example '2 GB'; auto shares the machine's memory between the workers."""
    jobs: Annotated[int, Field(ge=1)] | None = None
    """Batch jobs to submit, when a job holds several workers; one job a worker by default."""
    walltime: Annotated[str | None, BeforeValidator(_not_seconds)] = None
    """Time limit of a batch job, HH:MM:SS or D-HH:MM:SS. Workers leave before it, and other jobs replace them."""
    queue: Annotated[str | None, BeforeValidator(_is_text)] = None
    """Queue or partition of a batch system."""
    account: Annotated[str | None, BeforeValidator(_is_text)] = None
    """Account or project to charge."""
    interface: str | None = None
    """Network interface between scheduler and workers, for example ib0."""
    scratch: str | None = None
    """Folder on a worker's local disk for temporary files; the system's own by default. Variables in it are those of the worker's
    machine."""
    setup: tuple[str, ...] = ()
    """Shell lines that a batch job runs before its workers start."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Passed as they are to the engine's own constructor; lists and mappings are added to what the other fields say."""
    dashboard: Annotated[bool | str, BeforeValidator(_is_dashboard)] = False
    """Dask's dashboard: off, on the loopback at a free port (true), or at 'host:port'."""
    preload: tuple[str, ...] = ()
    """Modules that workers import when they start."""
    worker_timeout: Annotated[int, Field(ge=1)] | None = None
    """Seconds without any worker after which a run gives up: 120 by default, a day where workers queue."""
    unit_timeout: Annotated[int, Field(ge=1)] | None = None
    """Seconds that a unit may take before its worker is ended; it is tried again, and given up the third time. No limit by
    default."""
    address: str | None = None
    """Of a scheduler that runs already, such as tcp://node1:8786, or of a gateway."""
    scheduler_file: str | None = None
    """File that a scheduler that runs already has written with its address, instead of `address`."""
    tls: bool = False
    """Encrypt and authenticate what scheduler and workers say; with temporary credentials where no files are named."""
    tls_ca: str | None = None
    """File of the certificate authority, PEM."""
    tls_cert: str | None = None
    """File of the certificate, PEM."""
    tls_key: str | None = None
    """File of the certificate's key, PEM."""

    @field_validator("memory")
    @classmethod
    def _is_memory(cls, memory: str) -> str:
        if memory != "auto" and parse_memory(memory) < LEAST_MEMORY:
            raise ValueError(f"{memory!r} is no memory at all; write a unit, for example '4 GB'")
        return memory

    @field_validator("walltime")
    @classmethod
    def _is_walltime(cls, walltime: str | None) -> str | None:
        if walltime is not None:
            parse_walltime(walltime)
        return walltime

    @model_validator(mode="after")
    def _suits_its_kind(self) -> Self:
        if self.kind == "none":
            return self
        lines = []
        defaults = type(self).model_fields
        for name in defaults:
            given = name in self.model_fields_set and getattr(self, name) != defaults[name].default
            if given and name not in FIELDS[self.kind] and not (name == "options" and not self.options):
                lines.append(f"{name}: kind {self.kind} has no place for it; take it out")
        for name, why in NEEDED.get(self.kind, {}).items():
            if getattr(self, name) == defaults[name].default:
                lines.append(f"{name}: missing, kind {self.kind} needs it: {why}")
        if self.kind == "existing" and (self.address is None) == (self.scheduler_file is None):
            both = "both" if self.address is not None else "neither"
            lines.append(f"address: kind existing needs either address or scheduler_file, found {both}")
        if self.kind == "existing" and self.address is not None and not _SCHEDULER.fullmatch(self.address):
            lines.append(f"address: found {self.address!r}, expected that of a scheduler, such as tcp://node1:8786")
        if self.kind == "gateway" and self.address is not None and "://" not in self.address:
            lines.append(f"address: found {self.address!r}, expected a URL, such as https://{self.address}")
        files = {name: getattr(self, name) for name in _TLS[1:]}
        if any(files.values()) and not (self.tls and all(files.values())):
            lines.append("tls: files need tls: true and all of tls_ca, tls_cert and tls_key")
        if self.kind == "existing" and self.tls and not any(files.values()):
            lines.append("tls: kind existing needs tls_ca, tls_cert and tls_key")
        if self.scratch == "":
            lines.append("scratch: found '', expected a folder")
        if self.kind == "kubernetes" and self.scratch is not None and "$" in self.scratch:
            lines.append(f"scratch: found {self.scratch!r}, expected a folder of the pod: no shell reads it there")
        if self.jobs is not None and self.workers % self.jobs:
            lines.append(f"jobs: found {self.jobs}, which does not divide cluster.workers, {self.workers}")
        if lines:
            raise ValueError("\n".join(lines))
        return self

    @property
    def workers_a_job(self) -> int:
        """Worker processes in a batch job."""
        return self.workers // self.jobs if self.jobs else 1

    @property
    def memory_limit(self) -> int | None:
        """Memory limit of a worker in bytes; None for auto."""
        return None if self.memory == "auto" else parse_memory(self.memory)


def engine_module(kind: str) -> str:
    """Name of the module that holds an engine: one file a kind of cluster."""
    return "cluster.engines." + {"none": "inline"}.get(kind, kind)
