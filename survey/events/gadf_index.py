"""The index files of GADF: which observations there are, and in which HDU of which file their parts lie.

Files are looked for, not opened: a store has a hundred thousand of them. `survey.events.gadf_bare` opens stores without
index files.
"""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from survey.events.datastore import DataStore, observation_table, store_name
from survey.events.fits_file import FitsError, FitsFile, Hdu, HeaderValue
from survey.events.fits_table import BinaryTable
from survey.events.gadf_bare import SUFFIXES, records_of_events
from survey.events.headers import TIME_KEYWORDS, Keywords
from survey.events.problems import DataStoreError, Report
from survey.events.source import HduLocation, ObservationSource, record_json

HDU_INDEX, OBS_INDEX = "hdu-index", "obs-index"
TYPES = ("events", "gti", "pointing", "aeff", "edisp", "psf", "bkg", "rad_max")
REQUIRED = ("OBS_ID", "HDU_TYPE", "HDU_CLASS", "FILE_NAME", "HDU_NAME")
# Header keywords of the index that describe every observation.
COMMON = ("GEOLON", "GEOLAT", "ALTITUDE", *TIME_KEYWORDS)
_STRUCTURE = re.compile(r"(XTENSION|BITPIX|[PG]COUNT|TFIELDS|NAXIS\d?|T(TYPE|FORM|UNIT|DIM|DISP|NULL|SCAL|ZERO)\d+)")


def find_index(folder: Path, stem: str) -> Path | None:
    """The index file of a folder: ``<stem>.fits.gz``, ``<stem>.fits``, or the only file that begins like that."""
    for suffix in SUFFIXES:
        if (folder / f"{stem}{suffix}").is_file():
            return folder / f"{stem}{suffix}"
    similar = sorted(path for path in folder.glob(f"{stem}*") if path.name.lower().endswith(SUFFIXES))
    return similar[0] if len(similar) == 1 else None


def is_index(file: FitsFile) -> bool:
    """Whether a file has an HDU index."""
    return any("HDU_TYPE" in _column_names(hdu) and "OBS_ID" in _column_names(hdu) for hdu in file.tables)


def open_indexed(path: Path, *, index_hdu: int | None, roots: Sequence[Path]) -> DataStore:
    """Open a data store that has an HDU index.

    Parameters
    ----------
    path : pathlib.Path
        The HDU index.
    index_hdu : int or None
        Which table of it, counted from 1, where there are several.
    roots : sequence of pathlib.Path
        Folders outside the store that it may lead to.

    Returns
    -------
    DataStore

    Raises
    ------
    DataStoreError
        When the index cannot be read.
    """
    folder = path.parent
    report = Report(file=path.name)
    file = _open(path)
    candidates = [hdu for hdu in file.tables if "HDU_TYPE" in _column_names(hdu) and "OBS_ID" in _column_names(hdu)]
    hdu = _choose(path, file, candidates, index_hdu, ", ".join(REQUIRED))
    _check_class(hdu, "HDU", report.at(hdu=hdu.label))
    try:
        rows = _read_rows(BinaryTable(hdu))
    except FitsError as error:
        raise DataStoreError(f"{path} [{hdu.label}]: {error}") from None
    base = _base(folder, hdu, report)
    allowed = [base, folder, *roots]
    obs_path = find_index(folder, path.name.split(".")[0].replace("hdu", "obs", 1)) or find_index(folder, OBS_INDEX)
    table, records = _observation_records(obs_path, index_hdu, report)
    sources: list[ObservationSource] = []
    shared: dict[HduLocation, HduLocation] = {}  # one response is often that of many observations
    name = store_name(folder)
    files = _Files(base, folder, allowed)
    root = str(files.root)
    groups = _groups(rows)
    doubtful = {problem.obs_id for problem in report.errors}
    for (obs_id, event_type), members in groups.items():
        here = report.at(obs_id=obs_id)
        if table is not None and obs_id not in records:
            here.warning("is in the HDU index but not in the observation index: left out")
            continue
        if obs_id in doubtful:
            continue
        before = len(report.errors)
        locations = tuple(shared.setdefault(one, one) for one in _locations(rows, members, files, here))
        if len(report.errors) > before:
            continue
        identity = "-".join(part for part in (name, str(obs_id), event_type) if part)
        sources.append(ObservationSource(identity, obs_id, "gadf", root, locations, records.get(obs_id, "{}")))
    listed = {obs_id for obs_id, _ in groups}
    for obs_id in records:
        if obs_id not in listed:
            report.at(obs_id=obs_id).error("is in the observation index, but has no HDU in the HDU index")
    sources.sort(key=lambda source: (source.obs_id, source.identity))
    if table is None:
        sources = records_of_events(sources)
    good = {source.obs_id for source in sources}
    rejected = {obs_id: json.loads(record) for obs_id, record in records.items() if obs_id not in good}
    return DataStore(
        name, tuple(sources), observation_table(sources, table), tuple(report.problems), rejected, path.name
    )


