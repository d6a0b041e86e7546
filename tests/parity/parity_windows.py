"""Windows of the two sides."""

from __future__ import annotations

import numpy as np


def crop(window, array, dump):
    """The pixels of the peer's cut-out, from an array on our window; zero where ours has none."""
    y0, x0 = dump["corner"]
    ny, nx = dump["shape"][1:]
    result = np.zeros((*array.shape[:-2], ny, nx), dtype=array.dtype)
    top, left = max(window.y0, y0), max(window.x0, x0)
    bottom, right = min(window.y1, y0 + ny), min(window.x1, x0 + nx)
    result[..., top - y0 : bottom - y0, left - x0 : right - x0] = array[
        ..., top - window.y0 : bottom - window.y0, left - window.x0 : right - window.x0
    ]
    return result


def load_dump(path) -> dict[str, np.ndarray]:
    """One observation's dump, its mask unpacked."""
    with np.load(path) as archive:
        dump = dict(archive)
    shape = tuple(int(size) for size in dump["shape"])
    dump["safe"] = np.unpackbits(dump["safe"], count=int(np.prod(shape))).reshape(shape).astype(bool)
    return dump


def blocks(image, size):
    """Sums of squares of pixels; what does not fill a square is left out."""
    ny, nx = (length // size * size for length in image.shape)
    return image[:ny, :nx].reshape(ny // size, size, nx // size, size).sum(axis=(1, 3))
