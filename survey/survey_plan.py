"""What a run is about to do, resolved from its configuration: grid, axes, observations and where each of them looks.

Nothing is computed here. The rooms' ``graph.py`` turn a plan into units of work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import attrgetter
from typing import Any, Literal, NamedTuple

import numpy as np
from astropy.coordinates import SkyCoord

from survey.config import NO_CENTRE, SurveyConfig
from survey.config_datasets import RegionConfig
from survey.estimators.distortion import check_distortion
from survey.estimators.response_at import band_slices
from survey.events.datastore import DataStore, check_sources, open_datastore
from survey.events.observation import Observation, ObservationRejected
from survey.events.problems import DataStoreError, Problem, refused, summary
from survey.events.required import lacking
from survey.events.selection import concerns, select
from survey.events.source import ObservationSource
from survey.events.time_cut import cut_time
from survey.fitting.prediction import check_predictable, split_by_dataset
from survey.layout import Layout
from survey.models.collection import Models, read_models
from survey.reduction.axes import Axes
from survey.reduction.settings import ReductionSettings
from survey.reduction.stages import POINTING_TOLERANCE, needed_responses, prepare_expected
from survey.refusal import ConfigError, Refusal
from survey.sky.energy import RAD_EDGES, EnergyAxis
from survey.sky.grid import SkyGrid
from survey.sky.regions import ExclusionSpec
from survey.sky.tiles import Tile
from survey.store import urls

VARIABLES_OF = {
    "counts": ("counts",),
    "background": ("background",),
    "exposure": ("exposure",),
    "psf": ("psf_exposure", "irf_exposure"),
    "edisp": ("edisp_exposure", "irf_exposure"),
}
COVERAGE = ("n_safe", "livetime", "n_observations")
ALIGNMENTS: dict[str, Literal["auto", "RADEC", "ALTAZ"]] = {"auto": "auto", "radec": "RADEC", "altaz": "ALTAZ"}
DATASET = "stacked"
"""Name of the dataset in the cube."""
SIDEREAL_RATE = 360.98564736629 / 86400.0  # deg per second


class Footprint(NamedTuple):
    """Circle on the sky that an observation stays within: ICRS, deg."""

    ra: float
    dec: float
    radius: float


@dataclass(frozen=True, eq=False)
class SurveyPlan:
    """A run, resolved.

    Parameters
    ----------
    config : SurveyConfig
        The configuration.
    layout : Layout
        Where the products go.
    grid : SkyGrid
        The pixels.
    axes : Axes
        The energies, and the distances of the PSF.
    settings : ReductionSettings
        Choices of the reduction.
    exclusion : ExclusionSpec or None
        Where the background is not fitted.
    sources : tuple of ObservationSource
        Those selected.
    footprints : tuple of Footprint
        One a source.
    problems : tuple of Problem
        Found in the index, or in the headers of observations whose place is not in the index.
    notes : tuple of str
        What of the configuration is not done to the letter.
    models : Models or None
        Sky models whose counts are predicted.
    """

    config: SurveyConfig
    layout: Layout
    grid: SkyGrid
    axes: Axes
    settings: ReductionSettings
    exclusion: ExclusionSpec | None
    sources: tuple[ObservationSource, ...]
    footprints: tuple[Footprint, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()
    models: Models | None = None

    @property
    def dataset_name(self) -> str:
        """Name of the dataset in the cube."""
        return DATASET

    @property
    def cube(self) -> str:
        """URL of the dataset in the cube."""
        return f"{self.layout.cube}/{self.dataset_name}"

    @property
    def variables(self) -> tuple[str, ...]:
        """Variables of the cube that are made, in the order of the registry."""
        names = [name for map_name in self.settings.selection for name in VARIABLES_OF[map_name]]
        return tuple(dict.fromkeys([*names, *COVERAGE]))

    @cached_property
    def tiles(self) -> dict[Tile, list[int]]:
        """Tiles that observations reach, with the numbers of those observations, in the order of the grid."""
        reached: dict[Tile, list[int]] = {}
        for number, footprint in enumerate(self.footprints):
            for tile in self.grid.tiles_near(*footprint):
                reached.setdefault(tile, []).append(number)
        return dict(sorted(reached.items()))

    def observations_key(self) -> list[str]:
        """Identities of the observations, sorted."""
        return sorted(source.identity for source in self.sources)


def make_plan(config: SurveyConfig, *, models: str | None = None) -> SurveyPlan:
    """Resolve a configuration.

    Parameters
    ----------
    config : SurveyConfig
        The configuration.
    models : str or None
        File of sky models.

    Raises
    ------
    Refusal
        When no observation is selected or the data store cannot be read, with one line a problem.
    """
    selection = config.observations
    store, sources = _selected(config)
    grid = make_grid(config)
    if config.excess_map is not None or config.ts_map is not None:
        try:
            check_distortion(grid)
        except ValueError as error:
            raise Refusal(f"datasets.geom.wcs: {error}") from error
    axes = _axes(config)
    notes = [*_check_energies(axes), *_check_bands(config, axes)]
    settings = _settings(config)
    footprints, kept, problems = [], [], list(store.problems)
    for source in sorted(sources, key=lambda one: one.identity):
        try:
            footprint = _footprint(source, settings)
        except ObservationRejected as error:
            problems.append(Problem("error", str(error), obs_id=source.obs_id))
            continue
        kept.append(source)
        footprints.append(footprint)
    if selection.strict:
        found = _checked(kept, footprints, grid, axes, settings, strict=True)
        problems += [problem for problem in found if problem not in problems]
        if lines := refused(problems):
            raise Refusal([f"observations (strict): {line}" for line in lines])
    chosen = None
    if models is not None:
        chosen, dropped = _models(models, config, grid, axes)
        notes += dropped
    plan = SurveyPlan(
        config=config,
        layout=Layout(config.general.outdir),
        grid=grid,
        axes=axes,
        settings=settings,
        exclusion=_exclusion(config),
        sources=tuple(kept),
        footprints=tuple(footprints),
        problems=tuple(problems),
        notes=tuple(notes),
        models=chosen,
    )
    if plan.sources and not plan.tiles:
        raise Refusal(
            f"datasets.geom: none of the {len(plan.sources)} observations selected looks at the grid, {grid.width_x:g} x "
            f"{grid.width_y:g} deg around {grid.lon:g}, {grid.lat:g} deg ({grid.frame}); "
            f"the first looks at RA {footprints[0].ra:.2f}, DEC {footprints[0].dec:.2f} deg (ICRS): "
            "move datasets.geom.wcs.skydir or select others"
        )
    return plan


def _models(path: str, config: SurveyConfig, grid: SkyGrid, axes: Axes) -> tuple[Models, list[str]]:
    """The sky models of a file, which have to fit the cube, and lines for those that are of another dataset.

    Raises
    ------
    Refusal
        When the file cannot be read, a template ends inside the grid, or the cube lacks what a prediction needs.
    """
    missing = [name for name in ("exposure", "psf", "edisp") if name not in config.datasets.map_selection]
    if missing:
        raise Refusal(
            f"--models {path}: predicted counts need {', '.join(missing)}, add them to datasets.map_selection "
            f"(found {', '.join(config.datasets.map_selection)})"
        )
    try:
        check_distortion(grid)
        models = read_models(path)
        chosen, dropped = split_by_dataset(models, DATASET)
        check_predictable(chosen.values())
        chosen.check_covers(grid.geometry(grid.full_window), energy=axes.energy_true.centers)
    except (ValueError, OSError) as error:
        raise Refusal([f"--models {path}: {line}" for line in str(error).splitlines()]) from error
    return chosen, [f"--models {path}: {line}" for line in dropped]


def _check_energies(axes: Axes) -> list[str]:
    """True energies have to reach beyond the reconstructed ones, or predicted counts and fluxes lack what comes from there."""
    measured, true = (axis.edges[[0, -1]] for axis in (axes.energy, axes.energy_true))
    if true[0] <= measured[0] * (1 + 1e-9) and true[1] >= measured[1] * (1 - 1e-9):
        return []
    return [
        f"datasets.geom.axes.energy_true: found {true[0]:g} to {true[1]:g} TeV, which does not hold the {measured[0]:g} to "
        f"{measured[1]:g} TeV of energy: fluxes and predicted counts are wrong near the ends; choose a wider range"
    ]


def _check_bands(config: SurveyConfig, axes: Axes) -> list[str]:
    """Refuse energy bands that hold no bin of the cube; lines for those whose ends are not edges of its axis."""
    lines, moved = [], []
    edges = axes.energy.edges
    for name, section in (("excess_map", config.excess_map), ("ts_map", config.ts_map)):
        for band in (section.bands() if section is not None else None) or ():
            try:
                bins = band_slices(edges, (band,))[0]
            except ValueError as error:
                lines.append(f"{name}: {error}")
                continue
            taken = edges[bins.start], edges[bins.stop]
            if not np.allclose(taken, band, rtol=1e-3, atol=0.0):
                moved.append(
                    f"{name}: energy band {band[0]:g} to {band[1]:g} TeV is taken as {taken[0]:.4g} to {taken[1]:.4g} "
                    "TeV, the nearest edges of datasets.geom.axes.energy"
                )
    if lines:
        raise Refusal(lines)
    return moved


def _selected(config: SurveyConfig) -> tuple[DataStore, tuple[ObservationSource, ...]]:
    """The data store, with the problems that concern the selection, and the observations selected."""
    section = config.observations
    try:
        selection = section.as_selection()
        store = open_datastore(section.datastore, index_hdu=section.index_hdu, roots=section.roots)
    except (DataStoreError, ValueError) as error:
        raise Refusal([f"observations: {line}" for line in str(error).splitlines()]) from error
    good = {source.obs_id for source in store.sources}
    lost = {
        obs_id
        for obs_id in {problem.obs_id for problem in store.problems if problem.obs_id is not None} - good
        if concerns(selection, obs_id, store.rejected.get(obs_id, {}))
    }
    without = lacking(store, selection)
    left_out = {problem.obs_id for problem in without}
    try:
        sources = select(store, selection)
    except ValueError as error:
        found = refused(problem for problem in store.problems if problem.obs_id in lost and problem.severity == "error")
        found += summary(problem for problem in store.problems if problem.obs_id in left_out)
        raise Refusal([f"observations: {line}" for line in [*str(error).splitlines(), *found]]) from error
    asked = {None, *lost, *left_out, *(source.obs_id for source in sources)}
    told = tuple(problem for problem in store.problems if problem.obs_id in asked)
    return replace(store, problems=(*told, *without)), sources


def check_observations(plan: SurveyPlan) -> tuple[Problem, ...]:
    """Read the observations of a plan and return all problems there are, those of the index first."""
    found = _checked(plan.sources, plan.footprints, plan.grid, plan.axes, plan.settings)
    return (*plan.problems, *(problem for problem in found if problem not in plan.problems))


def _checked(
    sources: Sequence[ObservationSource],
    footprints: Sequence[Footprint],
    grid: SkyGrid,
    axes: Axes,
    settings: ReductionSettings,
    *,
    strict: bool = False,
) -> tuple[Problem, ...]:
    """Problems that reading some observations and bringing them to the survey's axes shows; by obs_id."""
    expected = {source.identity: footprint for source, footprint in zip(sources, footprints, strict=True)}

    def trial(source: ObservationSource, observation: Observation) -> None:
        if source.windows:
            try:
                observation = cut_time(observation, source.windows)
            except ObservationRejected:
                if strict:
                    return  # it is not at fault
                raise
        prepare_expected(observation, grid, axes, settings, expected[source.identity])

    in_order = sorted(sources, key=attrgetter("obs_id", "identity"))
    return check_sources(in_order, responses=needed_responses(settings), trial=trial)


