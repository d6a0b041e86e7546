"""The section `simulation`: what `survey simulate` makes. A run of the survey reads over it."""

from __future__ import annotations

import logging
from typing import Annotated, Any, Literal

from astropy import units as u
from astropy.coordinates import Angle
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from survey.config_observations import Frame
from survey.config_types import AngleValue, EnergyValue, PathValue, PositiveAngle, Section, TimeValue, is_there

log = logging.getLogger(__name__)

Pattern = Literal["list", "grid", "rows", "wobble", "drift"]
SiteName = Literal["hess", "ctao-north", "ctao-south", "magic", "veritas"]


def _duration(value: Any) -> u.Quantity:
    expected = "expected a time with a unit, such as '28 min'"
    if not isinstance(value, str | u.Quantity):
        raise ValueError(expected)
    try:
        duration = u.Quantity(value).to("s")
    except (ValueError, TypeError, u.UnitsError) as error:
        raise ValueError(expected) from error
    if not duration.isscalar or not 0 <= duration.value < float("inf"):
        raise ValueError("expected one finite time, not below zero, such as '28 min'")
    return duration


def _above_zero(duration: u.Quantity) -> u.Quantity:
    if not duration.value > 0:
        raise ValueError("expected a time above zero")
    return duration


def _printable(name: str) -> str:
    """Headers of FITS files hold nothing else."""
    if not (name.isascii() and name.isprintable()):
        raise ValueError("expected printable ASCII characters, which a FITS header can hold")
    return name


Duration = Annotated[
    u.Quantity,
    PlainValidator(_duration),
    PlainSerializer(
        lambda value: value if isinstance(value, str) else f"{float(value.to_value('s'))!r} s",
        when_used="json-unless-none",
    ),
    WithJsonSchema({"type": "string", "description": "a time with its unit", "examples": ["28 min"]}),
]
PositiveDuration = Annotated[Duration, AfterValidator(_above_zero)]
AnglePair = Annotated[list[AngleValue], Field(min_length=2, max_length=2)]


class PointingsConfig(Section):
    """A pattern of pointings."""

    pattern: Pattern = "list"
    """`list`: positions one by one; `grid`: a rectangle; `rows`: a scan along a plane, rows of constant latitude; `wobble`:
    a circle around a target; `drift`: fixed in the horizontal frame while the sky moves by."""
    name: Annotated[str, AfterValidator(_printable)] = "field"
    """What the observations are said to look at (`OBJECT`)."""
    frame: Frame | None = None
    """Frame of the longitudes and latitudes; not for a drift."""
    positions: tuple[AnglePair, ...] = ()
    """Of a list: [longitude, latitude] each."""
    lon: AngleValue | None = None
    """Centre of a grid, target of a wobble: longitude or right ascension."""
    lat: AngleValue | None = None
    """The same: latitude or declination."""
    width: PositiveAngle | None = None
    """Of a grid: from the first to the last position along longitude."""
    height: PositiveAngle | None = None
    """Of a grid: from the first to the last position along latitude."""
    lon_range: AnglePair | None = None
    """Of rows: first and last longitude, counted upwards from the first, through 0 if need be."""
    lat_range: AnglePair | None = None
    """Of rows: latitude of the lowest and of the highest row."""
    spacing: PositiveAngle | None = None
    """Of a grid, or along a row: largest distance of neighbours."""
    row_spacing: PositiveAngle | None = None
    """Of rows: largest distance between them; left out: `spacing`."""
    offset: PositiveAngle | None = None
    """Of a wobble: distance from the target; left out: 0.5 deg."""
    n_positions: int | None = Field(default=None, ge=1)
    """Of a wobble: positions on the circle; left out: 4."""
    alt: AngleValue | None = None
    """Of a drift: altitude."""
    az: AngleValue | None = None
    """Of a drift: azimuth, north through east."""
    runs: int | None = Field(default=None, ge=1)
    """Observations in all, spread evenly over the positions; left out: one at each."""

    @model_validator(mode="after")
    def _of_pattern(self) -> PointingsConfig:
        required = {
            "list": {"frame", "positions"},
            "grid": {"frame", "lon", "lat", "width", "height", "spacing"},
            "rows": {"frame", "lon_range", "lat_range", "spacing"},
            "wobble": {"frame", "lon", "lat"},
            "drift": {"alt", "az"},
        }[self.pattern]
        optional = {"rows": {"row_spacing"}, "wobble": {"offset", "n_positions"}}.get(self.pattern, set())
        given = {name for name in type(self).model_fields if getattr(self, name) is not None}
        given -= set() if self.positions else {"positions"}
        given -= {"pattern", "name", "runs"}
        if missing := sorted(required - given):
            raise ValueError(
                f"expected {', '.join(sorted(required))} for the pattern {self.pattern}; without {', '.join(missing)}"
            )
        if extra := sorted(given - required - optional):
            raise ValueError(f"found {', '.join(extra)}, which the pattern {self.pattern} does not have")
        latitudes = [self.lat, self.alt, *(self.lat_range or ()), *(position[1] for position in self.positions)]
        if any(abs(angle.to_value("deg")) > 90 for angle in latitudes if angle is not None):
            raise ValueError("expected latitudes and altitudes between -90 deg and 90 deg")
        if self.lat_range is not None and self.lat_range[0] > self.lat_range[1]:
            raise ValueError("expected lat_range as [lowest, highest]")
        return self


