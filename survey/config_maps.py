"""The sections of the products: `excess_map`, `ts_map`, and those whose stage does not exist yet."""

from __future__ import annotations

import itertools
from typing import Annotated, Any, Literal

from astropy.coordinates import Angle
from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from survey.config_datasets import EnergyAxisConfig
from survey.config_observations import TimeRangeConfig
from survey.config_types import EnergyValue, PositiveAngle, Section, scalar_or_list


def _increasing(edges: list[Any]) -> list[Any]:
    if any(not low < high for low, high in itertools.pairwise(edges)):
        raise ValueError(f"found {', '.join(map(str, edges))}, an empty energy range; expected energies that increase")
    return edges


def _kind_of_edges(value: Any) -> str:
    return "edges" if isinstance(value, list | tuple) else "axis"


EnergyEdges = Annotated[list[EnergyValue], Field(min_length=2), AfterValidator(_increasing)]
EnergyBand = Annotated[list[EnergyValue], Field(min_length=2, max_length=2), AfterValidator(_increasing)]
AxisOrEdges = Annotated[
    Annotated[EnergyAxisConfig, Tag("axis")] | Annotated[EnergyEdges, Tag("edges")], Discriminator(_kind_of_edges)
]
Optional = Literal["all", "errn-errp", "ul", "sensitivity"]
OptionalMaps = Annotated[
    tuple[Optional, ...],
    BeforeValidator(
        lambda value: [] if value is None else scalar_or_list(value),
        json_schema_input_type=Optional | list[Optional] | None,
    ),
]


def _chosen(selection: tuple[Optional, ...]) -> frozenset[str]:
    everything = frozenset(("errn-errp", "ul", "sensitivity"))
    return everything if "all" in selection else frozenset(selection)


class BandsSection(Section):
    """A section with energy bands."""

    energy_edges: AxisOrEdges = Field(default_factory=EnergyAxisConfig)
    """Edges of adjoining bands: an axis, or a list of energies. Moved to the nearest edges of the cube's axis."""
    energy_bands: tuple[EnergyBand, ...] = ()
    """Bands as [least, greatest], which may overlap; instead of `energy_edges`."""

    @model_validator(mode="after")
    def _one_kind(self) -> BandsSection:
        edges = self.energy_edges
        if self.energy_bands and (isinstance(edges, list) or edges.is_set):
            raise ValueError("expected either energy_edges or energy_bands, not both")
        return self

    def bands(self) -> list[tuple[float, float]] | None:
        """Bands in TeV as (low, high); none if the section gives none."""
        if self.energy_bands:
            return [(float(low.to_value("TeV")), float(high.to_value("TeV"))) for low, high in self.energy_bands]
        if isinstance(self.energy_edges, list):
            edges = [float(edge.to_value("TeV")) for edge in self.energy_edges]
        elif self.energy_edges.is_set:
            low, high, nbins = self.energy_edges.bounds
            edges = [low * (high / low) ** (i / nbins) for i in range(nbins)] + [high]
        else:
            return None
        return list(itertools.pairwise(edges))


class ExcessParametersConfig(Section):
    """Parameters of the excess map."""

    n_sigma: float = Field(default=1.0, gt=0)
    """Of the asymmetric errors."""
    n_sigma_ul: float = Field(default=2.0, gt=0)
    """Of the upper limits."""
    selection_optional: OptionalMaps = ()
    """Further maps: `errn-errp`, `ul`, `sensitivity`, or `all`."""
    n_sigma_sensitivity: float = Field(default=5.0, gt=0)
    """Significance that the sensitivity asks for."""
    gamma_min_sensitivity: float = Field(default=10.0, ge=0)
    """Least number of gamma rays of the sensitivity."""
    bkg_syst_fraction_sensitivity: float = Field(default=0.05, ge=0)
    """Least fraction of the background of the sensitivity."""
    apply_threshold_sensitivity: bool = False
    """Whether the sensitivity applies those two."""
    sum_over_energy_groups: bool = False
    """Without bands: one band over the whole axis, instead of one for each bin."""
    correlate_off: bool = True
    """Gammapy's, for ON/OFF data; without effect here."""

    @property
    def optional(self) -> frozenset[str]:
        """Further maps by name."""
        return _chosen(self.selection_optional)


