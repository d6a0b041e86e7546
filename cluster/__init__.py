"""The machinery that runs units of work on any kind of cluster, once each, and survives faults."""

from cluster.errors import (
    ClusterError,
    ConfigError,
    DiskFull,
    PlanError,
    SetAside,
    WorkersLost,
    WorkspaceLocked,
)
from cluster.outcome import Outcome, Outcomes
from cluster.unit import Unit, unit_key

__all__ = [
    "ClusterError",
    "ConfigError",
    "DiskFull",
    "Outcome",
    "Outcomes",
    "PlanError",
    "SetAside",
    "Unit",
    "WorkersLost",
    "WorkspaceLocked",
    "unit_key",
]
