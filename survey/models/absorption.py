"""Absorption of gamma rays by the extragalactic background light: a norm that depends on the redshift.

Tables are XSPEC table models (OGIP memo OGIP/92-009) with the redshift as parameter and the fraction of surviving
photons as spectrum, as published with Gammapy. The logarithm of that fraction is interpolated linearly in redshift and
in the logarithm of energy, and extrapolated so, as in Gammapy; a fraction above one is one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from survey.models.parameters import Parameter, Parameters
from survey.models.power_laws import TINY
from survey.models.spectral import SpectralModel
from survey.models.tabulated_spectra import checked_nodes, steep_breaks

Array = NDArray[np.float64]

KEV = 1e-9
"""TeV in a keV, the unit of energies in XSPEC tables."""

EBL_FILES: Mapping[str, str] = MappingProxyType(
    {
        "franceschini": "ebl_franceschini.fits.gz",
        "dominguez": "ebl_dominguez11.fits.gz",
        "finke": "frd_abs.fits.gz",
        "franceschini17": "ebl_franceschini_2017.fits.gz",
        "saldana-lopez21": "ebl_saldana-lopez_2021.fits.gz",
    }
)
"""Gammapy's names of the published models, and of their files in the folder ``ebl`` of its data."""


@dataclass(frozen=True, eq=False)
class AbsorptionTable:
    """Fraction of photons that survive.

    Parameters
    ----------
    energy : numpy.ndarray
        TeV, shape (energy,).
    redshift : numpy.ndarray
        Shape (redshift,).
    values : numpy.ndarray
        Shape (redshift, energy). Zeros count as the smallest number of the type that the table has.
    filename : str or None
        Where it comes from, as it was given.
    """

    energy: Array
    redshift: Array
    values: NDArray[np.floating]
    filename: str | None = None

    def __post_init__(self) -> None:
        owner = EBLAbsorptionNorm.tag[0]
        object.__setattr__(self, "energy", checked_nodes(owner, self.energy, minimum=2))
        object.__setattr__(self, "redshift", np.array(self.redshift, dtype=float).reshape(-1))
        values = np.asarray(self.values)
        if values.dtype.kind != "f":
            values = values.astype(float)
        object.__setattr__(self, "values", values)
        if values.shape != (self.redshift.size, self.energy.size):
            raise ValueError(
                f"{owner}: values have shape {values.shape}; expected {(self.redshift.size, self.energy.size)}, "
                "redshifts and energies"
            )
        if not np.isfinite(values).all() or not (np.diff(self.redshift) > 0).all():
            raise ValueError(f"{owner}: values that are not finite, or redshifts that do not increase")

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Read an XSPEC table model; variables and ``~`` in the path expand."""
        from astropy.io import fits

        filename = os.fspath(path)
        place = Path(os.path.expanduser(os.path.expandvars(filename)))
        if not place.exists():
            raise FileNotFoundError(
                f"{EBLAbsorptionNorm.tag[0]}: filename {filename}: no such file ({place}); expected an XSPEC table model, "
                f"such as {', '.join(EBL_FILES.values())}"
            )
        with fits.open(place, memmap=False) as units:
            missing = [name for name in ("PARAMETERS", "ENERGIES", "SPECTRA") if name not in units]
            if missing:
                raise ValueError(f"{place}: no HDU {', '.join(missing)}; expected an XSPEC table model")
            # parameter values come padded with repeated ones
            redshift, rows = np.unique(np.asarray(units["PARAMETERS"].data["VALUE"][0], dtype=float), return_index=True)
            low, high = (units["ENERGIES"].data[name].astype(float) for name in ("ENERG_LO", "ENERG_HI"))
            spectra = units["SPECTRA"].data["INTPSPEC"]
            values = spectra[rows].astype(spectra.dtype.newbyteorder("="))
        return cls(energy=np.sqrt(low * high) * KEV, redshift=redshift, values=values, filename=filename)

    @cached_property
    def digest(self) -> str:
        """Short hash of the content."""
        content = self.energy.tobytes() + self.redshift.tobytes() + self.logarithm.tobytes()
        return hashlib.sha256(content).hexdigest()[:16]

    @cached_property
    def logarithm(self) -> Array:
        """Logarithm of the fraction, shape (redshift, energy)."""
        return np.log(np.maximum(self.values, np.finfo(self.values.dtype).tiny), dtype=float)

    def at(self, redshift: float) -> tuple[Array, Array]:
        """Logarithm of the fraction at the nodes of energy, and its derivative in the redshift, shape (energy,)."""
        if self.redshift.size == 1:
            return self.logarithm[0], np.zeros(self.energy.size)
        low = int(np.clip(np.searchsorted(self.redshift, redshift, side="right") - 1, 0, self.redshift.size - 2))
        slope = (self.logarithm[low + 1] - self.logarithm[low]) / (self.redshift[low + 1] - self.redshift[low])
        return self.logarithm[low] + slope * (redshift - self.redshift[low]), slope


class EBLAbsorptionNorm(SpectralModel):
    """Absorption by the extragalactic background light.

    Parameters
    ----------
    table : AbsorptionTable
        Fraction of photons that survive.
    redshift : float or Parameter
        Default 0.1, frozen.
    alpha_norm : float or Parameter
        Factor of the optical depth; default 1, frozen.
    """

    tag: ClassVar[tuple[str, ...]] = ("EBLAbsorptionNormSpectralModel", "ebl-norm")
    defaults: ClassVar[tuple[Parameter, ...]] = (
        Parameter("redshift", 0.1, frozen=True, scale=0.01),
        Parameter("alpha_norm", 1.0, frozen=True, scale=0.1),
    )

    def __init__(self, table: AbsorptionTable, **values: float | Parameter) -> None:
        super().__init__(**values)
        self.table = table

    @classmethod
    def read(cls, path: str | os.PathLike[str], **values: float | Parameter) -> Self:
        """Model of a table in a file; see `AbsorptionTable.read`."""
        return cls(AbsorptionTable.read(path), **values)

    @property
    def unit(self) -> str:
        return ""

    def _settings(self) -> dict[str, str]:
        return {"table": self.table.digest}

    def with_parameters(self, parameters: Parameters) -> Self:
        return type(self)(self.table, **parameters)

    @cached_property
    def _nodes(self) -> tuple[Array, Array, Array]:
        """Logarithm of energy, of the fraction, and its derivative in the redshift, at the nodes."""
        return (np.log(self.table.energy), *self.table.at(self.redshift))

    @cached_property
    def _breaks(self) -> Array:
        x, y, _ = self._nodes
        return np.concatenate([self.table.energy, steep_breaks(x, self.alpha_norm * np.minimum(y, 0.0))])

    @property
    def breaks(self) -> Array:
        return self._breaks

    def _logarithms(self, energy: ArrayLike) -> tuple[Array, Array]:
        """Logarithm of the fraction (at most zero), and its derivative in the redshift."""
        x, y, slope = self._nodes
        here = np.log(np.asarray(energy, dtype=float))
        left = np.clip(np.searchsorted(x, here, side="right") - 1, 0, x.size - 2)
        right = (here - x[left]) / (x[left + 1] - x[left])
        fraction = y[left] + (y[left + 1] - y[left]) * right
        return np.minimum(fraction, 0.0), np.where(
            fraction < 0, slope[left] + (slope[left + 1] - slope[left]) * right, 0.0
        )

    def value(self, energy: ArrayLike) -> Array:
        return self._power(self._logarithms(energy)[0])

    def _power(self, logarithm: Array) -> Array:
        # far above the last node the extrapolated fraction is zero
        return np.exp(self.alpha_norm * np.maximum(logarithm, np.log(TINY)))

    def gradient(self, energy: ArrayLike) -> Array:
        logarithm, slope = self._logarithms(energy)
        value = self._power(logarithm)
        return np.stack([self.alpha_norm * slope * value, logarithm * value])
