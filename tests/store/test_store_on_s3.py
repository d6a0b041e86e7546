"""Files and Zarr stores on an object store, which other processes write to at the same time."""

import json
import sys
from subprocess import run

import numpy as np
import zarr

from survey.store import urls

WRITE = """
import sys, numpy as np, zarr
from survey.store import urls
array = zarr.open_array(urls.open_store(sys.argv[1], "w"), mode="r+")
array[:4] = np.arange(4.0) + 1
urls.write_bytes(urls.join(sys.argv[1], "more", "note.json"), b"a longer note")
"""


async def listed(store):
    """All names in a store, as the end of a run and the removal of a dataset list them."""
    return [name async for name in store.list_prefix("")]


def test_what_another_process_writes_is_seen_at_once(bucket):
    url = f"{bucket}/x.zarr"
    store = urls.open_store(url, "w")
    array = zarr.create_array(store, shape=(8,), chunks=(2,), shards=(4,), dtype=float, fill_value=0.0)
    array[4:] = 7.0
    urls.write_bytes(urls.join(url, "more", "old.json"), b"1")
    names = zarr.core.sync.sync(listed(store))
    assert "c/1" in names
    assert "c/0" not in names
    assert urls.listdir(urls.join(url, "more")) == ["old.json"]
    assert not urls.exists(urls.join(url, "more", "note.json"))
    run([sys.executable, "-c", WRITE, url], check=True)
    np.testing.assert_array_equal(array[:], [1, 2, 3, 4, 7, 7, 7, 7])
    assert urls.exists(urls.join(url, "more", "note.json"))
    assert urls.listdir(urls.join(url, "more")) == ["note.json", "old.json"]
    assert urls.read_bytes(urls.join(url, "more", "note.json")) == b"a longer note"


def test_files_are_written_read_and_removed(bucket):
    url = f"{bucket}/folder"
    assert not urls.exists(url)
    assert urls.listdir(url) == []
    urls.write_bytes(urls.join(url, "a", "b.json"), json.dumps({"a": 1}).encode())
    urls.write_bytes(f"{url}2/c", b"beside it")
    assert urls.exists(url)
    assert urls.listdir(url) == ["a"]
    assert json.loads(urls.read_bytes(urls.join(url, "a", "b.json"))) == {"a": 1}
    urls.remove(url)
    urls.remove(url)
    assert not urls.exists(url)
    assert urls.read_bytes(f"{url}2/c") == b"beside it"
