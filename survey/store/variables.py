"""The variables of a DL4 cube, a row each: name, dims, units, meaning, type. Templates and docs follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

PIXEL_DIMS = ("y", "x")
CELL_DIMS = ("y_irf", "x_irf")


@dataclass(frozen=True)
class Variable:
    """One variable of a dataset.

    Parameters
    ----------
    name : str
        As it is stored.
    dims : tuple of str
        Of the stored array, the spatial ones last.
    units : str
        In astropy's notation; empty for a number.
    long_name : str
        What it is, for readers of the file.
    dtype : str
        Of the stored array.
    on_request : bool
        Whether a template holds it only when it is asked for.
    fill : float
        What a pixel holds that nothing was written to.
    attributes : mapping
        More for the array's attributes, plain values.
    """

    name: str
    dims: tuple[str, ...]
    units: str
    long_name: str
    dtype: str = "float64"
    on_request: bool = False
    fill: float = 0.0
    attributes: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def exact(self) -> bool:
        """Whether it holds whole numbers, which add exactly as they are; others are rounded to whole quanta first."""
        return self.dtype.startswith("int")

    @property
    def is_on_cells(self) -> bool:
        """Whether it is on response cells instead of pixels."""
        return self.dims[-2:] == CELL_DIMS

    @property
    def energy_dim(self) -> str | None:
        """The energy axis in front, ``energy`` or ``energy_true``, that its quantum follows; None without one."""
        return self.dims[0] if self.dims[0] in ("energy", "energy_true") else None


_RECO = ("energy", *PIXEL_DIMS)
_TRUE = ("energy_true", *PIXEL_DIMS)

_VARIABLES = (
    Variable("counts", _RECO, "", "events in the safe range", dtype="int32"),
    Variable("background", _RECO, "", "expected background counts in the safe range, after normalisation"),
    Variable("exposure", _TRUE, "m2 s", "effective area times livetime, where any energy is safe"),
    Variable(
        "psf_exposure",
        ("energy_true", "rad", *CELL_DIMS),
        "m2 s sr-1",
        "mean over the cell of exposure, times the point spread function at its centre",
    ),
    Variable(
        "edisp_exposure",
        ("energy_true", "energy", *CELL_DIMS),
        "m2 s",
        "mean over the cell of exposure in the safe range, times the energy dispersion at its centre",
    ),
    Variable(
        "irf_exposure",
        ("energy_true", *CELL_DIMS),
        "m2 s",
        "mean over the cell of exposure: the denominator of the responses",
    ),
    Variable("n_safe", _RECO, "", "observations whose safe range holds the bin", dtype="int32"),
    Variable("livetime", PIXEL_DIMS, "s", "livetime of the observations that see the pixel"),
    Variable("n_observations", PIXEL_DIMS, "", "observations that see the pixel", dtype="int32"),
    Variable("counts_off", _RECO, "", "events in the off region of the bin", dtype="int32", on_request=True),
    Variable("background_off", _RECO, "", "expected background counts from the off region", on_request=True),
    Variable("acceptance", _RECO, "", "relative background acceptance of the bin", on_request=True),
    Variable("acceptance_off_sum", _RECO, "", "relative background acceptance of the off region", on_request=True),
)

CUBE: Mapping[str, Variable] = MappingProxyType({variable.name: variable for variable in _VARIABLES})
"""Every variable that a DL4 cube may hold, by name, in the order of the template."""

DEFAULT_VARIABLES: tuple[str, ...] = tuple(variable.name for variable in _VARIABLES if not variable.on_request)
"""What a cube holds unless it is asked for more."""


def cube_variable(name: str) -> Variable:
    """The row of `CUBE` called `name`; KeyError with the names there are."""
    try:
        return CUBE[name]
    except KeyError:
        raise KeyError(f"no cube variable {name!r}, only {', '.join(CUBE)}") from None