def _open(path: Path) -> FitsFile:
    try:
        file = FitsFile.open(str(path))
    except FitsError as error:
        raise DataStoreError(f"{path}: {error}") from None
    if file.broken:
        raise DataStoreError(f"{path}: {file.broken}")
    return file


def _column_names(hdu: Hdu) -> set[str]:
    return {str(value).strip().upper() for key, value in hdu.header.items() if key.startswith("TTYPE")}


def _choose(path: Path, file: FitsFile, tables: Sequence[Hdu], number: int | None, columns: str) -> Hdu:
    if not tables:
        lost = [
            f" ([{hdu.label}] {key} is empty)"
            for hdu in file.tables
            for key, value in hdu.header.items()
            if key.startswith("TTYPE") and not str(value).strip()
        ]
        raise DataStoreError(f"{path}: has no index table{''.join(lost[:1])}, expected the columns {columns}")
    if len(tables) == 1 and number in (None, 1):
        return tables[0]
    many = f"{path}: file has {len(tables)} index tables, choose hdu=1..{len(tables)} (observations.index_hdu)"
    if number is None:
        raise DataStoreError(many)
    if not 1 <= number <= len(tables):
        raise DataStoreError(f"{many}, not {number}")
    return tables[number - 1]


def _check_class(hdu: Hdu, expected: str, report: Report) -> None:
    keywords = Keywords(hdu.header, report)
    for keyword, right in (("EXTNAME", f"{expected}_INDEX"), ("HDUCLAS2", expected)):
        found = keywords.text(keyword).upper()
        other = "OBS" if expected == "HDU" else "HDU"
        if found in (other, f"{other}_INDEX"):
            words = f"is {found!r}, but the columns are those of the {expected} index and are trusted"
            report.warning(words, keyword=keyword, expected=right)
    if isinstance(hdu.header.get("HDUVERS"), float):
        report.warning(f"is a number, read as {keywords.text('HDUVERS')!r}", keyword="HDUVERS")


def _check_column_names(table: BinaryTable) -> None:
    """A name that is lost is that of a column that may be needed."""
    if "" in table.columns:
        raise FitsError(f"TTYPE{table.columns[''].number} is empty, expected the name of a column")


def _read_rows(table: BinaryTable) -> dict[str, list[Any]]:
    _check_column_names(table)
    missing = [name for name in REQUIRED if name not in table]
    if missing:
        raise FitsError(f"has no column {', '.join(missing)}, only {', '.join(table.columns)}")
    rows: dict[str, list[Any]] = {}
    for name in (*REQUIRED, "FILE_DIR", "MD5", "EVENT_TYPE", "EVENT_CLASS"):
        column = table.find(name)
        if column is None or column.code == "X":
            rows[name] = [""] * table.length
            continue
        values = table.read(column)
        if name == "OBS_ID":
            if values.dtype.kind not in "iu" or values.ndim != 1:
                raise FitsError(f"OBS_ID has elements of type {values.dtype}, expected whole numbers")
            rows[name] = values.tolist()
        else:
            # few differ, but for names of files and checksums
            rows[name] = [sys.intern(str(value).strip()) for value in values.tolist()]
    return rows


