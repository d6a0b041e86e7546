"""The Zarr store behind the URL of an archive."""

from __future__ import annotations

import os
from typing import Literal

from zarr.abc.store import Store
from zarr.storage import FsspecStore, LocalStore


def open_store(url: str | os.PathLike[str], mode: Literal["r", "r+", "w"]) -> Store:
    """The store at a path or at any fsspec URL; `mode` ``r`` refuses writing."""
    text = os.fspath(url)
    if text.startswith("file://"):
        text = text.removeprefix("file://")
    if "://" in text:
        return FsspecStore.from_url(text, read_only=mode == "r")
    return LocalStore(os.path.abspath(text), read_only=mode == "r")