def make_grid(config: SurveyConfig) -> SkyGrid:
    """The pixel grid of a configuration; a `Refusal` where it has no centre."""
    wcs, tiles = config.datasets.geom.wcs, config.datasets.geom.tiles
    if not wcs.skydir.is_given:
        raise ConfigError([NO_CENTRE], source=config.source)
    assert wcs.skydir.lon is not None
    assert wcs.skydir.lat is not None
    assert wcs.skydir.frame is not None
    return SkyGrid.create(
        proj=wcs.proj,
        frame=wcs.skydir.frame,
        lon=float(wcs.skydir.lon.to_value("deg")),
        lat=float(wcs.skydir.lat.to_value("deg")),
        binsize=float(wcs.binsize.to_value("deg")),
        width=(float(wcs.width.width.to_value("deg")), float(wcs.width.height.to_value("deg"))),
        binsize_irf=float(wcs.binsize_irf.to_value("deg")),
        tile_chunks=tiles.chunks,
        chunk_pixels=tiles.chunk,
    )


def _axes(config: SurveyConfig) -> Axes:
    energy, energy_true = (
        EnergyAxis.from_bounds(name, *axis.bounds)
        for name, axis in (
            ("energy", config.datasets.geom.axes.energy),
            ("energy_true", config.datasets.geom.axes.energy_true),
        )
    )
    return Axes(energy, energy_true, RAD_EDGES)


