"""The sections `general` and `observations`: which data, how strictly they are read, where results go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from survey.config_types import (
    AngleValue,
    InputPath,
    PathValue,
    PositiveAngle,
    Section,
    TimeValue,
    is_url,
    scalar_or_list,
)

if TYPE_CHECKING:
    from survey.events.selection import Selection

Frame = Literal["icrs", "galactic"]


class LogConfig(Section):
    """How a run reports itself."""

    level: Annotated[
        Literal["debug", "info", "warning", "error", "critical"],
        BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value),
    ] = "info"
    """Least severe level that is shown."""
    filename: PathValue | None = None
    """File that the log is also written to."""
    filemode: Literal["w", "a"] | None = None
    """Whether that file is begun anew or appended to."""
    format: str | None = None
    """Format of a log line, as in Python's logging."""
    datefmt: str | None = None
    """Format of its date."""

    @model_validator(mode="after")
    def _on_a_disk(self) -> LogConfig:
        if self.filename is not None and is_url(self.filename):
            raise ValueError(
                f"found filename {self.filename}, expected a file on this machine: a log grows line by line"
            )
        return self


class GeneralConfig(Section):
    """Output folder, log, number of processes."""

    log: LogConfig = Field(default_factory=LogConfig)
    """How a run reports itself."""
    outdir: PathValue = "."
    """Folder or URL of the results. Left out, or `.`: a folder beside the file, named like it."""
    n_jobs: int = Field(default=1, ge=1)
    """Number of workers where `cluster.workers` is not given; 1, Gammapy's default, is ignored."""
    datasets_file: PathValue | None = None
    """Gammapy's; not used: the cube is kept under `outdir`."""
    models_file: PathValue | None = None
    """Gammapy's; not used: models are given with `survey run --models`."""


class CircleConfig(Section):
    """A circle on the sky."""

    frame: Frame | None = None
    """Frame of `lon` and `lat`."""
    lon: AngleValue | None = None
    """Longitude or right ascension of the centre."""
    lat: AngleValue | None = None
    """Latitude or declination of the centre."""
    radius: PositiveAngle | None = None
    """Radius."""

    @model_validator(mode="after")
    def _all_or_nothing(self) -> CircleConfig:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        missing = [name for name in type(self).model_fields if name not in given]
        if given and missing:
            raise ValueError(f"expected frame, lon, lat and radius together; without {', '.join(missing)}")
        return self

    @property
    def is_set(self) -> bool:
        """Whether there is a circle."""
        return self.lon is not None


class TimeRangeConfig(Section):
    """A range of time, or several: `start` and `stop` are then lists of the same length."""

    start: TimeValue | None = None
    """First moment."""
    stop: TimeValue | None = None
    """Moment after the last: ranges are [start, stop)."""

    @model_validator(mode="after")
    def _ordered(self) -> TimeRangeConfig:
        if (self.start is None) != (self.stop is None):
            raise ValueError("expected start and stop together")
        if self.start is not None and self.stop is not None:
            if self.start.shape != self.stop.shape:
                raise ValueError("expected as many values of start as of stop")
            if not np.all(self.start < self.stop):
                raise ValueError(f"found start {self.start} and stop {self.stop}; expected start before stop")
        return self

    @property
    def is_set(self) -> bool:
        """Whether there is a range."""
        return self.start is not None


def _range(value: list[float]) -> list[float]:
    if len(value) != 2 or not value[0] <= value[1]:
        raise ValueError("expected [least, greatest]")
    return value


ColumnRange = Annotated[
    list[Annotated[float, Field(allow_inf_nan=True)]],  # a range may be open
    Field(json_schema_extra={"minItems": 2, "maxItems": 2}),
    AfterValidator(_range),
]
RequiredHDU = Literal["events", "gti", "aeff", "bkg", "edisp", "psf", "rad_max"]


class ObservationsConfig(Section):
    """Which observations are used."""

    datastore: Annotated[
        tuple[InputPath, ...], BeforeValidator(scalar_or_list, json_schema_input_type=str | list[str])
    ] = ("$GAMMAPY_DATA/hess-dl3-dr1",)
    """A folder of GADF files, an index file, event files, or an archive; several as a list."""
    obs_ids: tuple[int, ...] = ()
    """Observation ids; empty: all."""
    obs_file: InputPath | None = None
    """Text table whose first column lists observation ids."""
    obs_cone: CircleConfig = Field(default_factory=CircleConfig)
    """Circle that the pointing lies in."""
    obs_time: TimeRangeConfig = Field(default_factory=TimeRangeConfig)
    """Range of time."""
    required_irf: tuple[RequiredHDU, ...] = ("aeff", "edisp", "psf", "bkg")
    """What an observation must have to be used; one without it is set aside where obs_ids or obs_file names it, else left out
    with a warning."""
    obs_filter: dict[str, ColumnRange] = Field(default_factory=dict)
    """Column of the observation index: [least, greatest], both included."""
    events_outside_gti: Literal["keep", "drop"] = "keep"
    """Whether events outside the good times are used; they are counted either way."""
    strict: bool = False
    """Refuse data with errors instead of setting observations aside, and data with doubts: numbers that can be read but
    should not be as they are, such as a PSF that is not normalised, or events more than a second outside the good times."""
    index_hdu: int | None = Field(default=None, ge=1)
    """Which table of an index file that holds several, counted from 1."""
    roots: tuple[InputPath, ...] = ()
    """Folders outside the data store that an index may lead to."""

    @model_validator(mode="before")
    @classmethod
    def _null_lists(cls, data: Any) -> Any:
        if isinstance(data, dict):
            absent = ("obs_ids", "roots", "obs_cone", "obs_time", "obs_filter")
            return {key: value for key, value in data.items() if not (key in absent and value is None)}
        return data

    @model_validator(mode="after")
    def _one_list(self) -> ObservationsConfig:
        if self.obs_ids and self.obs_file:
            raise ValueError("expected either obs_ids or obs_file, not both")
        return self

    def as_selection(self) -> Selection:
        """These keys as the selection of observations.

        Raises
        ------
        ValueError
            When `obs_file` does not hold observation ids.
        """
        from survey.events.selection import Selection

        return Selection.create(
            obs_ids=self.obs_ids,
            obs_file=self.obs_file,
            obs_cone=dict(self.obs_cone) if self.obs_cone.is_set else None,
            obs_time=dict(self.obs_time) if self.obs_time.is_set else None,
            required_irf=self.required_irf,
            obs_filter=self.obs_filter,
        )
