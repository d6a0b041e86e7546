"""The source of one observation: where its parts lie, cheap to make, send and hash; `load` reads it.

`survey.events.datastore` makes them from a GADF store, `survey.events.archive` from an archive.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, NamedTuple

from survey.events.observation import Observation, ObservationRejected
from survey.events.problems import Problem

RESPONSES = ("aeff", "edisp", "psf", "bkg")


class HduLocation(NamedTuple):
    """One row of an HDU index: where an HDU lies.

    Parameters
    ----------
    hdu_type : str
        ``events``, ``gti``, ``pointing``, ``aeff``, ``edisp``, ``psf``, ``bkg`` or ``rad_max``.
    hdu_class : str
        As the index has it, lower case; empty where there is no index.
    file : str
        Path relative to the source's `root`, with forward slashes.
    hdu : str
        Name of the HDU, or its number in a file (``"3"``) where it has no name.
    md5 : str
        Checksum of the file, hexadecimal; empty where the index has none.
    """

    hdu_type: str
    hdu_class: str
    file: str
    hdu: str
    md5: str = ""


def record_json(record: Mapping[str, str | float | int | bool]) -> str:
    """The `record_text` of a source with this row of an index."""
    return json.dumps(record, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class ObservationSource:
    """One observation that can be loaded.

    Parameters
    ----------
    identity : str
        Name of the data store, obs_id and event type, safe as a file name: ``hess-dl3-dr1-20136``. It depends
        neither on where the store lies nor on the order of its index.
    obs_id : int
        Of the data store.
    kind : str
        ``gadf`` or ``archive``.
    root : str
        Folder that the files are relative to, or URL of the archive.
    hdus : tuple of HduLocation
        Kind ``gadf``: its HDUs, sorted.
    record_text : str
        The observation's row in the index, plain values as JSON: a plan has a hundred thousand, and they are smallest as text.
    digest : str
        Kind ``archive``: hash of what the archive holds of it.
    row : int
        Kind ``archive``: its row there.
    windows : tuple of tuple of float
        Time selections [start, stop) in MJD (TT): good times and events outside are left out on loading. Empty: all.
    """

    identity: str
    obs_id: int
    kind: Literal["gadf", "archive"]
    root: str
    hdus: tuple[HduLocation, ...] = ()
    record_text: str = "{}"
    digest: str = ""
    row: int = -1
    windows: tuple[tuple[float, float], ...] = ()

    @property
    def record(self) -> dict[str, str | float | int | bool]:
        """The observation's row in the index, parsed anew each time."""
        record: dict[str, str | float | int | bool] = json.loads(self.record_text)
        return record

    @property
    def kinds(self) -> frozenset[str]:
        """HDU types that it has."""
        return frozenset(location.hdu_type for location in self.hdus)

    def within(self, windows: Sequence[tuple[float, float]]) -> ObservationSource:
        """The same source, cut to time windows, see `windows`."""
        return replace(self, windows=tuple(windows))

    def as_dict(self) -> dict[str, Any]:
        """Values for JSON and pickle, shared with this source: a plan has a hundred thousand, and copies would cost."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ObservationSource:
        """Inverse of `as_dict`."""
        values = dict(values)
        values["hdus"] = tuple(HduLocation(*location) for location in values["hdus"])
        values["windows"] = tuple((start, stop) for start, stop in values["windows"])
        return cls(**values)

    def fingerprint(self) -> str:
        """Hash of what `load` would read: files by size and time of change, an archive's row by its content.

        It does not depend on where the store lies. A missing file counts as such.
        """
        parts: list[Any] = [self.identity, self.kind, self.digest, self.windows, sorted(self.record.items())]
        parts.append([list(location) for location in self.hdus])
        for file in sorted({location.file for location in self.hdus if location.file}):
            try:
                status = os.stat(os.path.join(self.root, file))
            except OSError:
                parts.append([file, None])
            else:
                parts.append([file, status.st_size, status.st_mtime_ns])
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()

    def problem(self, rejected: ObservationRejected) -> Problem:
        """Why it cannot be used though it can be read, with the file and the HDU."""
        where = next((location for location in self.hdus if location.hdu_type == rejected.part), None)
        words = str(rejected).removeprefix(f"{self.identity}: ")
        file, hdu = (where.file, where.hdu.upper()) if where is not None else (None, None)
        return Problem("error", words, self.obs_id, file, hdu)

    def load(self, *, responses: Sequence[str] = RESPONSES) -> Observation:
        """Read and check the observation.

        Parameters
        ----------
        responses : sequence of str
            Kinds of responses to read; ``rad_max`` comes along with point-like ones.

        Returns
        -------
        Observation
            Kinds of responses that the store does not list are left out; what was odd is in `notes`.

        Raises
        ------
        ObservationRejected
            When something is missing, corrupt or contradictory; the message has one line a problem.
        """
        if self.kind == "archive":
            from survey.events.archive import load_source

            observation = load_source(self, responses=tuple(responses))
        else:
            from survey.events.gadf import load_gadf

            observation = load_gadf(self, responses=tuple(responses))
        if self.windows:
            from survey.events.time_cut import cut_time

            observation = cut_time(observation, self.windows)
        return observation