def _settings(config: SurveyConfig) -> ReductionSettings:
    safe, parameters = config.datasets.safe_mask, config.datasets.safe_mask.parameters
    position = None
    if parameters.position is not None:
        icrs = SkyCoord(parameters.position.lon, parameters.position.lat, frame=parameters.position.frame).icrs
        position = (float(icrs.ra.deg), float(icrs.dec.deg))
    fixed = parameters.fixed_offset
    return ReductionSettings(
        safe_methods=safe.methods,
        aeff_percent=parameters.aeff_percent,
        bias_percent=parameters.bias_percent,
        position=position,
        fixed_offset=None if fixed is None else float(fixed.to_value("deg")),
        safe_offset_max=float(parameters.offset_max.to_value("deg")),
        mask_invalid_background="background" in config.datasets.map_selection,
        offset_max=float(config.datasets.geom.selection.offset_max.to_value("deg")),
        events_outside_gti=config.observations.events_outside_gti,
        fov_alignment=ALIGNMENTS[config.datasets.background.fov_alignment],
        selection=config.datasets.map_selection,
    )


def _exclusion(config: SurveyConfig) -> ExclusionSpec | None:
    exclusion = config.datasets.background.exclusion
    if exclusion is None or exclusion == []:
        return None
    if isinstance(exclusion, str):
        if not urls.exists(exclusion):
            raise Refusal(f"datasets.background.exclusion: there is no file {exclusion}; mend the path or the URL")
        return ExclusionSpec(path=exclusion)
    return ExclusionSpec(regions=tuple(_plain_region(region) for region in exclusion))


