"""The section `datasets`: grid, axes, safe range, background. Names and defaults are Gammapy's wherever it has one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from astropy import units as u
from astropy.coordinates import Angle
from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from survey.config_observations import CircleConfig, Frame
from survey.config_types import AngleValue, EnergyValue, InputPath, PositiveAngle, Section, scalar_or_list

SafeMethod = Literal["aeff-default", "aeff-max", "edisp-bias", "offset-max", "bkg-peak"]


class EnergyAxisConfig(Section):
    """An energy axis with bins of equal width in the logarithm."""

    min: EnergyValue | None = None
    """Lower edge of the first bin."""
    max: EnergyValue | None = None
    """Upper edge of the last bin."""
    nbins: int | None = Field(default=None, ge=1)
    """Number of bins."""

    @model_validator(mode="after")
    def _complete(self) -> EnergyAxisConfig:
        values = (self.min, self.max, self.nbins)
        if any(value is None for value in values) and any(value is not None for value in values):
            raise ValueError("expected min, max and nbins together")
        if self.min is not None and self.max is not None and not self.min < self.max:
            raise ValueError(f"found min {self.min} and max {self.max}, an empty energy range; expected min below max")
        return self

    @property
    def is_set(self) -> bool:
        """Whether there is an axis."""
        return self.min is not None

    @property
    def bounds(self) -> tuple[float, float, int]:
        """Lower edge and upper edge in TeV, and number of bins, of an axis that is set."""
        if self.min is None or self.max is None or self.nbins is None:
            raise ValueError("this energy axis is not set")
        return float(self.min.to_value("TeV")), float(self.max.to_value("TeV")), self.nbins


class SkyDirConfig(Section):
    """The centre of the grid, and its frame."""

    frame: Frame | None = None
    """Frame of the grid, and of `lon` and `lat`."""
    lon: AngleValue | None = None
    """Longitude or right ascension."""
    lat: AngleValue | None = None
    """Latitude or declination."""

    @model_validator(mode="after")
    def _together(self) -> SkyDirConfig:
        if (self.lon is None) != (self.lat is None):
            raise ValueError("expected lon and lat together")
        if self.lat is not None and abs(self.lat.to_value("deg")) > 90:
            raise ValueError("expected lat between -90 deg and 90 deg")
        return self

    @property
    def is_given(self) -> bool:
        """Whether the grid has a centre."""
        return self.frame is not None and self.lon is not None


class WidthConfig(Section):
    """The size of the grid."""

    width: PositiveAngle = Field(default=Angle(5.0, "deg"))
    """Along longitude."""
    height: PositiveAngle = Field(default=Angle(5.0, "deg"))
    """Along latitude."""


class WcsConfig(Section):
    """The pixel grid."""

    skydir: SkyDirConfig = Field(default_factory=SkyDirConfig)
    """Centre and frame."""
    binsize: PositiveAngle = Field(default=Angle(0.02, "deg"))
    """Size of a pixel."""
    width: WidthConfig = Field(default_factory=WidthConfig)
    """Size of the grid."""
    binsize_irf: PositiveAngle = Field(default=Angle(0.2, "deg"))
    """Size of a response cell; rounded to whole pixels."""
    proj: Literal["CAR", "TAN", "AIT", "MOL"] = "CAR"
    """Projection. AIT and MOL serve counts, background and exposure maps only."""

    @model_validator(mode="after")
    def _sizes(self) -> WcsConfig:
        width, height, binsize = (
            angle.to_value("deg") for angle in (self.width.width, self.width.height, self.binsize)
        )
        if width > 360 or height > 180:
            raise ValueError(f"found width {width:g} deg, height {height:g} deg; expected at most 360 deg and 180 deg")
        if binsize > min(width, height):
            raise ValueError(
                f"found binsize {binsize:g} deg, width {width:g} deg, height {height:g} deg; "
                "expected pixels smaller than the grid"
            )
        if self.proj == "TAN" and max(width, height) > 160:
            raise ValueError(
                f"found width {width:g} deg, height {height:g} deg; expected at most 160 deg in the projection TAN: "
                "use CAR, AIT or MOL"
            )
        return self


class SelectionConfig(Section):
    """Which events and pixels of an observation are looked at."""

    offset_max: PositiveAngle = Field(default=Angle(2.5, "deg"))
    """Radius of the circle around the pointing; events beyond it are the ledger's offset cut."""