def _base(folder: Path, hdu: Hdu, report: Report) -> Path:
    given = str(hdu.header.get("BASE_DIR", "")).strip()
    if not given:
        return folder
    base = folder / given
    if base.is_dir():
        return base
    report.at(hdu=hdu.label).warning(f"{given!r} is no folder here, the index's own is used", keyword="BASE_DIR")
    return folder


def _groups(rows: dict[str, list[Any]]) -> dict[tuple[int, str], list[int]]:
    """Rows of every observation and event type, in a fixed order."""
    groups: defaultdict[tuple[int, str], list[int]] = defaultdict(list)
    for i, (obs_id, kind, family) in enumerate(
        zip(rows["OBS_ID"], rows["EVENT_TYPE"], rows["EVENT_CLASS"], strict=True)
    ):
        groups[obs_id, safe(f"{family}{kind}")].append(i)
    return dict(sorted(groups.items()))


def safe(text: str) -> str:
    """A text as part of a file name."""
    return "".join(letter if letter.isalnum() or letter in "._+-" else "_" for letter in text)


class _Files:
    """Looks for the files of an index, each once, and refuses those outside the data store."""

    def __init__(self, base: Path, folder: Path, allowed: Sequence[Path]) -> None:
        self.base = base
        # Paths are kept relative to the store's folder, or to BASE_DIR where the files lie there.
        self.root = folder if base == folder or folder in base.parents else base
        self.allowed = [os.path.realpath(path) for path in allowed]
        self.seen: dict[tuple[str, str], tuple[str, str]] = {}
        self.folders: dict[str, str] = {}

    def find(self, file_dir: str, file_name: str) -> tuple[str, str]:
        """Path relative to the root, and what is wrong with it."""
        key = (file_dir, file_name)
        if key not in self.seen:
            self.seen[key] = self._find(file_dir, file_name)
        return self.seen[key]

    def _find(self, file_dir: str, file_name: str) -> tuple[str, str]:
        named = "/".join(part for part in (file_dir.rstrip("/"), file_name) if part and part != ".")
        named = named.removeprefix("./")
        if not file_name or "\0" in named:
            return named, "has no file name"
        path = os.path.normpath(os.path.join(self.base, file_dir, file_name))
        folder = os.path.dirname(path)
        if folder not in self.folders:
            self.folders[folder] = os.path.realpath(folder)
        real = os.path.join(self.folders[folder], os.path.basename(path))
        status = _status(real)
        if status is None and not real.endswith(".gz"):
            status = _status(f"{real}.gz")
            if status is not None:
                real, path = f"{real}.gz", f"{path}.gz"
        if status is not None and stat.S_ISLNK(status.st_mode):
            real = os.path.realpath(real)
            status = _status(real)
        if not any(real == root or real.startswith(root.rstrip(os.sep) + os.sep) for root in self.allowed):
            return named, "leads outside the data store"
        if status is None:
            return named, "does not exist"
        if not stat.S_ISREG(status.st_mode):
            return named, "is not a file"
        return os.path.relpath(path, self.root).replace(os.sep, "/"), ""


