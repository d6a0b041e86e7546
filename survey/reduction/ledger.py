"""The ledger: every event that was read ends in exactly one line of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

LINES = ("set_aside", "outside_gti_dropped", "outside_energy", "outside_grid", "offset_cut", "safe_range", "in_cube")
"""Lines in the order in which they apply: of several, an event is in the first."""


class LedgerError(RuntimeError):
    """The lines do not add up to the events read."""


@dataclass(frozen=True)
class Ledger:
    """Numbers of events.

    Parameters
    ----------
    read : int
        Events read.
    set_aside : int
        In observations that were set aside.
    outside_gti_dropped : int
        Outside the good times, dropped because the configuration says so.
    outside_energy, outside_grid : int
        Outside the axis of reconstructed energy; outside the grid.
    offset_cut : int
        Beyond the circle of the selection.
    safe_range : int
        In bins that are not safe.
    in_cube : int
        In the cube.
    outside_gti_kept : int
        Outside the good times and kept: a remark, not a line of the sum.
    """

    read: int = 0
    set_aside: int = 0
    outside_gti_dropped: int = 0
    outside_energy: int = 0
    outside_grid: int = 0
    offset_cut: int = 0
    safe_range: int = 0
    in_cube: int = 0
    outside_gti_kept: int = 0

    def __add__(self, other: Ledger) -> Ledger:
        mine, theirs = asdict(self), asdict(other)
        return Ledger(**{name: mine[name] + theirs[name] for name in mine})

    def as_dict(self) -> dict[str, int]:
        """Lines by name."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, int]) -> Ledger:
        """Inverse of `as_dict`."""
        return cls(**{name: int(value) for name, value in values.items()})

    @classmethod
    def of_rejected(cls, n_events: int) -> Ledger:
        """Ledger of an observation that was set aside."""
        return cls(read=n_events, set_aside=n_events)

    def check(self, what: str = "the run") -> None:
        """Raise LedgerError unless the lines add up to the events read.

        Parameters
        ----------
        what : str
            Named in the message.
        """
        total = sum(getattr(self, line) for line in LINES)
        if total != self.read:
            lines = ", ".join(f"{line} {getattr(self, line)}" for line in LINES)
            raise LedgerError(f"{what}: {self.read} events read, but the lines of the ledger give {total} ({lines})")