class SiteConfig(Section):
    """Where the array stands: a name, or a place."""

    name: SiteName | None = None
    """One of the sites that are known."""
    lon: AngleValue | None = None
    """Longitude, east is positive."""
    lat: AngleValue | None = None
    """Latitude."""
    height: float = Field(default=0.0, ge=-1000, le=100_000)
    """Above the ellipsoid, m."""

    @model_validator(mode="after")
    def _one_way(self) -> SiteConfig:
        place = (self.lon is None) + (self.lat is None)
        if (self.name is None and place) or (self.name is not None and place < 2):
            raise ValueError("expected either a name, or lon, lat and height")
        if self.lat is not None and abs(self.lat.to_value("deg")) > 90:
            raise ValueError("expected lat between -90 deg and 90 deg")
        return self


class ArrayConfig(Section):
    """The built-in parametrised array, at zenith and on axis; `survey.simulation.array` has its formulas."""

    area: float = Field(default=2.0e5, gt=0)
    """Effective area at 10 TeV, m2."""
    threshold: EnergyValue = 0.25 * u.TeV
    """True energy at which half of the effective area is reached."""
    psf_radius: PositiveAngle = Field(default=Angle(0.07, "deg"))
    """Radius that contains 68 % of the events at 1 TeV."""
    energy_resolution: float = Field(default=0.15, gt=0, le=0.5)
    """Relative resolution near 1 TeV."""
    background_rate: float = Field(default=2.0, gt=0)
    """Background events a second in the field of view."""
    alignment: Literal["radec", "altaz"] = "radec"
    """Axes of the background: `radec` is round, `altaz` has a slope along the altitude and turns with the field."""


class ResponsesConfig(Section):
    """The responses of the array that observes."""

    path: PathValue | None = None
    """A GADF file that holds responses, such as one of an observation or of a calibration database; the same for all runs."""
    array: ArrayConfig = Field(default_factory=ArrayConfig)
    """The parametrised array, where no file is given."""
    zenith_step: PositiveAngle = Field(default=Angle(10.0, "deg"))
    """Width of the bands of zenith angle that share one set of its responses."""

    @model_validator(mode="after")
    def _one_kind(self) -> ResponsesConfig:
        if self.path is not None and {"array", "zenith_step"} & self.model_fields_set:
            raise ValueError("expected either path or array, not both")
        return self


class HGPSConfig(Section):
    """The sources of the H.E.S.S. Galactic plane survey."""

    path: PathValue
    """Its published table, `hgps_catalog_v1.fits.gz`."""
    large_scale: bool = True
    """Whether the large-scale emission of the survey's model is part of the sky."""


class PopulationConfig(Section):
    """A synthetic population of Galactic sources."""

    size: int = Field(default=1000, ge=1)
    """Sources in the whole Galaxy."""
    luminosity_index: float = Field(default=1.7, gt=0)
    """Sources per luminosity fall with this power."""
    spectral_index: float = Field(default=2.4, gt=1)
    """Mean photon index."""
    spectral_scatter: float = Field(default=0.25, ge=0)
    """Standard deviation of the indices."""
    cutoff_part: float = Field(default=0.2, ge=0, le=1)
    """Part of the sources whose spectrum has a cut-off."""
    flux_min: float = Field(default=1e-10, ge=0)
    """Fainter sources are left out, s-1 m-2 above 1 TeV."""


