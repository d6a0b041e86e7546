"""What `survey simulate` is about to do, resolved from the configuration: runs with their times, responses, the sky.

Nothing is drawn here. `survey.simulation.graph` turns a plan into units of work.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from survey.config import SurveyConfig
from survey.config_simulation import PointingsConfig, SimulationConfig
from survey.config_types import is_url
from survey.models.collection import Models
from survey.refusal import ConfigError, Refusal
from survey.simulation.array import ParametrisedArray
from survey.simulation.pointings import (
    Targets,
    drift,
    grid_positions,
    join,
    on_sky,
    row_positions,
    wobble_positions,
)
from survey.simulation.responses import ResponseChoice, ResponsesError
from survey.simulation.schedule import Observing, Run, ScheduleError, make_schedule
from survey.simulation.site import SITES, Site
from survey.simulation.sky import check_emission, read_sky, template_files


@dataclass(frozen=True, eq=False)
class SimulationPlan:
    """A simulated survey, resolved.

    Parameters
    ----------
    runs : tuple of Run
        The observations, in the order of time.
    site : Site
        Where from.
    responses : ResponseChoice
        What with.
    models : Models
        The sky; empty for none.
    background : bool
        Whether there is a background.
    seed : int
        Of the random numbers.
    compress : bool
        Whether event files are compressed.
    """

    runs: tuple[Run, ...]
    site: Site
    responses: ResponseChoice
    models: Models
    background: bool = True
    seed: int = 0
    compress: bool = False

    @cached_property
    def sky(self) -> str:
        """The sky as a file of models; empty for none."""
        return self.models.to_yaml(full=True) if len(self.models) else ""

    @cached_property
    def templates(self) -> dict[str, bytes]:
        """FITS images that belong beside the file of the sky, by name."""
        return template_files(self.models.values())  # type: ignore[arg-type]

    @cached_property
    def sky_digest(self) -> str:
        """Of the sky, with its images and the files that it refers to."""
        digest = hashlib.sha256(self.sky.encode())
        for name in sorted(self.templates):
            digest.update(name.encode() + self.templates[name])
        parts = [part for component in self.models.values() for part in component.parts.values()]
        for name in sorted({str(getattr(part, "filename", "")) for part in parts}):
            if os.path.isfile(name):
                digest.update(Path(name).read_bytes())
        return digest.hexdigest()

    def response_sets(self) -> dict[str, float]:
        """Name of every set of responses that runs have, with the zenith angle, deg, of one of them."""
        return {self.responses.name(run.zenith): run.zenith for run in self.runs}


def make_simulation_plan(config: SurveyConfig) -> SimulationPlan:
    """Resolve the section `simulation`.

    Parameters
    ----------
    config : SurveyConfig
        With such a section.

    Raises
    ------
    Refusal
        When it cannot be simulated; the message has one line a problem.
    """
    section = config.simulation
    if section is None:
        raise Refusal(f"{config.source or 'the configuration'}: has no section simulation, which says what to simulate")
    try:
        return _resolved(section)
    except Refusal as refusal:
        raise ConfigError(refusal.lines, source=config.source) from refusal


def _resolved(section: SimulationConfig) -> SimulationPlan:
    _check_paths(section)
    site = _site(section)
    start = section.start.utc.mjd
    observing = Observing(
        start=float(start),
        ontime=float(section.ontime.to_value("s")),
        gap=float(section.gap.to_value("s")),
        dead_time=section.dead_time,
        zenith_max=float(section.zenith_max.to_value("deg")),
        hour_angle_max=float(section.hour_angle_max.to_value("deg")),
    )
    try:
        runs = make_schedule(join([_targets(pattern) for pattern in section.pointings]), site, observing)
    except ScheduleError as error:
        raise Refusal(f"simulation.pointings: {error}") from error
    responses = _responses(section)
    try:
        tables = responses.tables(runs[0].zenith)
    except ResponsesError as error:
        raise Refusal([f"simulation.responses.path: {line}" for line in str(error).splitlines()]) from error
    if section.background and "bkg" not in tables:
        raise Refusal(
            f"simulation.responses.path: {responses.path} has no background; expected one, or simulation.background: false"
        )
    return SimulationPlan(
        runs=runs,
        site=site,
        responses=responses,
        models=_sky(section),
        background=section.background,
        seed=section.seed,
        compress=section.output.compress,
    )


def _check_paths(section: SimulationConfig) -> None:
    """Inputs of the simulation have to be there; those of a run of the survey need not, before the simulation."""
    named = {
        "simulation.responses.path": section.responses.path,
        "simulation.sky.models": section.sky.models,
        "simulation.sky.hgps.path": section.sky.hgps.path if section.sky.hgps is not None else None,
    }
    lines = [
        f"{key}: found {path!r}, expected something that exists; there is nothing there"
        for key, path in named.items()
        if path is not None and not is_url(path) and not os.path.exists(path)
    ]
    if lines:
        raise Refusal(lines)


def _site(section: SimulationConfig) -> Site:
    place = section.site
    if place.name is not None:
        return SITES[place.name]
    assert place.lon is not None
    assert place.lat is not None
    return Site(float(place.lon.to_value("deg")), float(place.lat.to_value("deg")), place.height)


def _targets(section: PointingsConfig) -> Targets:
    deg = {
        name: float(value.to_value("deg"))
        for name in ("lon", "lat", "width", "height", "spacing", "row_spacing", "offset", "alt", "az")
        if (value := getattr(section, name)) is not None
    }
    if section.pattern == "drift":
        return drift(deg["alt"], deg["az"], runs=section.runs or 1, name=section.name)
    if section.pattern == "list":
        lon, lat = np.array([[angle.to_value("deg") for angle in pair] for pair in section.positions]).T
    elif section.pattern == "grid":
        lon, lat = grid_positions(deg["lon"], deg["lat"], width=deg["width"], height=deg["height"], step=deg["spacing"])
    elif section.pattern == "wobble":
        lon, lat = wobble_positions(
            deg["lon"], deg["lat"], offset=deg.get("offset", 0.5), n_positions=section.n_positions or 4
        )
    else:
        assert section.lon_range is not None
        assert section.lat_range is not None
        first, last = (float(angle.to_value("deg")) for angle in section.lon_range)
        low, high = (float(angle.to_value("deg")) for angle in section.lat_range)
        lon, lat = row_positions(
            (first, last), (low, high), step=deg["spacing"], row_step=deg.get("row_spacing", deg["spacing"])
        )
    assert section.frame is not None
    return on_sky(lon, lat, frame=section.frame, runs=section.runs, name=section.name)


def _responses(section: SimulationConfig) -> ResponseChoice:
    array = section.responses.array
    return ResponseChoice(
        array=ParametrisedArray(
            area=array.area,
            threshold=float(array.threshold.to_value("TeV")),
            psf_radius=float(array.psf_radius.to_value("deg")),
            energy_resolution=array.energy_resolution,
            background_rate=array.background_rate,
            alignment="ALTAZ" if array.alignment == "altaz" else "RADEC",
        ),
        zenith_step=float(section.responses.zenith_step.to_value("deg")),
        path=section.responses.path or "",
    )


def _sky(section: SimulationConfig) -> Models:
    try:
        models = Models(read_sky(section.sky.as_settings(), seed=section.seed))
        check_emission(models.values())
        return models
    except ValueError as error:
        raise Refusal([f"simulation.sky.{section.sky.kind}: {line}" for line in str(error).splitlines()]) from error
