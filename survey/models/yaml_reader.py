"""Reads models from YAML, as Gammapy 2.1 writes it: components, parts, parameters, links, covariance.

All problems of a file are told at once, each in a line with its component and key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from survey.models.components import COMPONENTS, KINDS, Component, SkyModel, TemplateNPredModel
from survey.models.covariance_file import read_covariance
from survey.models.links import resolve_links
from survey.models.model import Model
from survey.models.models_error import ModelsError, Problems, check_keys, nearest
from survey.models.yaml_parts import read_part
from survey.models.yaml_source import found_file

Array = NDArray[np.float64]

_TAGS = {tag: cls for cls in COMPONENTS for tag in cls.tag}
_PARTS = {
    "SkyModel": KINDS,
    "FoVBackgroundModel": ("spectral", "spatial"),
    "TemplateNPredModel": ("spectral", "spatial"),
}
_SETTINGS = {
    "SkyModel": ("apply_irf", "datasets_names"),
    "FoVBackgroundModel": ("datasets_names",),
    "TemplateNPredModel": ("datasets_names", "filename", "parameters"),
}


@dataclass
class ModelsContent:
    """What a file holds."""

    components: list[Component] = field(default_factory=list)
    """In order, with resolved links."""
    covariance: Array | None = None
    """Of all parameters in order, in canonical units."""


def parse_yaml(text: str, *, folder: Path | None = None, source: str = "") -> ModelsContent:
    """Content of a text.

    Parameters
    ----------
    text : str
        YAML.
    folder : pathlib.Path or None
        Folder that names of files are relative to; the working directory unless given.
    source : str
        Name for messages.

    Raises
    ------
    ModelsError
        With all problems.
    """
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark is not None else ""
        raise ModelsError(
            f"no YAML{line}: {getattr(error, 'problem', None) or 'it cannot be read'}", source=source
        ) from None
    try:
        return parse_data(data, folder=folder)
    except ModelsError as error:
        raise ModelsError(error.lines, source=source) from None


def parse_data(data: Any, *, folder: Path | None = None) -> ModelsContent:
    """Content of plain data; see `parse_yaml`. A ``covariance`` may be the matrix itself or a file."""
    if not isinstance(data, dict) or not isinstance(data.get("components"), list):
        hint = nearest("components", data) if isinstance(data, dict) and "components" not in data else ""
        raise ModelsError(f"components: expected a list of models{hint}")
    reader = _Reader(folder or Path())
    components = reader.components(data["components"])
    covariance = reader.covariance(data.get("covariance"), components)
    return ModelsContent(reader.linked(components), covariance)


class _Reader:
    """Reads one file; remembers what the parameters' values and units were."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.factors: dict[str, float] = {}
        self.valued: set[str] = set()

    def components(self, entries: list[Any]) -> list[Component]:
        problems = Problems()
        found: list[Component] = []
        for number, entry in enumerate(entries):
            component = problems.attempt(lambda e=entry, n=number: self.component(e, f"components[{n}]"))  # type: ignore[misc]
            if component is not None:
                found.append(component)
        names = [component.name for component in found]
        problems.lines += [
            f"{name}: {names.count(name)} components have this name; give each its own"
            for name in dict.fromkeys(names)
            if names.count(name) > 1
        ]
        problems.raise_if_any()
        return found

    def component(self, entry: Any, place: str) -> Component:
        if not isinstance(entry, dict):
            raise ModelsError(f"{place}: {entry!r}, expected a model with name, type and spectral")
        tag = entry.get("type")
        cls = _TAGS.get(tag) if isinstance(tag, str) else None
        name = self.name(entry, cls, place)
        if cls is None:
            raise ModelsError(f"{name}.type: unknown {tag!r}, expected the type of a component{nearest(tag, _TAGS)}")
        kinds, settings = _PARTS[cls.tag[0]], _SETTINGS[cls.tag[0]]
        problems = Problems()
        problems.attempt(lambda: check_keys(entry, ("name", "type", *kinds, *settings), name))
        parts = {
            kind: problems.attempt(lambda k=kind: self.part(k, entry[k], name))  # type: ignore[misc]
            for kind in kinds
            if entry.get(kind) is not None
        }
        if cls is SkyModel and entry.get("spectral") is None:
            problems.lines.append(f"{name}.spectral: missing, expected type and parameters of a spectrum")
        arguments: dict[str, Any] = {
            key: entry[key] for key in ("apply_irf", "datasets_names") if key in settings and entry.get(key) is not None
        }
        if cls is TemplateNPredModel:
            filename = problems.attempt(lambda: found_file(entry.get("filename"), self.folder, name))
            arguments["filename"] = filename
            if "parameters" in entry and "spectral" not in entry:  # Gammapy before 0.19
                old = {"type": "PowerLawNormSpectralModel", "parameters": entry["parameters"]}
                parts["spectral"] = problems.attempt(lambda: self.part("spectral", old, name))
        problems.raise_if_any()
        if "apply_irf" in arguments and not isinstance(arguments["apply_irf"], dict):
            raise ModelsError(f"{name}.apply_irf: {arguments['apply_irf']!r}, expected exposure, psf and edisp")
        if not isinstance(arguments.get("datasets_names", ""), (str, list)):
            raise ModelsError(f"{name}.datasets_names: {arguments['datasets_names']!r}, expected a list of names")
        return cls(name, **arguments, **parts)

    def name(self, entry: Mapping[str, Any], cls: type[Component] | None, place: str) -> str:
        name = entry.get("name")
        if name is None and cls is not None and cls.tag[0] == "FoVBackgroundModel":
            datasets = entry.get("datasets_names")
            first = datasets[0] if isinstance(datasets, list) and datasets else datasets
            if isinstance(first, str):
                return f"{first}-bkg"
            raise ModelsError(f"{place}.datasets_names: {datasets!r}, expected the name of one dataset")
        if not isinstance(name, str) or not name:
            raise ModelsError(
                f"{place}.name: missing, expected the name of the component"
                if name is None
                else f"{place}.name: {name!r}, expected a text; put it in quotes"
            )
        return name

    def part(self, kind: str, data: Any, name: str) -> Model:
        where = f"{name}.{kind}"
        model, entries = read_part(kind, data, where, self.folder)
        self.factors |= {f"{where}.{key}": entry.factor for key, entry in entries.items()}
        self.valued |= {f"{where}.{key}" for key, entry in entries.items() if entry.has_value}
        return model

    def linked(self, components: list[Component]) -> list[Component]:
        groups = {path: parameters for component in components for path, parameters in component.groups.items()}
        resolved = resolve_links(groups, self.valued | (set(_paths(groups)) - set(self.factors)))
        return [component.with_groups(resolved) for component in components]

    def covariance(self, data: Any, components: list[Component]) -> Array | None:
        if data is None:
            return None
        names = _paths({path: item for component in components for path, item in component.groups.items()})
        factors = np.array([self.factors.get(name, 1.0) for name in names])
        if isinstance(data, list):
            matrix = np.array(data, dtype=float).reshape(len(names), len(names))
        elif isinstance(data, str):
            matrix = read_covariance(_covariance_path(data, self.folder), names)
        else:
            raise ModelsError(f"covariance: {data!r}, expected the name of a file")
        return np.asarray(matrix * factors[:, None] * factors)


def _paths(groups: Mapping[str, Any]) -> list[str]:
    return [f"{group}.{name}" for group, parameters in groups.items() for name in parameters]


def _covariance_path(name: str, folder: Path) -> Path:
    path = folder / Path(name).expanduser()
    return path
