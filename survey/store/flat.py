"""Arrays and plain values as bytes, one after another: what is written once and read many times within a run.

A file is eight bytes with the length of a header, the header as JSON, and the arrays, each from a multiple of 64 bytes on.
Reading copies the file once and interprets nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 64


def pack(arrays: Mapping[str, NDArray[Any]], plain: Mapping[str, Any]) -> bytes:
    """Bytes of named arrays and of values that JSON knows: the same for the same content."""
    table, parts, size = [], [], 0
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        raw = values.tobytes()
        table.append([name, values.dtype.str, list(values.shape), size])
        parts.append(raw + bytes(-len(raw) % ALIGNMENT))
        size += len(parts[-1])
    header = json.dumps({"arrays": table, "plain": plain, "size": size}, sort_keys=True).encode()
    start = len(header).to_bytes(8, "little") + header
    return b"".join([start, bytes(-len(start) % ALIGNMENT), *parts])


def unpack(content: bytes) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Inverse of `pack`: writable arrays, and the plain values; ValueError when the bytes are cut off or are not these."""
    buffer = bytearray(content)
    length = int.from_bytes(buffer[:8], "little")
    start = -(-(8 + length) // ALIGNMENT) * ALIGNMENT
    try:
        header = json.loads(buffer[8 : 8 + length])
        table, plain, size = header["arrays"], header["plain"], header["size"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"flat arrays: no header in {len(content)} bytes") from error
    if len(buffer) != start + size:
        raise ValueError(f"flat arrays: {len(buffer)} bytes found, expected {start + size}")
    arrays = {}
    for name, dtype, shape, offset in table:
        count = int(np.prod(shape, dtype=np.int64))
        arrays[name] = np.frombuffer(buffer, np.dtype(dtype), count, start + offset).reshape(shape)
    return arrays, plain
