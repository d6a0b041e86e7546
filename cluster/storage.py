"""Small files under one URL: on a local disk with atomic replacement, on anything else through fsspec.

Holds bytes only; what they mean is `workspace`'s.
"""

from __future__ import annotations

import contextlib
import functools
import os
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from cluster.object_store import is_precondition, open_filesystem

P = ParamSpec("P")
R = TypeVar("R")


class Folder(ABC):
    """A folder of small files, named by relative paths with forward slashes."""

    url: str
    """The folder's address, as given."""

    @abstractmethod
    def write(self, path: str, data: bytes, *, durable: bool = True) -> None:
        """Put a file there, whole or not at all; `durable` survives a power cut too."""

    @abstractmethod
    def read(self, path: str) -> bytes | None:
        """The file's bytes, None when there is none."""

    @abstractmethod
    def remove(self, path: str) -> None:
        """Remove a file; none there is fine."""

    @abstractmethod
    def age(self, path: str) -> float:
        """Seconds since a file was written, by the storage's own clock; infinite when there is none."""

    @abstractmethod
    def read_all(self, folder: str) -> Iterator[bytes]:
        """The bytes of all ``.json`` files below `folder`, listed once."""

    @abstractmethod
    def clear(self, folder: str) -> None:
        """Remove all files below `folder`."""


class LocalFolder(Folder):
    """A folder on a file system."""

    def __init__(self, url: str, root: Path) -> None:
        self.url = url
        self.root = root
        self._made: set[str] = set()

    def _path(self, path: str) -> str:
        return f"{self.root}/{path}"

    def write(self, path: str, data: bytes, *, durable: bool = True) -> None:
        target = self._path(path)
        parent = os.path.dirname(target)
        if parent not in self._made:
            os.makedirs(parent, exist_ok=True)
            self._made.add(parent)
        partial = f"{target}.{uuid.uuid4().hex[:12]}.partial"
        try:
            try:
                file = open(partial, "wb")
            except FileNotFoundError:  # somebody removed the folder since it was made
                os.makedirs(parent, exist_ok=True)
                file = open(partial, "wb")
            with file:
                file.write(data)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(partial, target)
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.unlink(partial)
            if isinstance(error, OSError) and error.filename is None:
                error.filename = target  # write() and fsync() leave it out, and a message needs it
            raise

    def read(self, path: str) -> bytes | None:
        try:
            with open(self._path(path), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def remove(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path(path))

    def age(self, path: str) -> float:
        probe = f"{path}.{uuid.uuid4().hex[:12]}"
        try:
            self.write(probe, b"", durable=False)
            return os.stat(self._path(probe)).st_mtime - os.stat(self._path(path)).st_mtime
        except FileNotFoundError:
            return float("inf")
        finally:
            self.remove(probe)

    def _files(self, folder: str) -> Iterator[str]:
        pending = [self._path(folder)]
        while pending:
            try:
                entries = os.scandir(pending.pop())
            except FileNotFoundError:
                continue
            with entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    else:
                        yield entry.path

    def read_all(self, folder: str) -> Iterator[bytes]:
        for path in self._files(folder):
            if path.endswith(".json"):
                with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
                    yield file.read()

    def clear(self, folder: str) -> None:
        for path in list(self._files(folder)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def _as_os_errors(method: Callable[P, R]) -> Callable[P, R]:
    """Let a method raise `OSError` where the client of a store raises something of its own."""

    @functools.wraps(method)
    def wrapped(*given: P.args, **named: P.kwargs) -> R:
        try:
            return method(*given, **named)
        except OSError:
            raise
        except Exception as error:
            raise OSError(str(error)) from error

    return wrapped


class RemoteFolder(Folder):
    """A folder of an object store, where one put is atomic. What its clients raise comes as `OSError`."""

    def __init__(self, url: str, filesystem: Any, root: str) -> None:
        self.url = url
        self.filesystem = filesystem
        self.root = root.rstrip("/")

    def _path(self, path: str) -> str:
        return f"{self.root}/{path}"

    @_as_os_errors
    def write(self, path: str, data: bytes, *, durable: bool = True) -> None:
        self.filesystem.pipe_file(self._path(path), data)

    @_as_os_errors
    def swap(self, path: str, data: bytes, found: bytes | None) -> bool:
        """Put a file there in place of what was found, unless somebody else was quicker.

        On S3 the store itself decides, by conditional puts. Other stores decide so where nothing was found; what is
        there they put over, whoever else does so at the same time.

        Parameters
        ----------
        path : str
            Of the file.
        data : bytes
            Its new content.
        found : bytes or None
            What was read there; None for nothing.

        Returns
        -------
        bool
            False when there is something else by now.
        """
        place = self._path(path)
        try:
            condition = {"mode": "create"}
            if found is not None:
                tag = self.filesystem.info(place).get("ETag")
                condition = {"IfMatch": tag} if tag else {}
                if self.read(path) != found:
                    return False
            self.filesystem.pipe_file(place, data, **condition)
        except (FileExistsError, FileNotFoundError):
            # Ours it is all the same when the answer to the put was lost and the put tried again.
            return self.read(path) == data
        except OSError as error:
            if not is_precondition(error):
                raise
            return self.read(path) == data
        return True

    @_as_os_errors
    def read(self, path: str) -> bytes | None:
        try:
            return self.filesystem.cat_file(self._path(path))
        except FileNotFoundError:
            return None

    @_as_os_errors
    def remove(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.filesystem.rm_file(self._path(path))

    @_as_os_errors
    def age(self, path: str) -> float:
        probe = f"{path}.{uuid.uuid4().hex[:12]}"
        try:
            self.write(probe, b"-")
            now, then = (self.filesystem.modified(self._path(name)) for name in (probe, path))
            return (now - then).total_seconds()
        except FileNotFoundError:
            return float("inf")
        finally:
            self.remove(probe)

    @_as_os_errors
    def _files(self, folder: str) -> list[str]:
        try:
            return self.filesystem.find(self._path(folder))
        except FileNotFoundError:
            return []

    def read_all(self, folder: str) -> Iterator[bytes]:
        paths = [path for path in self._files(folder) if path.endswith(".json")]
        for start in range(0, len(paths), 1000):
            yield from self._contents(paths[start : start + 1000])

    @_as_os_errors
    def _contents(self, paths: list[str]) -> list[bytes]:
        """What files hold, without those that were removed since they were listed."""
        found = list(self.filesystem.cat(paths, on_error="return").values())
        for content in found:
            if isinstance(content, Exception) and not isinstance(content, FileNotFoundError):
                raise content
        return [content for content in found if isinstance(content, bytes)]

    @_as_os_errors
    def clear(self, folder: str) -> None:
        for path in self._files(folder):
            with contextlib.suppress(FileNotFoundError):
                self.filesystem.rm_file(path)


def open_folder(url: str | os.PathLike[str]) -> Folder:
    """The folder at a URL; a plain path or ``file://`` is local. Nothing is made until something is written."""
    text = os.fspath(url)
    if text.startswith("file://"):
        return LocalFolder(text, Path(text.removeprefix("file://")).absolute())
    if "://" not in text:
        return LocalFolder(text, Path(text).absolute())
    filesystem, root = open_filesystem(text)
    return RemoteFolder(text, filesystem, root)
