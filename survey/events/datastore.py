"""The data store: the observations that there are, their table, and everything that is the matter with them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from survey.events.fits_file import HeaderValue
from survey.events.headers import TIME_KEYWORDS
from survey.events.observation import Observation, ObservationRejected
from survey.events.problems import DataStoreError, Problem, Severity, refused, summary
from survey.events.source import RESPONSES, ObservationSource
from survey.store.urls import is_local, listdir, local_path

__all__ = ["DataStore", "DataStoreError", "check_datastore", "open_datastore"]


@dataclass(frozen=True, eq=False)
class DataStore:
    """Observations that can be loaded.

    Parameters
    ----------
    name : str
        Of the store, the first part of every identity.
    sources : tuple of ObservationSource
        One an observation, by obs_id and event type; those with errors are left out.
    table : astropy.table.Table
        One row a source, same order: the columns of the observation index, after ``IDENTITY``. ``meta`` has the
        index's header, with the reference of ``TSTART`` and ``TSTOP``.
    problems : tuple of Problem
        Found without opening the observations' files.
    rejected : mapping of int to mapping
        Rows of the observation index of those left out for an error, by obs_id: whether a selection asks for them can
        still be told.
    index : str
        File name of the HDU index; empty without one.
    """

    name: str
    sources: tuple[ObservationSource, ...]
    table: Table
    problems: tuple[Problem, ...] = ()
    rejected: Mapping[int, Mapping[str, HeaderValue]] = field(default_factory=dict)
    index: str = ""

    def take(self, rows: Sequence[int] | np.ndarray) -> DataStore:
        """The store with some of its observations, by row numbers."""
        rows = np.asarray(rows, dtype=np.int64)
        return replace(self, sources=tuple(self.sources[i] for i in rows), table=self.table[rows])


def open_datastore(
    paths: str | PathLike | Sequence[str | PathLike],
    *,
    index_hdu: int | None = None,
    roots: Sequence[str | PathLike] = (),
    strict: bool = False,
) -> DataStore:
    """Open a data store.

    Parameters
    ----------
    paths : path or sequence of paths
        A GADF folder with index files, an index file, event files or a folder of them, an archive; or several of these.
    index_hdu : int, optional
        Which index table to take, counted from 1, where a file holds several.
    roots : sequence of paths
        Folders outside the data store that an index may lead to.
    strict : bool
        Refuse a store whose index has errors or doubts; `check_datastore` finds those of the files.

    Returns
    -------
    DataStore

    Raises
    ------
    DataStoreError
        When nothing can be read, or anything is wrong under `strict`; one line a problem.
    """
    given = [paths] if isinstance(paths, str | PathLike) else list(paths)
    if not given:
        raise DataStoreError("no data store is given")
    stores: list[DataStore] = []
    bare: list[Path] = []
    unread: list[str] = []
    for path in given:
        try:
            store = _open_one(os.fspath(path), bare, index_hdu=index_hdu, roots=[Path(root) for root in roots])
        except DataStoreError as error:
            unread.append(str(error))
        else:
            stores.extend([store] if store is not None else [])
    if bare:
        from survey.events.gadf_bare import open_bare

        stores.append(open_bare(bare))
    if unread:
        raise DataStoreError("\n".join(unread))
    store = stores[0] if len(stores) == 1 else _join(stores)
    if strict and (lines := refused(store.problems)):
        raise DataStoreError("\n".join(lines))
    if not store.sources:
        lines = list(summary(store.problems)) or ["there is none"]
        raise DataStoreError("\n".join([f"{', '.join(map(str, given))}: no observation can be read", *lines]))
    return store


def _open_one(given: str, bare: list[Path], *, index_hdu: int | None, roots: Sequence[Path]) -> DataStore | None:
    """The store at one path; None when it is an event file, which goes to `bare`."""
    from survey.events.fits_file import FitsError, FitsFile
    from survey.events.gadf_bare import event_files, open_bare
    from survey.events.gadf_index import HDU_INDEX, find_index, is_index, open_indexed

    if not is_local(given):
        _refuse_files(given)
    if not is_local(given) or _is_zarr(given):
        from survey.events.archive import open_archive

        return open_archive(given)
    path = Path(os.path.abspath(os.path.expanduser(local_path(given))))
    if path.is_dir():
        index = find_index(path, HDU_INDEX)
        if index is not None:
            return open_indexed(index, index_hdu=index_hdu, roots=roots)
        files = event_files(path)
        if not files:
            raise DataStoreError(f"{given}: no {HDU_INDEX} and no FITS file in this folder")
        return open_bare(files, root=path)
    if not path.is_file():
        raise DataStoreError(f"{given}: there is no such file or folder, expected a data store")
    try:
        file = FitsFile.open(str(path))
    except FitsError as error:
        raise DataStoreError(f"{given}: {error}") from None
    if is_index(file):
        return open_indexed(path, index_hdu=index_hdu, roots=roots)
    bare.append(path)
    return None


def _is_zarr(path: str) -> bool:
    return any((local_path(path) / name).is_file() for name in ("zarr.json", ".zgroup"))


def _refuse_files(url: str) -> None:
    """FITS files are read by many small steps, for which an object store is no place; an archive is made for it."""
    names = [url, *listdir(url)]
    if any(name.endswith((".fits", ".fits.gz", ".fit", ".fit.gz")) for name in names):
        raise DataStoreError(
            f"{url}: found FITS files on an object store, where only archives are read; copy them to a disk, then: "
            "survey ingest FOLDER and the URL of the archive to write, such as s3://bucket/name.zarr"
        )


def _join(stores: Sequence[DataStore]) -> DataStore:
    from astropy.table import vstack

    sources = [source for store in stores for source in store.sources]
    problems = [problem for store in stores for problem in store.problems]
    repeated = sorted(name for name, count in Counter(source.identity for source in sources).items() if count > 1)
    if repeated:
        raise DataStoreError(
            f"{len(repeated)} observations are given twice, the first is {repeated[0]}: "
            "give a data store once, and rename a folder whose name another store has"
        )
    tables = [store.table for store in stores]
    joined = vstack(tables, metadata_conflicts="silent") if len(tables) > 1 else tables[0]
    # Stores may count time from different references: those of each are in the records of its sources.
    for key in TIME_KEYWORDS:
        joined.meta.pop(key, None)
    rejected = {obs_id: row for store in stores for obs_id, row in store.rejected.items()}
    indexes = {store.index for store in stores}
    return DataStore(
        "+".join(sorted({store.name for store in stores})),
        tuple(sources),
        joined,
        tuple(problems),
        rejected,
        indexes.pop() if len(indexes) == 1 else "",
    )


def store_name(folder: Path) -> str:
    """Name of a data store, from its folder."""
    from survey.events.gadf_index import safe

    return safe(folder.name) or "store"


def observation_table(sources: Sequence[ObservationSource], index: Table | None) -> Table:
    """The table of a store: a row a source.

    Parameters
    ----------
    sources : sequence of ObservationSource
        In order.
    index : astropy.table.Table or None
        The observation index; without it the sources' records make the table.

    Returns
    -------
    astropy.table.Table
    """
    identities = np.array([source.identity for source in sources], dtype=str)
    if index is not None:
        rows = {int(obs_id): i for i, obs_id in enumerate(index["OBS_ID"])}
        table = index[[rows[source.obs_id] for source in sources]] if sources else index[:0]
        table.add_column(identities, index=0, name="IDENTITY")
        return table
    records = [source.record for source in sources]
    names: dict[str, None] = {"OBS_ID": None}
    for record in records:
        names.update(dict.fromkeys(record))
    table = Table({"IDENTITY": identities})
    for name in names:
        values: list[Any] = [record.get(name) for record in records]
        table[name] = _column(values, sources) if name != "OBS_ID" else [source.obs_id for source in sources]
    return table


def _column(values: list[Any], sources: Sequence[ObservationSource]) -> np.ndarray:
    """Values of headers as a column: numbers where all are numbers, text otherwise."""
    present = [value for value in values if value is not None]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        if len(present) == len(values) and all(isinstance(value, int) for value in present):
            return np.array(values)
        return np.array([np.nan if value is None else float(value) for value in values])
    return np.array(["" if value is None else str(value) for value in values])


def check_datastore(
    store: DataStore,
    *,
    responses: Sequence[str] = RESPONSES,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Problem, ...]:
    """Read every observation of a store and return all problems there are.

    Parameters
    ----------
    store : DataStore
        Opened.
    responses : sequence of str
        Kinds of responses to read.
    progress : callable, optional
        Called with the number of observations read and their total.

    Returns
    -------
    tuple of Problem
        Those of the store, then those of its observations; `survey.events.problems.summary` makes lines of them.
    """
    return (*store.problems, *check_sources(store.sources, responses=responses, progress=progress))


def check_sources(
    sources: Sequence[ObservationSource],
    *,
    responses: Sequence[str] = RESPONSES,
    progress: Callable[[int, int], None] | None = None,
    trial: Callable[[ObservationSource, Observation], None] | None = None,
) -> tuple[Problem, ...]:
    """Read every one of some observations, uncut by time, and return all problems there are; see `check_datastore`.

    Parameters
    ----------
    sources : sequence of ObservationSource
        Observations.
    responses, progress
        See `check_datastore`.
    trial : callable, optional
        Called with every observation that can be read; what it rejects is a problem too.
    """
    from survey.events.gadf import read_gadf

    problems: list[Problem] = []
    for i, source in enumerate(sources):
        observation: Observation | None = None
        if source.kind == "gadf":
            observation, found = read_gadf(source, responses=responses)
            problems.extend(found)
        else:
            try:
                observation = source.within(()).load(responses=responses)
            except ObservationRejected as error:
                problems.extend(Problem("error", line, source.obs_id) for line in str(error).splitlines())
            else:
                for note in observation.notes:
                    severity: Severity = "doubt" if note in observation.doubts else "warning"
                    problems.append(Problem(severity, note, source.obs_id))
        if observation is not None and trial is not None:
            try:
                trial(source, observation)
            except ObservationRejected as error:
                problems.append(source.problem(error))
            except (ArithmeticError, LookupError, TypeError, ValueError) as error:
                words = f"cannot be prepared: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
                problems.append(Problem("error", words, source.obs_id))
        if progress is not None:
            progress(i + 1, len(sources))
    return tuple(problems)
