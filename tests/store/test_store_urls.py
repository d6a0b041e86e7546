"""Files by URL: whole or not at all, on a disk and through fsspec."""

import os
from pathlib import Path

import pytest

from survey.store import urls


@pytest.fixture(params=["local", "file", "memory"])
def root(request, tmp_path) -> str:
    return {"local": str(tmp_path), "file": f"file://{tmp_path}", "memory": f"memory://{tmp_path.name}"}[request.param]


def test_files_are_written_read_listed_and_removed(root: str) -> None:
    url = urls.join(root, "a/", "b.bin")
    assert not urls.exists(url)
    assert urls.listdir(urls.join(root, "a")) == []
    urls.write_bytes(url, b"one")
    urls.write_bytes(url, b"two")
    assert urls.read_bytes(url) == b"two"
    urls.write_bytes(urls.join(root, "a", "c", "d.bin"), b"")
    assert urls.listdir(urls.join(root, "a")) == ["b.bin", "c"]
    assert urls.exists(urls.join(root, "a", "c"))
    urls.remove(urls.join(root, "a", "c"))
    urls.remove(url)
    urls.remove(url)
    assert not urls.exists(url)
    with pytest.raises(FileNotFoundError):
        urls.read_bytes(url)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch) -> None:
    target = tmp_path / "a.bin"
    urls.write_bytes(str(target), b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        urls.write_bytes(str(target), b"new")
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_urls_know_their_place() -> None:
    assert urls.is_local("/a/b")
    assert urls.is_local("file:///a/b")
    assert not urls.is_local("s3://a/b")
    assert urls.local_path("file:///a/b") == Path("/a/b")
    assert urls.parent("s3://a/b/c.zarr/") == "s3://a/b"
    assert urls.join("s3://a/", "/b/", "c") == "s3://a/b/c"
    with pytest.raises(ValueError, match="not a path"):
        urls.local_path("s3://a")


def test_stores_open_read_only_unless_asked(root: str) -> None:
    assert urls.open_store(root).read_only
    assert not urls.open_store(root, "w").read_only
