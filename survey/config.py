"""The configuration of a run: one YAML file, a superset of Gammapy's `AnalysisConfig`.

A file that is valid for Gammapy 2.1 is valid here; a section that holds only Gammapy's defaults counts as absent, since
Gammapy writes them all. The sections are in the neighbours `config_observations`, `config_datasets`, `config_maps` and
`config_simulation`; `config_errors` words the problems, `config_schema` writes the JSON schema and the reference of the
documentation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, PrivateAttr, ValidationError, ValidationInfo, field_validator

from cluster.config import ClusterConfig
from survey.config_datasets import DatasetsConfig
from survey.config_errors import lines_of
from survey.config_gammapy import only_defaults, without_defaults
from survey.config_maps import (
    STAGES_TO_COME,
    ExcessMapConfig,
    FitConfig,
    FluxPointsConfig,
    LightCurveConfig,
    TSMapConfig,
)
from survey.config_observations import GeneralConfig, ObservationsConfig
from survey.config_simulation import SimulationConfig
from survey.config_types import Section, expand, is_url
from survey.config_yaml import apply_overrides, read_yaml
from survey.refusal import ConfigError

__all__ = ["ConfigError", "SurveyConfig", "load_config"]

NO_CENTRE = "datasets.geom.wcs.skydir: missing, expected frame, lon and lat of the grid's centre"
"""What is said of a grid without one."""

PATHS_OF_CLUSTER = ("scheduler_file", "tls_ca", "tls_cert", "tls_key")
"""Fields of `cluster` that are files which the driver reads."""

#: Sections that are also checked against each other.
_CHECKED: Mapping[str, type[Section]] = {
    "general": GeneralConfig,
    "datasets": DatasetsConfig,
    "excess_map": ExcessMapConfig,
    "ts_map": TSMapConfig,
}


class SurveyConfig(Section):
    """Configuration of a survey run."""

    general: GeneralConfig = Field(default_factory=GeneralConfig)
    """Output folder, log, number of processes."""
    observations: ObservationsConfig
    """Which observations are used."""
    datasets: DatasetsConfig = Field(default_factory=DatasetsConfig)
    """Reduction of observations to the cube."""
    excess_map: ExcessMapConfig | None = None
    """Excess, significance and flux maps."""
    ts_map: TSMapConfig | None = None
    """TS, flux and upper-limit maps."""
    fit: FitConfig | None = None
    """Fit of models; not there yet."""
    flux_points: FluxPointsConfig | None = None
    """Flux points; not there yet."""
    light_curve: LightCurveConfig | None = None
    """Light curves; not there yet."""
    catalog: dict[str, Any] | None = None
    """Source catalogue; not there yet."""
    simulation: SimulationConfig | None = None
    """A simulated survey, which `survey simulate` makes; a run reads over this section."""
    cluster: ClusterConfig = Field(default_factory=ClusterConfig)
    """Where and with how many workers a run computes."""

    _notes: tuple[str, ...] = PrivateAttr(default=())
    _source: str = PrivateAttr(default="")

    @property
    def notes(self) -> tuple[str, ...]:
        """What was read in a way that a user may not expect, one line each."""
        return self._notes

    @property
    def source(self) -> str:
        """The file that the configuration was read from; empty if none."""
        return self._source

    @field_validator("cluster", mode="before")
    @classmethod
    def _complete(cls, section: Any, info: ValidationInfo) -> Any:
        """With paths as they are everywhere here, and `general.n_jobs` as the workers where only that is given."""
        if not isinstance(section, Mapping):
            return section
        lines, section = [], dict(section)
        here = ("scratch",) if section.get("kind", "local") in ("local", "none") else ()  # else of a job's own machine
        for name in (*PATHS_OF_CLUSTER, *here):
            if isinstance(section.get(name), str) and section[name]:
                try:
                    section[name] = expand(section[name], Path((info.context or {}).get("base") or Path.cwd()))
                except ValueError as error:
                    lines.append(f"{name}: found {section[name]!r}, {error}")
        if lines:
            raise ValueError("\n".join(lines))
        general = info.data.get("general")
        if isinstance(general, GeneralConfig) and general.n_jobs != 1:
            section.setdefault("workers", general.n_jobs)
        return section

    def as_dict(self) -> dict[str, Any]:
        """Every key and value as plain data: deg, TeV, absolute paths; absent sections are left out."""
        data = json.loads(self.model_dump_json(exclude={"cluster"}))
        data["cluster"] = json.loads(self.cluster.model_dump_json(exclude_unset=True))
        if 1 != self.general.n_jobs == data["cluster"].get("workers"):
            del data["cluster"]["workers"]
        return {name: value for name, value in data.items() if value is not None and value != {}}

    def to_yaml(self) -> str:
        """The configuration as YAML, which reads back as the same configuration."""
        return yaml.safe_dump(self.as_dict(), sort_keys=False, default_flow_style=False)


def load_config(
    source: str | Path | Mapping[str, Any] | SurveyConfig,
    overrides: Sequence[str] = (),
    *,
    to_run: bool = True,
) -> SurveyConfig:
    """Configuration from a YAML file.

    Parameters
    ----------
    source : str, pathlib.Path, mapping or SurveyConfig
        YAML file; or its content, relative paths then being relative to the working directory.
    overrides : sequence of str
        ``a.b=c`` each, `c` being YAML; they replace what the file says.
    to_run : bool
        Whether it has to be fit to reduce a survey, with inputs that exist and a grid that has a centre; not so to simulate.

    Raises
    ------
    ConfigError
        With all problems, one line each.
    """
    base, name, stem = Path.cwd(), "", "survey"
    if isinstance(source, SurveyConfig):
        if not overrides:
            return source
        name, raw = source.source, source.as_dict()
    elif isinstance(source, Mapping):
        raw = json.loads(json.dumps(source, default=str))
    else:
        path = Path(source).expanduser()
        base, name, stem = path.absolute().parent, path.name, path.stem
        raw = read_yaml(path)
    lines = apply_overrides(raw, overrides)
    raw.pop("metadata", None)
    notes = _notes_on(raw)
    raw = without_defaults(raw)
    lines += _refused(raw)
    if raw.get("general", {}) is None:
        raw.pop("general")
    _default_outdir(raw, stem)
    _default_datastore(raw)
    raw.setdefault("cluster", {})
    context = {"base": base, "to_run": to_run, "simulated": "simulation" in raw}
    try:
        config = SurveyConfig.model_validate(raw, context=context)
    except ValidationError as error:
        # What holds by itself is still checked against the rest, so that all problems are told at once.
        lines += [*lines_of(error, SurveyConfig, raw), *_conflicts(_valid_sections(raw, context), to_run=to_run)]
        raise ConfigError(lines, source=name) from None
    lines += _conflicts({name: getattr(config, name) for name in _CHECKED}, to_run=to_run)
    if lines:
        raise ConfigError(lines, source=name)
    config._notes, config._source = tuple(notes), name
    return config


def _default_outdir(raw: dict[str, Any], stem: str) -> None:
    general = raw.setdefault("general", {})
    if isinstance(general, dict) and general.get("outdir") in (None, ".", "./"):
        general["outdir"] = f"out-{stem}"


def _default_datastore(raw: dict[str, Any]) -> None:
    observations = raw.setdefault("observations", {})
    if "simulation" in raw and isinstance(observations, dict):
        observations.setdefault("datastore", "data")


def _notes_on(raw: Mapping[str, Any]) -> list[str]:
    notes = []
    if "excess_map" in raw and only_defaults("excess_map", raw["excess_map"]):
        notes.append(
            "excess_map: holds only Gammapy's defaults, which count as absent: no excess map is made; "
            "to have it, give a key that Gammapy lacks, such as excess_map.index: 2"
        )
    general = raw.get("general")
    for name in ("datasets_file", "models_file"):
        if isinstance(general, Mapping) and general.get(name):
            notes.append(f"general.{name}: read and kept, but not used")
    return notes


def _refused(raw: dict[str, Any]) -> list[str]:
    """Lines on what is understood but not there yet, which is taken out of `raw`."""
    lines = []
    for name in STAGES_TO_COME:
        if name in raw and raw.pop(name) is not None:
            lines.append(f"{name}: the stage {name} does not exist yet; take this section out")
    datasets = raw.get("datasets")
    background = datasets.get("background") if isinstance(datasets, dict) else None
    if isinstance(background, dict) and background.get("method") in ("ring", "reflected"):
        found = background.pop("method")
        background.pop("parameters", None)
        lines.append(f"datasets.background.method: found '{found}', which does not exist yet; use fov_background")
    return lines


def _valid_sections(raw: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Section]:
    sections = {}
    for name, model in _CHECKED.items():
        try:
            sections[name] = model.model_validate(raw.get(name, {}), context=dict(context))
        except ValidationError:
            continue
        if name not in raw and name != "datasets":
            sections.pop(name)
    return sections


def _conflicts(sections: Mapping[str, Section | None], *, to_run: bool) -> list[str]:
    """Lines on sections that do not fit together; of those given."""
    lines = []
    general, datasets = sections.get("general"), sections.get("datasets")
    if isinstance(general, GeneralConfig) and not is_url(general.outdir) and Path(general.outdir).is_file():
        lines.append(f"general.outdir: found {general.outdir!r}, which is a file; expected a folder")
    if not isinstance(datasets, DatasetsConfig):
        return lines
    if datasets.kind == "1d":
        found = "found '1d'" if datasets.type else "left out with an on_region, which means 1d"
        return [*lines, f"datasets.type: {found}; the stage for 1d does not exist yet: say 3d"]
    selection = set(datasets.map_selection)
    if to_run and not datasets.geom.wcs.skydir.is_given:
        lines.append(NO_CENTRE)
    if not datasets.stack:
        lines.append("datasets.stack: found False; unstacked datasets do not exist yet: say true")
    if datasets.background.method and "background" not in selection:
        lines.append("datasets.background.method: needs background in datasets.map_selection")
    needs = {
        "excess_map": {"counts", "background", "exposure"},
        "ts_map": {"counts", "background", "exposure", "psf", "edisp"},
    }
    for name, wanted in needs.items():
        if sections.get(name) is None:
            continue
        if missing := sorted(wanted - selection):
            lines.append(f"{name}: needs {', '.join(missing)} in datasets.map_selection")
        proj = datasets.geom.wcs.proj
        if proj in ("AIT", "MOL"):
            lines.append(
                f"{name}: maps that are convolved need pixels of one size, which {proj} does not have; "
                "take this section out or set datasets.geom.wcs.proj to CAR or TAN"
            )
    return lines
