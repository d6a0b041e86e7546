"""Parts of components in model files: spectra, shapes and time dependences, with what they hold beside parameters.

Most parts are a type and parameters. Those that hold more have a reader and a writer of their own under their tag: with
nodes, lists or other models here, with files in `yaml_templates`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from survey.models.model import Model
from survey.models.models_error import ModelsError
from survey.models.parameters import Parameter, Parameters
from survey.models.registry import model_class
from survey.models.spectral import FLUX_UNIT
from survey.models.yaml_source import Entries, How, Source, data_lists, made, parameters_of
from survey.models.yaml_templates import (
    read_absorption,
    read_image,
    read_light_curve,
    read_phase_curve,
    write_absorption,
    write_image,
    write_light_curve,
    write_phase_curve,
)


def read_part(kind: str, data: Any, where: str, folder: Path) -> tuple[Model, Entries]:
    """A model, and its parameters as they were read.

    Parameters
    ----------
    kind : str
        ``spectral``, ``spatial`` or ``temporal``.
    data : object
        Entry of the file.
    where : str
        Component and section.
    folder : pathlib.Path
        Folder that names of files are relative to.
    """
    if not isinstance(data, dict):
        raise ModelsError(f"{where}: {data!r}, expected type and parameters")
    if "type" not in data:
        raise ModelsError(f"{where}.type: missing, expected the tag of a {kind} model")
    cls = model_class(data["type"], kind, where)
    source = Source(cls, data, where, folder)
    special = _READERS.get(cls.tag[0])
    if special is not None:
        return special(source)
    if kind == "spectral":
        source.keys()
        entries = source.entries()
        return source.made(**parameters_of(entries)), entries
    setting = "frame" if kind == "spatial" else "scale"
    source.keys(setting)
    entries = source.entries()
    settings = {setting: data[setting]} if setting in data and takes(cls, setting) else {}
    return source.made(**settings, **parameters_of(entries)), entries


def write_part(model: Model, *, full: bool = False, canonical: bool = False, folder: Path | None = None) -> Any:
    """Entry of a model; see `survey.models.yaml_writer.component_data` for the arguments."""
    special = _WRITERS.get(model.tag[0])
    how = How(full, canonical, folder)
    if special is not None:
        return special(model, how)
    entry: dict[str, Any] = {"type": model.tag[0]}
    for setting in ("frame", "scale"):
        value = getattr(model, setting, None)
        if isinstance(value, str) and takes(type(model), setting):
            entry[setting] = value
    entry["parameters"] = how.parameters(model)
    return entry


def takes(cls: type[Any], setting: str) -> bool:
    """Whether a class has a setting, which is an argument by name and no parameter."""
    return any(setting in inspect.signature(base).parameters for base in cls.__mro__[:-1])


def _read_constant(source: Source) -> tuple[Model, Entries]:
    source.keys()
    defaults = Parameters(source.cls.defaults)
    listed = source.data.get("parameters") or []
    if any(isinstance(entry, dict) and entry.get("unit") == "" for entry in listed):
        defaults = Parameters([Parameter("const", 1.0)])  # a norm
    entries = source.entries(defaults)
    return source.made(**parameters_of(entries)), entries


def _read_compound(source: Source) -> tuple[Model, Entries]:
    source.keys("model1", "model2", "operator")
    models: list[Model] = []
    entries: Entries = {}
    for which in ("model1", "model2"):
        model, own = read_part("spectral", source.data.get(which), f"{source.where}.{which}", source.folder)
        models.append(model)
        entries |= {f"{which}.{name}": entry for name, entry in own.items()}
    operator = source.data.get("operator")
    known = ("add", "sub", "mul")
    if operator not in known:
        raise ModelsError(f"{source.where}.operator: {operator!r}, expected one of {', '.join(known)}")
    return source.made(*models, operator), entries


def _inner(model: Model, how: How) -> Any:
    return write_part(model, full=how.full, canonical=how.canonical, folder=how.folder)


def _write_compound(model: Any, how: How) -> Any:
    return {
        "type": model.tag[0],
        "model1": _inner(model.model1, how),
        "model2": _inner(model.model2, how),
        "operator": model.operator,
    }


def _read_scale(source: Source) -> tuple[Model, Entries]:
    source.keys("model")
    if "model" not in source.data:
        raise ModelsError(f"{source.where}.model: missing (Gammapy does not write it), expected a spectral model")
    inner, _ = read_part("spectral", source.data["model"], f"{source.where}.model", source.folder)
    entries = source.entries()
    return source.made(inner, **parameters_of(entries)), entries


def _write_scale(model: Any, how: How) -> Any:
    return {"type": model.tag[0], "parameters": how.parameters(model), "model": _inner(model.model, how)}


def _read_piecewise(source: Source) -> tuple[Model, Entries]:
    source.keys("energy", "interp")
    energy = data_lists(source.data.get("energy"), "TeV", f"{source.where}.energy")
    model = source.made(energy, interp=source.data.get("interp", "log"))
    entries = source.entries(model.parameters)
    return made(source.where, model.with_parameters, Parameters(list(parameters_of(entries).values()))), entries


def _write_piecewise(model: Any, how: How) -> Any:
    return {
        "type": model.tag[0],
        "parameters": how.parameters(model, type(model)(model.energy).parameters),
        "energy": how.lists(model.energy, "TeV"),
        "interp": model.interp,
    }


def _read_table(source: Source) -> tuple[Model, Entries]:
    source.keys("energy", "values", "values_scale")
    source.entries()
    energy = data_lists(source.data.get("energy"), "TeV", f"{source.where}.energy")
    given = source.data.get("values")
    unit = "" if isinstance(given, dict) and given.get("unit") == "" else FLUX_UNIT
    values = data_lists(given, unit, f"{source.where}.values")
    scale = source.data.get("values_scale", "log")
    return source.made(energy, values, unit=unit, values_scale=scale), {}


def _write_table(model: Any, how: How) -> Any:
    entry = {
        "type": model.tag[0],
        "parameters": [],
        "energy": how.lists(model.energy, "TeV"),
        "values": how.lists(model.values, model.unit),
    }
    # the peer knows the logarithm only and does not look at the key
    return entry if model.values_scale == "log" else entry | {"values_scale": model.values_scale}


_READERS: dict[str, Callable[[Source], tuple[Model, Entries]]] = {
    "ConstantSpectralModel": _read_constant,
    "CompoundSpectralModel": _read_compound,
    "ScaleSpectralModel": _read_scale,
    "PiecewiseNormSpectralModel": _read_piecewise,
    "TemplateSpectralModel": _read_table,
    "EBLAbsorptionNormSpectralModel": read_absorption,
    "TemplateSpatialModel": read_image,
    "LightCurveTemplateTemporalModel": read_light_curve,
    "TemplatePhaseCurveTemporalModel": read_phase_curve,
}

_WRITERS: dict[str, Callable[[Any, How], Any]] = {
    "CompoundSpectralModel": _write_compound,
    "ScaleSpectralModel": _write_scale,
    "PiecewiseNormSpectralModel": _write_piecewise,
    "TemplateSpectralModel": _write_table,
    "EBLAbsorptionNormSpectralModel": write_absorption,
    "TemplateSpatialModel": write_image,
    "LightCurveTemplateTemporalModel": write_light_curve,
    "TemplatePhaseCurveTemporalModel": write_phase_curve,
}
