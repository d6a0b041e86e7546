"""Whole chunks of sharded arrays, decoded once and kept for a while.

Neighbouring observations share chunks of events, and many observations share responses, so a small cache saves most of
the reading. On a local disk a chunk is read straight from its shard: Zarr's own path costs two milliseconds a call,
which for the dozen arrays of an observation is more than all the decoding.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs.zstd import Zstd
from numpy.typing import NDArray
from zarr.storage import LocalStore

CACHE_BYTES = 1 << 26
_MISSING = 2**64 - 1
_ENTRY = 16
_CHECKSUM = 4


class ChunkCache:
    """The chunks used last, up to a number of bytes; shared by the arrays of an archive, safe between threads."""

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self.limit = limit
        self.size = 0
        self._chunks: OrderedDict[tuple[str, int], NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[str, int]) -> NDArray[Any] | None:
        """The chunk, or None."""
        with self._lock:
            chunk = self._chunks.get(key)
            if chunk is not None:
                self._chunks.move_to_end(key)
            return chunk

    def put(self, key: tuple[str, int], chunk: NDArray[Any]) -> None:
        """Keep a chunk, and let the oldest go."""
        with self._lock:
            if key not in self._chunks:
                self._chunks[key] = chunk
                self.size += chunk.nbytes
            while self.size > self.limit and len(self._chunks) > 1:
                self.size -= self._chunks.popitem(last=False)[1].nbytes


class ChunkedArray:
    """An array that is cut along its first dimension, read by whole chunks.

    Parameters
    ----------
    array : zarr.Array
        Its other dimensions have one chunk.
    cache : ChunkCache
        Where its chunks are kept.
    """

    def __init__(self, array: zarr.Array, cache: ChunkCache) -> None:
        self.array = array
        self.length = int(array.shape[0])
        self.cell = tuple(array.shape[1:])
        self.step = int(array.chunks[0])
        self._cache = cache
        self._shards = _LocalShards(array) if _is_plain(array) else None

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Elements `start` to `stop` of the first dimension, in an array of their own."""
        if start >= stop:
            return np.empty((0, *self.cell), self.array.dtype)
        numbers = range(start // self.step, (stop - 1) // self.step + 1)
        parts = []
        for number in numbers:
            base = number * self.step
            parts.append(self.chunk(number)[max(start - base, 0) : stop - base])
        # Never a view: it would keep the whole chunk alive, and writing to it would spoil the cache.
        return np.concatenate(parts)

    def chunk(self, number: int) -> NDArray[Any]:
        """Chunk `number`, read-only; the last one is as long as the array goes."""
        key = (self.array.path, number)
        found = self._cache.get(key)
        if found is None:
            found = self._load(number)
            found.setflags(write=False)
            self._cache.put(key, found)
        return found

    def _load(self, number: int) -> NDArray[Any]:
        start = number * self.step
        stop = min(start + self.step, self.length)
        if self._shards is None:
            return np.asarray(self.array[start:stop])
        raw = self._shards.read(number)
        if raw is None:
            return np.full((stop - start, *self.cell), self.array.fill_value, self.array.dtype)
        return np.frombuffer(raw, self.array.dtype).reshape(self.step, *self.cell)[: stop - start]


class _LocalShards:
    """The shards of an array on a local disk: index at the end, chunks compressed with Zstandard."""

    def __init__(self, array: zarr.Array) -> None:
        assert isinstance(array.store, LocalStore)
        self.folder = Path(array.store.root) / array.path / "c"
        self.tail = "/0" * (array.ndim - 1)
        self.per_shard = int(array.shards[0] // array.chunks[0]) if array.shards else 1
        self.index: dict[int, NDArray[np.uint64]] = {}
        self.codec = Zstd()

    def read(self, number: int) -> bytes | None:
        """Decoded bytes of a chunk, None when it is not stored."""
        shard, inside = divmod(number, self.per_shard)
        try:
            file = os.open(f"{self.folder}/{shard}{self.tail}", os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            index = self.index.get(shard)
            if index is None:
                size = _ENTRY * self.per_shard
                end = os.fstat(file).st_size
                raw = os.pread(file, size, end - size - _CHECKSUM)
                index = self.index[shard] = np.frombuffer(raw, "<u8").reshape(self.per_shard, 2)
            offset, length = int(index[inside, 0]), int(index[inside, 1])
            if offset == _MISSING:
                return None
            return self.codec.decode(os.pread(file, length, offset))
        finally:
            os.close(file)


def _is_plain(array: zarr.Array) -> bool:
    """Whether the array is numbers on a local disk in the codecs that the writer uses."""
    if not isinstance(array.store, LocalStore) or array.dtype.kind not in "biufc" or array.dtype.byteorder == ">":
        return False
    codecs: Any = array.metadata.to_dict().get("codecs")
    if not isinstance(codecs, list | tuple) or len(codecs) != 1 or codecs[0]["name"] != "sharding_indexed":
        return False
    shard = codecs[0]["configuration"]
    inner = [codec["name"] for codec in shard["codecs"]]
    index = [codec["name"] for codec in shard["index_codecs"]]
    place = str(getattr(shard["index_location"], "value", shard["index_location"]))
    return inner == ["bytes", "zstd"] and index == ["bytes", "crc32c"] and place == "end"
