"""Arrays and plain values as bytes, one after another: what is written once and read many times within a run.

A file is eight bytes with the length of a header, the header as JSON, and the arrays, each from a multiple of 64 bytes on.
Reading takes the arrays that are wanted as they are, and interprets nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from io import BufferedIOBase
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


def unpack(stream: BufferedIOBase, *, without: Collection[str] = ()) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Inverse of `pack`: writable arrays, and the plain values.

    Parameters
    ----------
    stream : binary file
        What `pack` gave; one that can be sought in.
    without : collection of str
        Arrays that are not read: they come back empty.

    Raises
    ------
    ValueError
        When the bytes are cut off or are not these.
    """
    found = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    length = int.from_bytes(stream.read(8), "little")
    start = -(-(8 + length) // ALIGNMENT) * ALIGNMENT
    try:
        header = json.loads(stream.read(min(length, found)))
        table, plain, size = header["arrays"], header["plain"], header["size"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"flat arrays: no header in {found} bytes") from error
    if found != start + size:
        raise ValueError(f"flat arrays: {found} bytes found, expected {start + size}")
    arrays = {}
    for name, dtype, shape, offset in table:
        values = np.empty([0] * len(shape) if name in without else shape, np.dtype(dtype))
        if values.size:
            stream.seek(start + offset)
            if stream.readinto(values.reshape(-1).view(np.uint8).data) != values.nbytes:
                raise ValueError(f"flat arrays: {name} is cut off")
        arrays[name] = values
    return arrays, plain