class EnergyAxesConfig(Section):
    """The energy axes."""

    energy: EnergyAxisConfig = EnergyAxisConfig(min=1 * u.TeV, max=10 * u.TeV, nbins=5)
    """Reconstructed energy."""
    energy_true: EnergyAxisConfig = EnergyAxisConfig(min=0.5 * u.TeV, max=20 * u.TeV, nbins=16)
    """True energy."""

    @model_validator(mode="after")
    def _given(self) -> EnergyAxesConfig:
        for name in ("energy", "energy_true"):
            if not getattr(self, name).is_set:
                raise ValueError(f"expected min, max and nbins of {name}")
        return self


class TilesConfig(Section):
    """How the grid is cut. Changes no result, only the layout on disk and the size of a unit of work."""

    chunk: int = Field(default=50, ge=1)
    """Pixels along each side of an inner chunk; rounded to whole response cells."""
    chunks: int = Field(default=5, ge=1)
    """Inner chunks along each side of a tile."""


class GeomConfig(Section):
    """Grid and axes."""

    wcs: WcsConfig = Field(default_factory=WcsConfig)
    """The pixel grid."""
    selection: SelectionConfig = Field(default_factory=SelectionConfig)
    """Which part of an observation is looked at."""
    axes: EnergyAxesConfig = Field(default_factory=EnergyAxesConfig)
    """The energy axes."""
    tiles: TilesConfig = Field(default_factory=TilesConfig)
    """How the grid is cut."""


class RegionConfig(Section):
    """A region on the sky, given in the YAML file itself."""

    type: Literal["circle", "annulus", "ellipse", "rectangle"] = "circle"
    """Shape."""
    frame: Frame
    """Frame of `lon`, `lat` and `angle`."""
    lon: AngleValue
    """Longitude or right ascension of the centre."""
    lat: AngleValue
    """Latitude or declination of the centre."""
    radius: PositiveAngle | None = None
    """Of a circle."""
    inner_radius: PositiveAngle | None = None
    """Of an annulus."""
    outer_radius: PositiveAngle | None = None
    """Of an annulus."""
    width: PositiveAngle | None = None
    """Of an ellipse (whole axis) or rectangle, before it is turned: along longitude."""
    height: PositiveAngle | None = None
    """Of an ellipse (whole axis) or rectangle, before it is turned: along latitude."""
    angle: AngleValue = Field(default=Angle(0.0, "deg"))
    """By which an ellipse or rectangle is turned, counter-clockwise."""

    @model_validator(mode="after")
    def _shape(self) -> RegionConfig:
        sizes = {
            "circle": {"radius"},
            "annulus": {"inner_radius", "outer_radius"},
            "ellipse": {"width", "height"},
            "rectangle": {"width", "height"},
        }
        given = {name for names in sizes.values() for name in names if getattr(self, name) is not None}
        if given != sizes[self.type]:
            wanted = " and ".join(sorted(sizes[self.type]))
            raise ValueError(f"expected {wanted} for the type {self.type}, found {', '.join(sorted(given)) or 'none'}")
        return self


def _kind_of_exclusion(value: Any) -> str:
    return "path" if not isinstance(value, list | tuple) else "regions"


def _kind_of_region(value: Any) -> str:
    return "ds9" if isinstance(value, str) else "region"


InlineRegion = Annotated[
    Annotated[RegionConfig, Tag("region")] | Annotated[str, Tag("ds9")], Discriminator(_kind_of_region)
]
Exclusion = Annotated[
    Annotated[InputPath, Tag("path")] | Annotated[list[InlineRegion], Tag("regions")],
    Discriminator(_kind_of_exclusion),
]


class BackgroundParametersConfig(Section):
    """Parameters of the field-of-view background."""

    method: Literal["scale", "fit"] = "scale"
    """`scale`: counts over background; `fit`: a fit of the norm, or of norm and tilt."""
    spectral_model: Literal["pl-norm", "PowerLawNormSpectralModel"] = "pl-norm"
    """Gammapy's name of what `fit` fits: a norm, and a tilt if asked for."""
    tilt: bool = False
    """Whether `fit` fits a tilt beside the norm."""
    min_counts: int = Field(default=0, ge=0)
    """Least number of counts outside the exclusion."""
    min_npred_background: float = Field(default=0.0, ge=0)
    """Least number of background counts expected there."""