class SkyConfig(Section):
    """What shines; left out: nothing but background."""

    models: PathValue | None = None
    """A file of models in Gammapy's YAML format."""
    hgps: HGPSConfig | None = None
    """The sources of the H.E.S.S. Galactic plane survey; where its table is not there and a population is given, that one."""
    population: PopulationConfig | None = None
    """A synthetic population."""

    @model_validator(mode="before")
    @classmethod
    def _fall_back(cls, data: Any, info: ValidationInfo) -> Any:
        """A table that is not there gives way to the population, where there is one."""
        if not isinstance(data, dict) or data.get("population") is None or not isinstance(data.get("hgps"), dict):
            return data
        path = data["hgps"].get("path")
        if is_there(path, info):
            return data
        log.warning("simulation.sky.hgps.path: nothing at %s, the sky is the synthetic population instead", path)
        return {name: value for name, value in data.items() if name != "hgps"}

    @model_validator(mode="after")
    def _one_sky(self) -> SkyConfig:
        if self.models is not None and (self.hgps is not None or self.population is not None):
            raise ValueError("expected either models, or hgps and population")
        return self

    @property
    def kind(self) -> Literal["none", "models", "hgps", "population"]:
        """Which of them the sky is made of."""
        for name in ("models", "hgps", "population"):
            if getattr(self, name) is not None:
                return name
        return "none"

    def as_settings(self) -> dict[str, Any]:
        """The kind of sky and its settings, plain values: what reads the sky takes them."""
        if self.kind == "none":
            return {}
        found = getattr(self, self.kind)
        return {self.kind: found.model_dump() if isinstance(found, Section) else found}


class OutputConfig(Section):
    """How the data store is written."""

    compress: bool = False
    """Write event files as `.fits.gz`: half the size, and slower."""


class SimulationConfig(Section):
    """A simulated survey; `survey simulate` makes it, a run reads over this section."""

    pointings: Annotated[
        tuple[PointingsConfig, ...],
        BeforeValidator(
            lambda value: [value] if isinstance(value, dict) else value,
            json_schema_input_type=PointingsConfig | list[PointingsConfig],
        ),
        Field(min_length=1),
    ]
    """Where the array looks: a pattern, or a list of patterns."""
    site: Annotated[
        SiteConfig,
        BeforeValidator(
            lambda value: {"name": value} if isinstance(value, str) else value,
            json_schema_input_type=str | SiteConfig,
        ),
    ] = SiteConfig(name="hess")
    """Where the array stands; its name alone will do."""
    start: TimeValue = Field(default="2012-01-01T00:00:00")
    """First night."""
    ontime: PositiveDuration = 28 * u.min
    """Length of a run."""
    gap: Duration = 2 * u.min
    """Between two runs of a night."""
    dead_time: float = Field(default=0.05, ge=0, lt=1)
    """Fraction of the ontime in which the array is dead."""
    zenith_max: PositiveAngle = Field(default=Angle(60.0, "deg"))
    """Largest zenith angle in the middle of a run."""
    hour_angle_max: PositiveAngle = Field(default=Angle(45.0, "deg"))
    """Largest distance from the culmination in the middle of a run, as an hour angle."""
    responses: ResponsesConfig = Field(default_factory=ResponsesConfig)
    """The responses of the array."""
    sky: SkyConfig = Field(default_factory=SkyConfig)
    """What shines."""
    background: bool = True
    """Whether there are background events."""
    seed: int = Field(default=0, ge=0)
    """Of the random numbers, together with the number of the observation."""
    output: OutputConfig = Field(default_factory=OutputConfig)
    """How the data store is written."""

    @model_validator(mode="after")
    def _sensible(self) -> SimulationConfig:
        if not self.start.isscalar:
            raise ValueError("expected one start, not a list")
        if self.zenith_max.to_value("deg") > 80:
            raise ValueError("expected zenith_max of at most 80 deg")
        return self
