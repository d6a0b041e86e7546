"""Public data sets: what they consist of, and bringing them here with every file checked.

Observation files are checked by their sha256, which the package ships (`public/<name>.registry`). Index files are
checked by what they say, since their owners renew them. Nothing that is there and right is downloaded again, so a
second call goes on where the first one stopped; a file is seen under its name only when it is whole.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pooch

from survey.refusal import Refusal

TIMEOUT = 60.0
"""Seconds without an answer after which a download fails."""

INDEX_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "obs-index.fits.gz": ("OBS_ID", "RA_PNT", "DEC_PNT", "TSTART", "TSTOP"),
    "hdu-index.fits.gz": ("OBS_ID", "HDU_TYPE", "HDU_CLASS", "FILE_DIR", "FILE_NAME", "HDU_NAME"),
}


class DownloadError(Exception):
    """Files could not be brought, or are not what they should be; one line a file."""


@dataclass(frozen=True)
class PublicData:
    """A data set that can be downloaded.

    Parameters
    ----------
    name : str
        Name, and the folder that it is put in.
    url : str
        Address of its folder, ending in a slash.
    registry : mapping of str to str
        File below that folder: checksum, as ``sha256:...``.
    terms : str
        Terms of use and attribution, kept with the data and shown.
    """

    name: str
    url: str
    registry: Mapping[str, str]
    terms: str = ""


@dataclass(frozen=True)
class Fetched:
    """What a download did.

    Parameters
    ----------
    folder : pathlib.Path
        Where the data are.
    downloaded, kept : int
        Files brought now, and files that were there and right.
    not_fetched : tuple of str
        Files that the index lists and for which no checksum is known: they were left out.
    """

    folder: Path
    downloaded: int
    kept: int
    not_fetched: tuple[str, ...]


def public_data() -> dict[str, PublicData]:
    """The data sets known, by name."""
    folder = files("survey.events").joinpath("public")
    lines = folder.joinpath("hess-dl3-dr1.registry").read_text(encoding="utf-8").splitlines()
    hess = PublicData(
        name="hess-dl3-dr1",
        url="https://raw.githubusercontent.com/gammapy/gammapy-data/main/hess-dl3-dr1/",
        registry=dict(line.split() for line in lines),
        terms=folder.joinpath("hess-dl3-dr1.terms").read_text(encoding="utf-8"),
    )
    return {hess.name: hess}


def fetch(
    data: PublicData,
    folder: str | os.PathLike,
    *,
    url: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Fetched:
    """Bring a data set into a folder.

    Parameters
    ----------
    data : PublicData
        What to bring.
    folder : path
        Where to put it; made if need be.
    url : str, optional
        Address to take it from instead, such as a mirror.
    progress : callable, optional
        Called with the number of files settled and of all files.

    Raises
    ------
    DownloadError
        After all files were tried, naming each that could not be had. What could be had is there.
    """
    pooch.get_logger().setLevel(logging.WARNING)
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    base = (url or data.url).rstrip("/") + "/"
    if data.terms:
        (target / "README.txt").write_text(data.terms, encoding="utf-8")
    problems: list[str] = []
    counts = {True: 0, False: 0}
    wanted = [*INDEX_COLUMNS, *data.registry]
    for number, name in enumerate(wanted):
        if progress:
            progress(number, len(wanted))
        try:
            counts[_bring(data, name, base, target)] += 1
        except (OSError, ValueError) as error:  # requests raises OSErrors, pooch a ValueError for a wrong checksum
            problems.append(f"{base}{name}: {' '.join(str(error).split())}")
            if isinstance(error, ConnectionError) or "ConnectionError" in type(error).__name__:
                counts_of_files = f"{sum(counts.values())} of {len(wanted)} files are there"
                raise DownloadError(
                    f"{base}: cannot be reached ({problems[-1][-120:]}); {counts_of_files}; look at the network, or give "
                    "another address with --url"
                ) from error
    if progress:
        progress(len(wanted), len(wanted))
    if problems:
        raise DownloadError("\n".join([*problems, f"{len(problems)} of {len(wanted)} files are missing; try again"]))
    if missing := _not_in_observation_index(data, target):
        raise DownloadError(f"{base}obs-index.fits.gz: does not list the observations {', '.join(map(str, missing))}")
    return Fetched(target, counts[True], counts[False], _not_fetched(data, target))


def _bring(data: PublicData, name: str, base: str, target: Path) -> bool:
    """Whether a file had to be downloaded; it is there and right afterwards."""
    path = target / name
    checksum = data.registry.get(name)
    if path.exists() and (pooch.hashes.hash_matches(str(path), checksum) if checksum else not _faults(data, path)):
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target, prefix=".download-") as scratch:
        got = Path(
            pooch.retrieve(
                base + name,
                known_hash=checksum,
                fname=path.name,
                path=scratch,
                downloader=pooch.HTTPDownloader(timeout=TIMEOUT),
            )
        )
        if not checksum and (faults := _faults(data, got)):
            raise ValueError(faults)
        os.replace(got, path)
    return True


def _faults(data: PublicData, path: Path) -> str:
    """What is wrong with an index file; empty if nothing."""
    from astropy.io import fits

    try:
        with fits.open(path) as hdus:
            table = hdus[1].data
            columns, listed = set(table.names), _listed(table)
    except (OSError, IndexError, TypeError, ValueError, AttributeError) as error:
        return f"is not a readable index table: {' '.join(str(error).split())}"
    missing = [name for name in INDEX_COLUMNS[path.name] if name not in columns]
    if missing:
        return f"has no columns {', '.join(missing)}"
    if path.name.startswith("hdu-index") and (absent := sorted(set(data.registry) - listed)):
        return f"does not list {len(absent)} of {len(data.registry)} files, such as {absent[0]}"
    return ""


def _listed(table: object) -> set[str]:
    names = table.names  # type: ignore[attr-defined]
    if "FILE_NAME" not in names or "FILE_DIR" not in names:
        return set()
    pairs = zip(table["FILE_DIR"], table["FILE_NAME"], strict=True)  # type: ignore[index]
    return {_path(folder, name) for folder, name in pairs}


def _not_fetched(data: PublicData, target: Path) -> tuple[str, ...]:
    from astropy.io import fits

    with fits.open(target / "hdu-index.fits.gz") as hdus:
        return tuple(sorted(_listed(hdus[1].data) - set(data.registry)))


def _not_in_observation_index(data: PublicData, target: Path) -> list[int]:
    """Observations whose files were brought, and which the observation index lacks."""
    from astropy.io import fits

    with fits.open(target / "hdu-index.fits.gz") as hdus:
        table = hdus[1].data
        brought = {int(row["OBS_ID"]) for row in table if _path(row["FILE_DIR"], row["FILE_NAME"]) in data.registry}
    with fits.open(target / "obs-index.fits.gz") as hdus:
        return sorted(brought - {int(obs_id) for obs_id in hdus[1].data["OBS_ID"]})


def _path(folder: object, name: object) -> str:
    return "/".join(part for part in (str(folder).strip().strip("/"), str(name).strip()) if part)


def fetch_to_terminal(
    name: str, *, to: str | None = None, url: str | None = None, known: Mapping[str, PublicData] | None = None
) -> Iterator[str]:
    """Bring a data set, with a progress bar on a terminal; yields the lines that a user should read.

    Parameters
    ----------
    name : str
        Name of a data set.
    to : str, optional
        Folder that the data set's own folder is put in; ``$SURVEY_DATA`` or ``./data`` by default.
    url : str, optional
        Another address.
    known : mapping, optional
        Data sets to choose from instead of `public_data`.

    Raises
    ------
    Refusal
        For an unknown name.
    """
    from rich.console import Console
    from rich.progress import Progress

    known = public_data() if known is None else known
    if name not in known:
        raise Refusal(f"there is no public data set {name!r}; known: {', '.join(sorted(known))}")
    data = known[name]
    parent = Path(to or os.environ.get("SURVEY_DATA") or "data").expanduser().absolute()
    yield from data.terms.splitlines()
    yield ""
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(name)
        result = fetch(
            data,
            parent / name,
            url=url,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    yield f"{result.folder}: {result.downloaded} files downloaded, {result.kept} were there; all of them checked"
    if result.not_fetched:
        yield (
            f"{len(result.not_fetched)} files that the index lists were not fetched, since no checksum of them is "
            "known here; a run sets their observations aside"
        )
    yield f"to use it: export SURVEY_DATA={parent}"
