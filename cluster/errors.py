"""What `cluster` raises: one line each, that says what was found and what to do."""

from __future__ import annotations


class ClusterError(Exception):
    """A run cannot start or cannot go on; the message is one line for the user."""


class ConfigError(ClusterError, ValueError):
    """The cluster section asks for something that this installation cannot do."""


class PlanError(ClusterError, ValueError):
    """The units do not form a plan: a slot given twice, an unknown dependency, a cycle, a value without a key."""


class WorkspaceLocked(ClusterError):
    """Another driver works on the same workspace."""


class DiskFull(ClusterError):
    """Writing failed for want of space; finished work is kept and a rerun completes."""


class StorageError(ClusterError):
    """An object store stopped to answer, or to allow; finished work is kept and a rerun completes."""


class StorageRefused(StorageError):
    """An object store cannot be used as things are: nothing was begun."""


class WorkersLost(ClusterError):
    """No worker is left, or none came within the time allowed."""


class SetAside(Exception):
    """Raised by a unit's function: its input is bad and the run goes on without it.

    Parameters
    ----------
    reason : str
        One line that names the input and says what is wrong with it. It is recorded in the unit's marker.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
