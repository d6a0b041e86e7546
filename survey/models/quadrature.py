"""Integrals of spectra over energy bins for which no closed form is at hand: Gauss's rule in the logarithm of the energy.

Bins are cut into panels of at most an eighth of a decade and at the energies where a spectrum has a kink; every panel
gets twelve nodes. Spectra that are smooth between the kinks come out to 1e-12 where they fall by less than e^-10 in a
panel, and to 1e-8 where they fall by less than e^-20.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

PANEL = np.log(10.0) / 8
"""Largest width of a panel, in the natural logarithm of the energy."""

ORDER = 12
"""Nodes of a panel."""


@cache
def _gauss() -> tuple[Array, Array]:
    """Nodes and weights on [-1, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(ORDER)
    return np.asarray(nodes), np.asarray(weights)


@lru_cache(maxsize=64)
def _rule(low: bytes, high: bytes, breaks: bytes) -> tuple[Array, Array, NDArray[np.int64]]:
    """Energies (n,), weights (n,) and the first energy of every bin; a fit asks for the same bins again and again."""
    first, last = np.frombuffer(low), np.frombuffer(high)
    energies = np.concatenate([first, last])
    if not (np.isfinite(energies) & (energies > 0)).all():
        bad = energies[~(np.isfinite(energies) & (energies > 0))][0]
        raise ValueError(f"integral of a spectrum: an energy of {bad:g} TeV; expected positive, finite ones")
    start, width = np.log(first), np.log(last / first)
    parts = np.maximum(np.ceil(np.abs(width) / PANEL), 1).astype(np.int64)
    owner = np.repeat(np.arange(first.size), parts + 1)
    step = np.arange(owner.size) - np.repeat(np.cumsum(parts + 1) - parts - 1, parts + 1)
    # along each bin from 0 to 1, so that bins with exchanged ends count negative without further ado
    place = step / parts[owner]
    kinks = np.log(np.frombuffer(breaks))
    if kinks.size:
        with np.errstate(divide="ignore", invalid="ignore"):
            along = (kinks - start[:, None]) / width[:, None]
        bins, which = np.nonzero((along > 0) & (along < 1))
        owner, place = np.concatenate([owner, bins]), np.concatenate([place, along[bins, which]])
        order = np.lexsort([place, owner])
        owner, place = owner[order], place[order]
    inner = owner[1:] == owner[:-1]
    panel = owner[1:][inner]
    middle = 0.5 * (place[1:] + place[:-1])[inner]
    half = 0.5 * (place[1:] - place[:-1])[inner] * width[panel]
    nodes, weights = _gauss()
    energy = np.exp((start[panel] + middle * width[panel])[:, None] + half[:, None] * nodes)
    weight = half[:, None] * weights * energy
    starts = np.searchsorted(panel, np.arange(first.size)) * ORDER
    result = energy.ravel(), weight.ravel(), starts
    for array in result:
        array.flags.writeable = False
    return result


def integrate(
    function: Callable[[Array], Array],
    energy_min: ArrayLike,
    energy_max: ArrayLike,
    *,
    order: int = 0,
    breaks: ArrayLike = (),
) -> Array:
    """Integral of ``energy**order * function(energy)`` over bins.

    Parameters
    ----------
    function : callable
        Takes energies (TeV) of shape (n,), gives values of shape (..., n).
    energy_min, energy_max : array_like
        Ends of the bins in TeV, of shapes that fit together.
    order : int
        Power of the energy: 0 for the flux, 1 for the energy flux.
    breaks : array_like
        Energies in TeV at which the function is not smooth, shape (k,).

    Returns
    -------
    numpy.ndarray
        The function's leading axes, then those of the bins.
    """
    low, high = np.broadcast_arrays(np.asarray(energy_min, dtype=float), np.asarray(energy_max, dtype=float))
    energy, weight, starts = _rule(low.tobytes(), high.tobytes(), np.asarray(breaks, dtype=float).tobytes())
    terms = function(energy) * (weight * energy**order if order else weight)
    if low.size == 0:
        return np.zeros(terms.shape[:-1] + low.shape)
    return np.asarray(np.add.reduceat(terms, starts, axis=-1).reshape(terms.shape[:-1] + low.shape))[()]