def _plain_region(region: RegionConfig | str) -> str | dict[str, Any]:
    return region if isinstance(region, str) else region.model_dump(mode="json", exclude_none=True)


def _footprint(source: ObservationSource, settings: ReductionSettings) -> Footprint:
    """Where an observation looks, from the index; the headers are read only where the index does not say it."""
    radius = (settings.offset_max or 180.0) + POINTING_TOLERANCE
    record = source.record
    ra, dec = record.get("RA_PNT"), record.get("DEC_PNT")
    mode = str(record.get("OBS_MODE", "")).upper()
    known = isinstance(ra, float | int) and isinstance(dec, float | int) and np.isfinite([ra, dec]).all()
    if known and mode != "DRIFT" and "pointing" not in source.kinds:
        return Footprint(float(ra), float(dec), radius)  # type: ignore[arg-type]
    observation = source.load(responses=())
    pointing = observation.pointing
    if pointing.mode == "altaz":
        radius += 0.5 * SIDEREAL_RATE * (observation.tstop - observation.tstart)
    elif pointing.mode == "table" and pointing.table_ra is not None and pointing.table_dec is not None:
        table = SkyCoord(pointing.table_ra, pointing.table_dec, unit="deg")
        radius += float(table.separation(SkyCoord(pointing.ra, pointing.dec, unit="deg")).deg.max())
    return Footprint(pointing.ra, pointing.dec, radius)