def _status(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (OSError, ValueError):
        return None


def _locations(
    rows: dict[str, list[Any]], members: Sequence[int], files: _Files, report: Report
) -> tuple[HduLocation, ...]:
    found: dict[str, HduLocation] = {}
    for i in members:
        kind = sys.intern(rows["HDU_TYPE"][i].lower())
        if kind not in TYPES:
            report.warning(f"HDU_TYPE {kind!r} is not known and was ignored")
            continue
        file, wrong = files.find(rows["FILE_DIR"][i], rows["FILE_NAME"][i])
        if wrong:
            report.at(file=file).error(
                wrong,
                expected="a path inside it, or below observations.roots" if "outside" in wrong else None,
            )
            continue
        location = HduLocation(
            kind, sys.intern(rows["HDU_CLASS"][i].lower()), file, rows["HDU_NAME"][i], rows["MD5"][i]
        )
        if kind in found:
            first = found[kind]
            report.error(f"duplicate {kind}: {first.file} [{first.hdu}] and {location.file} [{location.hdu}]")
        else:
            found[kind] = location
    for kind in ("events", "gti"):
        if kind not in found and not any(rows["HDU_TYPE"][i].lower() == kind for i in members):
            report.error(f"has no {kind} HDU")
    return tuple(sorted(found.values()))


def _observation_records(
    path: Path | None, index_hdu: int | None, report: Report
) -> tuple[Table | None, dict[int, str]]:
    """The observation index: its table, and its rows as JSON, after the keywords of its header that all observations share."""
    if path is None:
        report.warning("there is no observation index beside it, its columns are read from the event files")
        return None, {}
    file = _open(path)
    candidates = [hdu for hdu in file.tables if "OBS_ID" in _column_names(hdu) and "HDU_TYPE" not in _column_names(hdu)]
    hdu = _choose(path, file, candidates, index_hdu if len(candidates) > 1 else None, "OBS_ID and others")
    here = report.at(file=path.name, hdu=hdu.label)
    _check_class(hdu, "OBS", here)
    try:
        table = read_table(BinaryTable(hdu))
    except FitsError as error:
        raise DataStoreError(f"{path} [{hdu.label}]: {error}") from None
    if table["OBS_ID"].dtype.kind not in "iu":
        raise DataStoreError(f"{path} [{hdu.label}]: OBS_ID has elements of type {table['OBS_ID'].dtype}")
    table.meta.update({key: value for key, value in hdu.header.items() if not _STRUCTURE.fullmatch(key)})
    for name in ("TSTART", "TSTOP"):
        if name in table.colnames and table[name].dtype == np.float32:
            here.warning("is float32: good to half a minute only", keyword=name)
    header = {key: hdu.header[key] for key in COMMON if key in hdu.header}
    records: dict[int, str] = {}
    for row in plain_rows(table):
        record = record_json({**header, **row})
        obs_id = int(row["OBS_ID"])
        first = records.setdefault(obs_id, record)
        if first is record:
            continue
        doubled = report.at(file=path.name, obs_id=obs_id)
        if first == record:
            doubled.warning("has two equal rows in the observation index, the first is taken")
        else:
            doubled.error("has two rows in the observation index, and they differ", expected="one")
    return table, records


def read_table(table: BinaryTable) -> Table:
    """The scalar columns of a table; OBS_ID must be there."""
    from survey.events import units

    _check_column_names(table)
    result = Table()
    for column in table.columns.values():
        if column.code in "PQXCM" or (column.repeat != 1 and column.code != "A"):
            continue
        values = table.read(column)
        result[column.name] = np.array(values.tolist(), dtype=str) if column.code == "A" else values
        result[column.name].unit = units.normalise(column.unit) or None
    if "OBS_ID" not in result.colnames:
        raise FitsError("has no column OBS_ID with one number a row")
    return result


def plain_rows(table: Table) -> Iterator[dict[str, HeaderValue]]:
    """Rows of a table as plain values; those that are no number are left out."""
    names = table.colnames
    columns = [np.asarray(table[name]).tolist() for name in names]
    for values in zip(*columns, strict=True):
        yield {
            name: value
            for name, value in zip(names, values, strict=True)
            if not (isinstance(value, float) and not np.isfinite(value))
        }