class BackgroundConfig(Section):
    """Background of an observation."""

    method: Literal["fov_background", "ring", "reflected"] | None = None
    """`fov_background`, or none: the response's background as it is."""
    exclusion: Annotated[
        Exclusion | None,
        BeforeValidator(
            lambda value: [value] if isinstance(value, dict) else value,
            json_schema_input_type=str | RegionConfig | list[RegionConfig | str] | None,
        ),
    ] = None
    """Where there may be gamma rays: FITS mask (1 = keep), DS9 region file, or a list of regions."""
    parameters: BackgroundParametersConfig = Field(default_factory=BackgroundParametersConfig)
    """Parameters of the method."""
    fov_alignment: Literal["auto", "radec", "altaz"] = "auto"
    """Axes of a 3D background whose header does not say (`FOVALIGN`)."""
    on_failure: Literal["keep", "set_aside"] = "keep"
    """An observation whose norm cannot be fitted: kept with norm 1 and a flag, or set aside."""


class PositionConfig(Section):
    """A position on the sky."""

    frame: Frame = "icrs"
    """Frame of `lon` and `lat`."""
    lon: AngleValue
    """Longitude or right ascension."""
    lat: AngleValue
    """Latitude or declination."""


class SafeMaskParametersConfig(Section):
    """Parameters of the safe range."""

    aeff_percent: float = Field(default=10.0, gt=0, lt=100)
    """`aeff-max`: per cent of the greatest effective area."""
    bias_percent: float = Field(default=10.0, gt=0)
    """`edisp-bias`: energy bias in per cent."""
    offset_max: PositiveAngle = Field(default=Angle(3.0, "deg"))
    """`offset-max`: greatest offset of a pixel's centre."""
    position: PositionConfig | None = None
    """Where thresholds are found; the pointing if left out."""
    fixed_offset: AngleValue | None = None
    """Offset at which thresholds are found."""
    irfs: Literal["DL3", "DL4"] = "DL4"
    """Gammapy's; thresholds are found here on the response itself, on the survey's axis, either way."""

    @model_validator(mode="after")
    def _one_place(self) -> SafeMaskParametersConfig:
        if self.position is not None and self.fixed_offset is not None:
            raise ValueError("expected either position or fixed_offset, not both")
        return self


class SafeMaskConfig(Section):
    """The safe range of an observation."""

    methods: Annotated[
        tuple[SafeMethod, ...],
        BeforeValidator(scalar_or_list, json_schema_input_type=SafeMethod | list[SafeMethod]),
    ] = ("aeff-default",)
    """Methods; a bin is safe if all of them say so."""
    parameters: SafeMaskParametersConfig = Field(default_factory=SafeMaskParametersConfig)
    """Their parameters."""


class DatasetsConfig(Section):
    """Reduction of observations to the cube."""

    type: Literal["1d", "3d"] | None = None
    """Left out: 1d where `on_region` is given, else 3d."""
    stack: bool = True
    """Whether observations are added."""
    geom: GeomConfig = Field(default_factory=GeomConfig)
    """Grid and axes."""
    map_selection: tuple[Literal["counts", "exposure", "background", "psf", "edisp"], ...] = (
        "counts",
        "exposure",
        "background",
        "psf",
        "edisp",
    )
    """What is made."""
    background: BackgroundConfig = Field(default_factory=BackgroundConfig)
    """Background of an observation."""
    safe_mask: SafeMaskConfig = Field(default_factory=SafeMaskConfig)
    """Safe range of an observation."""
    on_region: CircleConfig = Field(default_factory=CircleConfig)
    """Region of a spectrum."""
    containment_correction: bool = True
    """Of spectra: whether the region's containment is applied to the exposure."""

    @property
    def kind(self) -> Literal["1d", "3d"]:
        """`type`, or what it means when left out."""
        return self.type or ("1d" if self.on_region.is_set else "3d")
