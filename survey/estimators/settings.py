"""What a user may choose for the maps: plain frozen values with Gammapy's names, angles in deg, energies in TeV."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any

from survey.models import Point, PowerLaw, SpatialModel, SpectralModel
from survey.models.model import Model

OPTIONAL = ("errn-errp", "ul", "sensitivity")
"""Maps that are computed only if chosen; ``all`` chooses all of them."""

PSF_RADIUS = 0.5
"""Radius in deg that a template reaches beyond its shape when no width is given. It holds 99.9 % of the usual PSF, and
caps noisy PSF tables; it does not depend on the data, so that the halo of a tile is known before anything is read."""


def chosen_maps(selection: Iterable[str], *, where: str) -> frozenset[str]:
    """Names of `OPTIONAL` in a selection, with ``all`` written out.

    Raises
    ------
    ValueError
        For a name that does not exist.
    """
    chosen = frozenset(selection)
    if unknown := sorted(chosen - {*OPTIONAL, "all"}):
        raise ValueError(f"{where}: found {', '.join(unknown)}; expected of {', '.join(OPTIONAL)}, or all")
    return frozenset(OPTIONAL) if "all" in chosen else chosen


@dataclass(frozen=True)
class BandSettings:
    """Settings that both kinds of map have."""

    bands: tuple[tuple[float, float], ...] | None = None
    """Energy bands in TeV as (low, high), which may overlap; moved to the nearest edges of the cube's axis."""
    spectral_model: SpectralModel = field(default_factory=PowerLaw)
    """Spectrum that fluxes are given for."""
    n_sigma: float = 1.0
    """Of the errors."""
    n_sigma_ul: float = 2.0
    """Of the upper limits."""
    n_sigma_sensitivity: float = 5.0
    """Significance that the sensitivity asks for."""
    selection_optional: frozenset[str] = frozenset()
    """Further maps, see `OPTIONAL`."""

    def __post_init__(self) -> None:
        object.__setattr__(
            self,
            "selection_optional",
            chosen_maps(self.selection_optional, where=f"{type(self).__name__}.selection_optional"),
        )
        for low, high in self.bands or ():
            if not 0 < low < high:
                raise ValueError(f"energy band {low:g} to {high:g} TeV is empty; expected energies that increase")
        for name in ("n_sigma", "n_sigma_ul", "n_sigma_sensitivity"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: found {getattr(self, name):g}; expected a positive number")

    def key(self) -> dict[str, Any]:
        """All settings as plain data, for the key of a unit of work."""
        return {item.name: _plain(getattr(self, item.name)) for item in fields(self)}


def _plain(value: Any) -> Any:
    if isinstance(value, Model):
        return value.key()
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


@dataclass(frozen=True)
class ExcessMapSettings(BandSettings):
    """Settings of the excess map; without bands there is a map for every bin of the cube."""

    correlation_radius: float = 0.1
    """Radius of the circle, deg."""
    gamma_min_sensitivity: float = 10.0
    """Least number of gamma rays of the sensitivity."""
    bkg_syst_fraction_sensitivity: float = 0.05
    """Least fraction of the background of the sensitivity."""
    apply_threshold_sensitivity: bool = False
    """Whether the sensitivity applies those two."""
    sum_over_energy_groups: bool = False
    """Without bands: one band over the whole axis instead of one for each bin."""
    correlate_off: bool = True
    """Whether the OFF counts are summed over the circle too (not for rings, whose OFF counts are sums already)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.correlation_radius > 0:
            raise ValueError(f"correlation_radius: found {self.correlation_radius:g} deg; expected a positive angle")


@dataclass(frozen=True)
class TSMapSettings(BandSettings):
    """Settings of the TS map; without bands there is one map, joint over all bins of the cube."""

    spatial_model: SpatialModel = field(default_factory=Point)
    """Shape of the source. Its position does not matter; its position angle counts from the grid's y axis."""
    kernel_width: float | None = None
    """Width of the template in deg; none takes `PSF_RADIUS` beyond the shape on every side."""
    rtol: float = 1e-4
    """Relative precision of the norm."""
    max_niter: int = 100
    """Most iterations in a pixel."""
    threshold: float | None = None
    """TS after the first iteration below which a pixel is not fitted further."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kernel_width is not None and not self.kernel_width > 0:
            raise ValueError(f"kernel_width: found {self.kernel_width:g} deg; expected a positive angle")
        if not 0 < self.rtol < 1:
            raise ValueError(f"rtol: found {self.rtol:g}; expected a number between 0 and 1")
        if self.max_niter < 1:
            raise ValueError(f"max_niter: found {self.max_niter}; expected at least 1")