class ExcessMapConfig(BandsSection):
    """Excess map: counts, background, significance and flux within a circle around each pixel."""

    correlation_radius: PositiveAngle = Field(default=Angle(0.1, "deg"))
    """Radius of the circle."""
    parameters: ExcessParametersConfig = Field(default_factory=ExcessParametersConfig)
    """Gammapy's parameters of its estimator."""
    index: float = 2.0
    """Index of the power law that fluxes are given for."""


class TSModelConfig(Section):
    """Shape of the source that is looked for."""

    spatial: Literal["point", "gaussian", "disk"] = "point"
    """Shape."""
    sigma: PositiveAngle | None = None
    """Of a Gaussian."""
    r_0: PositiveAngle | None = None
    """Radius of a disk."""

    @model_validator(mode="after")
    def _size(self) -> TSModelConfig:
        wanted = {"point": None, "gaussian": "sigma", "disk": "r_0"}[self.spatial]
        for name in ("sigma", "r_0"):
            if (getattr(self, name) is not None) != (name == wanted):
                verb = "expected" if name == wanted else "expected no"
                raise ValueError(f"{verb} {name} for the shape {self.spatial}")
        return self


class TSMapConfig(BandsSection):
    """TS map: the likelihood of a source at each pixel, joint over all energy bins of a band."""

    model: TSModelConfig = Field(default_factory=TSModelConfig)
    """Shape of the source."""
    index: float = 2.0
    """Index of its power law."""
    kernel_width: PositiveAngle | None = None
    """Width of the template; left out: 0.5 deg beyond the shape on every side."""
    n_sigma: float = Field(default=1.0, gt=0)
    """Of the errors."""
    n_sigma_ul: float = Field(default=2.0, gt=0)
    """Of the upper limits."""
    n_sigma_sensitivity: float = Field(default=5.0, gt=0)
    """Significance that the sensitivity asks for."""
    selection_optional: OptionalMaps = ()
    """Further maps: `errn-errp`, `ul`, `sensitivity`, or `all`."""
    threshold: float | None = None
    """TS of the first estimate below which a pixel is not fitted."""
    rtol: float = Field(default=1e-4, gt=0, lt=1)
    """Relative precision of the norm."""
    max_niter: int = Field(default=100, ge=1)
    """Most iterations in a pixel."""

    @property
    def optional(self) -> frozenset[str]:
        """Further maps by name."""
        return _chosen(self.selection_optional)


class EnergyRangeConfig(Section):
    """A range of energy."""

    min: EnergyValue | None = None
    """Least energy."""
    max: EnergyValue | None = None
    """Greatest energy."""


class FitConfig(Section):
    """Fit of models."""

    fit_range: EnergyRangeConfig = Field(default_factory=EnergyRangeConfig)
    """Range of energy that is fitted."""


class FluxPointsConfig(Section):
    """Flux points."""

    energy: EnergyAxisConfig = Field(default_factory=EnergyAxisConfig)
    """Bands."""
    source: str = "source"
    """Name of the source."""
    parameters: dict[str, Any] = Field(default={"selection_optional": "all"})
    """Gammapy's parameters of its estimator."""


class LightCurveConfig(Section):
    """Light curve."""

    time_intervals: TimeRangeConfig = Field(default_factory=TimeRangeConfig)
    """Intervals of time."""
    energy_edges: EnergyAxisConfig = Field(default_factory=EnergyAxisConfig)
    """Bands."""
    source: str = "source"
    """Name of the source."""
    parameters: dict[str, Any] = Field(default={"selection_optional": "all"})
    """Gammapy's parameters of its estimator."""


#: Sections that are understood, but whose stage does not exist yet.
STAGES_TO_COME = ("fit", "flux_points", "light_curve", "catalog")
