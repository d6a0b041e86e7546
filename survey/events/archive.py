"""The archive as a data store: opened once, its observations loaded by any process.

`survey.events.archive_reader` reads, `survey.events.ingest` makes archives.
"""

from __future__ import annotations

import os
from functools import lru_cache

from survey.events.archive_format import absolute
from survey.events.archive_reader import ArchiveError, ArchiveReader
from survey.events.datastore import DataStore
from survey.events.observation import Observation, ObservationRejected
from survey.events.problems import Problem
from survey.events.source import RESPONSES, HduLocation, ObservationSource
from survey.response.table import KINDS

OPEN_ARCHIVES = 4

__all__ = ["ArchiveError", "ArchiveReader", "load_source", "open_archive"]


def open_archive(url: str | os.PathLike[str]) -> DataStore:
    """Open an archive.

    Parameters
    ----------
    url : str
        Any fsspec URL or a path.

    Returns
    -------
    DataStore
        Its identities, table and problems are those of the data store that was ingested; observations that were set
        aside then are among the problems.

    Raises
    ------
    ArchiveError
        When there is no archive, it is not complete, or its format is a newer one.
    """
    reader = ArchiveReader(absolute(os.fspath(url)))
    reader_of.cache_clear()
    columns = {name: reader.column(name).tolist() for name in ("identity", "obs_id", "digest", "mode", "record")}
    places = {kind: reader.column(f"{kind}_row").tolist() for kind in KINDS}
    sources = []
    for row in range(reader.n_observations):
        kinds = ["events", "gti", *(["pointing"] if columns["mode"][row] == "table" else [])]
        kinds += [kind for kind in KINDS if places[kind][row] >= 0]
        sources.append(
            ObservationSource(
                identity=columns["identity"][row],
                obs_id=columns["obs_id"][row],
                kind="archive",
                root=reader.url,
                hdus=tuple(HduLocation(kind, "", "", "") for kind in kinds),
                record_text=columns["record"][row],
                digest=columns["digest"][row],
                row=row,
            )
        )
    problems = [Problem(**problem) for problem in reader.problems()]
    rejected = reader.table("set_aside")
    for obs_id, reason in zip(rejected["obs_id"].tolist(), rejected["reason"].tolist(), strict=True):
        problems.append(Problem("error", reason, obs_id=obs_id))
    return DataStore(reader.name, tuple(sources), reader.index(), tuple(problems))


def load_source(source: ObservationSource, *, responses: tuple[str, ...] = RESPONSES) -> Observation:
    """Load the observation of an archive's source.

    Raises
    ------
    ObservationRejected
        When the archive has been replaced since the source was made.
    """
    reader = reader_of(source.root)
    if not 0 <= source.row < reader.n_observations or reader.row(source.row)["digest"] != source.digest:
        raise ObservationRejected(
            f"OBS_ID {source.obs_id}: {source.root} has changed since it was opened; run again to read it anew"
        )
    return reader.load(source.row, responses=responses)


@lru_cache(maxsize=OPEN_ARCHIVES)
def reader_of(url: str) -> ArchiveReader:
    """The process's reader of an archive."""
    return ArchiveReader(url)
