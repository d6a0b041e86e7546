"""Files and Zarr stores by URL: plain paths and ``file://`` on a disk, everything else through fsspec.

A file on a disk appears whole or not at all: it is written beside its place, synced and moved there. An object store
puts objects whole by itself; where it is, and with which key it is used, its own environment variables and fsspec's
configuration say.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import uuid
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

if TYPE_CHECKING:
    from zarr.abc.store import Store


def is_local(url: str) -> bool:
    """Whether a URL is a path on this machine."""
    return "://" not in url or url.startswith("file://")


def local_path(url: str) -> Path:
    """The path of a local URL."""
    if not is_local(url):
        raise ValueError(f"{url} is not a path on this machine")
    return Path(url.removeprefix("file://"))


def join(url: str, *parts: str) -> str:
    """A URL below another one."""
    return "/".join((url.rstrip("/"), *(part.strip("/") for part in parts)))


def parent(url: str) -> str:
    """The URL above, without a trailing slash."""
    return url.rstrip("/").rsplit("/", 1)[0]


def _options(url: str) -> dict[str, Any]:
    """How file systems are opened: `cluster.object_store` opens them alike.

    A listing must not be remembered, because other processes write there: an object that is not in it counts as absent,
    which to Zarr is a chunk of zeros. On S3, an object is read by one request, not by one for its size and another.
    """
    return {"use_listings_cache": False, **({"max_concurrency": 1} if url.startswith(("s3://", "s3a://")) else {})}


def _filesystem(url: str) -> tuple[Any, str]:
    import fsspec

    return fsspec.core.url_to_fs(url, **_options(url))


def exists(url: str) -> bool:
    """Whether there is a file or folder."""
    if is_local(url):
        return local_path(url).exists()
    filesystem, path = _filesystem(url)
    return bool(filesystem.exists(path))


def listdir(url: str) -> list[str]:
    """Names in a folder, sorted; none where there is no folder."""
    if is_local(url):
        folder = local_path(url)
        return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    filesystem, path = _filesystem(url)
    try:
        found = filesystem.ls(path, detail=False)
    except FileNotFoundError:
        return []
    names = {str(name).rstrip("/").rsplit("/", 1)[-1] for name in found if str(name).rstrip("/") != path.rstrip("/")}
    return sorted(names)


def read_bytes(url: str) -> bytes:
    """Content of a file; FileNotFoundError where there is none."""
    if is_local(url):
        return local_path(url).read_bytes()
    filesystem, path = _filesystem(url)
    content: bytes = filesystem.cat_file(path)
    return content


@contextlib.contextmanager
def reading(url: str) -> Iterator[io.BufferedIOBase]:
    """A file to read parts of, in any order; an object comes whole, because every request to its store takes long."""
    if not is_local(url):
        yield io.BytesIO(read_bytes(url))
        return
    with local_path(url).open("rb") as stream:
        yield stream


def write_bytes(url: str, content: bytes) -> None:
    """Write a file whole or not at all, making the folders above it."""
    if not is_local(url):
        filesystem, path = _filesystem(url)
        filesystem.pipe_file(path, content)
        return
    with writing(url) as stream:
        stream.write(content)


@contextlib.contextmanager
def writing(url: str) -> Iterator[BinaryIO]:
    """A file to write to, in any order, that is there whole when the block ends, and not at all when it is left otherwise."""
    if not is_local(url):
        buffer = io.BytesIO()
        yield buffer
        write_bytes(url, buffer.getvalue())
        return
    target = local_path(url)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}{PARTIAL}")
    try:
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(target)  # write() and fsync() leave it out, and a message needs it
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a loss of power, where the file system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


PARTIAL = ".partial"
"""How the names of files end that are being written; here, in Zarr's own stores, and in the records of a run."""


def is_leftover(name: str, owned: Collection[str]) -> bool:
    """Whether a name is that of a file that `write_bytes` began for one of `owned` and a kill broke off."""
    return name.startswith(".") and name.endswith(PARTIAL) and name[1:].rsplit(".", 2)[0] in owned


def sweep(url: str, owned: Collection[str]) -> None:
    """Remove what processes that were killed left half written; while nobody else writes there.

    Parameters
    ----------
    url : str
        A folder.
    owned : collection of str
        Names of the files and folders in it that are looked at.
    """
    if not is_local(url):
        _abort_uploads(url, owned)
        return
    for name in listdir(url):
        if is_leftover(name, owned):
            remove(join(url, name))
        elif name in owned:
            for folder, _, names in os.walk(local_path(url) / name):
                for partial in names:
                    if partial.endswith(PARTIAL):
                        Path(folder, partial).unlink(missing_ok=True)


def _abort_uploads(url: str, owned: Collection[str]) -> None:
    """Large objects go to S3 in parts; parts that were never made an object are listed nowhere, but paid for."""
    filesystem, path = _filesystem(url)
    if not hasattr(filesystem, "call_s3"):
        return
    bucket, _, prefix = path.strip("/").partition("/")
    prefix = f"{prefix}/" if prefix else ""
    try:
        found = filesystem.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=prefix)
        for upload in found.get("Uploads", ()):
            if upload["Key"].removeprefix(prefix).partition("/")[0] in owned:
                filesystem.call_s3(
                    "abort_multipart_upload", Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                )
    except OSError:
        return  # a key that may not list or end uploads still gives a whole run


def remove(url: str) -> None:
    """Remove a file, or a folder with all that is in it; nothing happens where there is none."""
    if is_local(url):
        target = local_path(url)
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)
        return
    filesystem, path = _filesystem(url)
    if filesystem.exists(path):
        filesystem.rm(path, recursive=True)


def open_store(url: str, mode: Literal["r", "w"] = "r") -> Store:
    """A Zarr store.

    Parameters
    ----------
    url : str
        Folder or fsspec URL.
    mode : str
        ``r``: to read only; ``w``: to read and write (nothing is removed).
    """
    from zarr.storage import FsspecStore, LocalStore

    if is_local(url):
        return LocalStore(local_path(url), read_only=mode == "r")
    return FsspecStore.from_url(url, _options(url), read_only=mode == "r")
