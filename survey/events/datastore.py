"""The data store: the observations that there are, their table, and everything that is the matter with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike

from astropy.table import Table

from survey.events.problems import DataStoreError, Problem, summary
from survey.events.source import ObservationSource


@dataclass(frozen=True, eq=False)
class DataStore:
    """Observations that can be loaded.

    Parameters
    ----------
    name : str
        Of the store, the first part of every identity.
    sources : tuple of ObservationSource
        One an observation, in the order of identities' obs_id and event type; those with errors are left out.
    table : astropy.table.Table
        One row a source, same order: the columns of the observation index, and ``IDENTITY``. ``meta`` is its header.
    problems : tuple of Problem
        Found without opening the observations' files.
    """

    name: str
    sources: tuple[ObservationSource, ...]
    table: Table
    problems: tuple[Problem, ...] = ()


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
        Refuse a store with errors.

    Returns
    -------
    DataStore

    Raises
    ------
    DataStoreError
        When nothing can be read, or anything is wrong under `strict`; one line a problem.
    """
    from survey.events.gadf_index import open_gadf

    store = open_gadf(paths, index_hdu=index_hdu, roots=roots)
    if strict and any(problem.severity == "error" for problem in store.problems):
        raise DataStoreError("\n".join(summary(store.problems)))
    return store
