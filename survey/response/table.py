"""The response table: one response HDU of one observation, as it was written, with its axes named and in canonical units.

Reading it from FITS is the work of ``survey.events``; evaluating it that of the neighbours in this room.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

ResponseKind = Literal["aeff", "edisp", "psf", "bkg", "rad_max"]
KINDS: tuple[ResponseKind, ...] = ("aeff", "edisp", "psf", "bkg", "rad_max")
FORMS: Mapping[str, ResponseKind] = {
    "aeff_2d": "aeff",
    "edisp_2d": "edisp",
    "psf_table": "psf",
    "psf_3gauss": "psf",
    "psf_king": "psf",
    "bkg_2d": "bkg",
    "bkg_3d": "bkg",
    "rad_max_2d": "rad_max",
}


@dataclass(frozen=True, eq=False)
class ResponseAxis:
    """One axis of a response table.

    Parameters
    ----------
    name : str
        ``energy``, ``energy_true`` (TeV), ``offset``, ``rad``, ``detx``, ``dety`` (deg) or ``migra`` (no unit).
    low, high : numpy.ndarray
        Lower and upper edges of the bins, float64, in the canonical unit. They may coincide (H.E.S.S. writes
        ``THETA_LO = THETA_HI``), which makes them nodes.
    """

    name: str
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @property
    def size(self) -> int:
        """Number of bins."""
        return self.low.size

    @cached_property
    def is_node(self) -> bool:
        """Whether the bins have no width, so that values belong to points."""
        return bool(np.all(self.low == self.high))

    @cached_property
    def edges(self) -> NDArray[np.float64]:
        """The ``size + 1`` edges."""
        return np.append(self.low, self.high[-1])

    @cached_property
    def nodes(self) -> NDArray[np.float64]:
        """Where the values belong: geometric centres of energies, arithmetic ones elsewhere."""
        if self.is_node:
            return self.low
        if self.name in ("energy", "energy_true"):
            return np.sqrt(self.low * self.high)
        return 0.5 * (self.low + self.high)


@dataclass(frozen=True, eq=False)
class ResponseTable:
    """One response HDU.

    Parameters
    ----------
    form : str
        HDU class of the GADF index: ``aeff_2d``, ``edisp_2d``, ``psf_table``, ``psf_3gauss``, ``psf_king``,
        ``bkg_2d``, ``bkg_3d`` or ``rad_max_2d``.
    axes : tuple of ResponseAxis
        In the C order of the values.
    values : mapping of str to numpy.ndarray
        Column name (``EFFAREA``, ``MATRIX``, ``RPSF``, ``BKG``, ``SCALE``, ...) to its array, native byte order, in the
        file's precision and unit.
    units : mapping of str to str
        Unit of every column of `values`.
    metadata : mapping
        Header keywords that matter: ``HDUCLAS3``, ``FOVALIGN``, ``CREATOR``, ``HDUVERS``, ``LO_THRES``, ``RAD_MAX``, ...
    """

    form: str
    axes: tuple[ResponseAxis, ...]
    values: Mapping[str, NDArray[np.floating]]
    units: Mapping[str, str]
    metadata: Mapping[str, str | float | int | bool] = field(default_factory=dict)

    @property
    def kind(self) -> ResponseKind:
        """What it describes: ``aeff``, ``edisp``, ``psf``, ``bkg`` or ``rad_max``."""
        return FORMS[self.form]

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return tuple(axis.size for axis in self.axes)

    def axis(self, name: str) -> ResponseAxis:
        """The axis called `name`; KeyError with the names there are."""
        for axis in self.axes:
            if axis.name == name:
                return axis
        raise KeyError(f"{self.form} has no axis {name!r}, only {[a.name for a in self.axes]}")

    @cached_property
    def axes_hash(self) -> str:
        """Hash of form, axis names and edges: tables with the same one can be stacked in an archive."""
        digest = hashlib.sha256(self.form.encode())
        for axis in self.axes:
            digest.update(axis.name.encode())
            digest.update(np.ascontiguousarray(axis.low).tobytes())
            digest.update(np.ascontiguousarray(axis.high).tobytes())
        return digest.hexdigest()[:16]

    @cached_property
    def content_hash(self) -> str:
        """Hash of everything in the table: identical responses are stored once."""
        digest = hashlib.sha256(self.axes_hash.encode())
        for name in sorted(self.values):
            array = np.ascontiguousarray(self.values[name])
            digest.update(f"{name}|{array.dtype.str}|{array.shape}|{self.units[name]}".encode())
            digest.update(array.tobytes())
        for key in sorted(self.metadata):
            digest.update(f"{key}={self.metadata[key]!r}".encode())
        return digest.hexdigest()
