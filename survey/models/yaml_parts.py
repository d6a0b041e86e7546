"""Parts of components in model files: spectra, shapes and time dependences, with what they hold beside parameters.

Most parts are a type and parameters. Those that hold more (nodes, tables, other models, files) have a reader and a
writer of their own here, under their tag.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from survey.models.model import Model
from survey.models.models_error import ModelsError, check_keys
from survey.models.parameters import Parameter, Parameters
from survey.models.registry import model_class
from survey.models.spectral import FLUX_UNIT
from survey.models.yaml_parameters import ParameterEntry, read_parameters, write_parameters, written_factor
from survey.models.yaml_units import scaled, unit_factor, written_unit

Array = NDArray[np.float64]
Entries = dict[str, ParameterEntry]

DATA_FOLDERS = ("SURVEY_DATA", "GAMMAPY_DATA")
"""Variables that name folders in which published tables are looked for."""


@dataclass(frozen=True)
class _Source:
    """One part of a file while it is read."""

    cls: type[Any]
    data: Mapping[str, Any]
    where: str
    folder: Path

    def keys(self, *known: str) -> None:
        check_keys(dict(self.data), ("type", "parameters", *known), self.where)

    def entries(self, defaults: Parameters | None = None) -> Entries:
        own = Parameters(self.cls.defaults) if defaults is None else defaults
        return read_parameters(self.data.get("parameters"), own, self.where)

    def made(self, *arguments: Any, **settings: Any) -> Any:
        """The model; what it refuses is told with component and section."""
        return made(self.where, self.cls, *arguments, **settings)


def made(where: str, function: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
    """Result of a function; a refusal is told with component and section."""
    try:
        return function(*arguments, **settings)
    except ModelsError:
        raise
    except (ValueError, OSError) as error:
        raise ModelsError(f"{where}: {' '.join(str(error).split())}") from None


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
    source = _Source(cls, data, where, folder)
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
    how = _How(full, canonical, folder)
    if special is not None:
        return special(model, how)
    entry: dict[str, Any] = {"type": model.tag[0]}
    for setting in ("frame", "scale"):
        value = getattr(model, setting, None)
        if isinstance(value, str) and takes(type(model), setting):
            entry[setting] = value
    entry["parameters"] = how.parameters(model)
    return entry


def parameters_of(entries: Entries) -> dict[str, Any]:
    """Parameters by name."""
    return {name: entry.parameter for name, entry in entries.items()}


def takes(cls: type[Any], setting: str) -> bool:
    """Whether a class has a setting, which is an argument by name and no parameter."""
    return any(setting in inspect.signature(base).parameters for base in cls.__mro__[:-1])


def data_lists(value: Any, unit: str, where: str) -> Array:
    """Numbers of ``{data: [...], unit: ...}`` in a unit."""
    if not isinstance(value, dict) or "data" not in value:
        raise ModelsError(f"{where}: {value!r}, expected data and unit" if value else f"{where}: missing")
    check_keys(value, ("data", "unit"), where)
    found = value.get("unit")
    if found is None or (str(found).strip() == "" and unit):
        raise ModelsError(f"{where}.unit: missing, expected a unit such as {written_unit(unit)}")
    factor = 1.0 if str(found).strip() == unit else unit_factor(str(found), unit)
    if factor is None:
        expected = f"a unit such as {written_unit(unit)}" if unit else "no unit"
        raise ModelsError(f"{where}.unit: {found!r}, expected {expected}")
    try:
        numbers = np.array(value["data"], dtype=float)
    except (TypeError, ValueError):
        raise ModelsError(f"{where}.data: expected a list of numbers") from None
    return np.array([scaled(number, factor) for number in numbers.ravel()]).reshape(numbers.shape)


def found_file(name: Any, folder: Path, where: str) -> str:
    """Path of a file that a model file names.

    It is looked for beside the model file, then as it is, then by its own name in the ``ebl`` folder of the data.

    Parameters
    ----------
    name : object
        As in the file; variables and ``~`` expand.
    folder : pathlib.Path
        Folder of the model file.
    where : str
        Component and section.
    """
    if not isinstance(name, (str, os.PathLike)) or not str(name):
        raise ModelsError(f"{where}.filename: {'missing' if name is None else repr(name)}, expected the name of a file")
    path = Path(os.path.expanduser(os.path.expandvars(str(name))))
    places = [folder / path, path]
    places += [Path(root) / "ebl" / path.name for key in DATA_FOLDERS if (root := os.environ.get(key))]
    for place in places:
        if place.is_file():
            return str(place)
    raise ModelsError(f"{where}.filename: {name}: no such file ({places[0]}); put it there or change the name")


def relative_file(name: str, folder: Path | None) -> str:
    """Name of a file in a model file: bare beside it, as in Gammapy."""
    path = Path(name)
    if folder is not None and path.resolve().parent == folder.resolve():
        return path.name
    return str(path)


@dataclass(frozen=True)
class _How:
    """How a part is written."""

    full: bool
    canonical: bool
    folder: Path | None

    def parameters(self, model: Model, defaults: Mapping[str, Parameter] | None = None) -> list[dict[str, Any]]:
        defaults = {item.name: item for item in model.defaults} if defaults is None else defaults
        return write_parameters(model.parameters.values(), defaults, full=self.full, canonical=self.canonical)

    def inner(self, model: Model) -> Any:
        return write_part(model, full=self.full, canonical=self.canonical, folder=self.folder)

    def lists(self, values: Any, unit: str) -> dict[str, Any]:
        factor = written_factor(unit, canonical=self.canonical)
        numbers = np.asarray(values)
        flat = [scaled(float(value), factor) for value in numbers.ravel()]
        data: list[Any] = flat if numbers.ndim == 1 else np.array(flat).reshape(numbers.shape).tolist()
        return {"data": data, "unit": unit if self.canonical else written_unit(unit)}

    def file(self, name: str) -> str:
        return str(Path(name).resolve()) if self.canonical else relative_file(name, self.folder)


def _read_constant(source: _Source) -> tuple[Model, Entries]:
    source.keys()
    defaults = Parameters(source.cls.defaults)
    listed = source.data.get("parameters") or []
    if any(isinstance(entry, dict) and entry.get("unit") == "" for entry in listed):
        defaults = Parameters([Parameter("const", 1.0)])  # a norm
    entries = source.entries(defaults)
    return source.made(**parameters_of(entries)), entries


def _read_compound(source: _Source) -> tuple[Model, Entries]:
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


def _write_compound(model: Any, how: _How) -> Any:
    return {
        "type": model.tag[0],
        "model1": how.inner(model.model1),
        "model2": how.inner(model.model2),
        "operator": model.operator,
    }


def _read_scale(source: _Source) -> tuple[Model, Entries]:
    source.keys("model")
    if "model" not in source.data:
        raise ModelsError(f"{source.where}.model: missing (Gammapy does not write it), expected a spectral model")
    inner, _ = read_part("spectral", source.data["model"], f"{source.where}.model", source.folder)
    entries = source.entries()
    return source.made(inner, **parameters_of(entries)), entries


def _write_scale(model: Any, how: _How) -> Any:
    return {"type": model.tag[0], "parameters": how.parameters(model), "model": how.inner(model.model)}


def _read_piecewise(source: _Source) -> tuple[Model, Entries]:
    source.keys("energy", "interp")
    energy = data_lists(source.data.get("energy"), "TeV", f"{source.where}.energy")
    model = source.made(energy, interp=source.data.get("interp", "log"))
    entries = source.entries(model.parameters)
    return made(source.where, model.with_parameters, Parameters(list(parameters_of(entries).values()))), entries


def _write_piecewise(model: Any, how: _How) -> Any:
    return {
        "type": model.tag[0],
        "parameters": how.parameters(model, type(model)(model.energy).parameters),
        "energy": how.lists(model.energy, "TeV"),
        "interp": model.interp,
    }


def _read_table(source: _Source) -> tuple[Model, Entries]:
    source.keys("energy", "values", "values_scale")
    source.entries()
    energy = data_lists(source.data.get("energy"), "TeV", f"{source.where}.energy")
    given = source.data.get("values")
    unit = "" if isinstance(given, dict) and given.get("unit") == "" else FLUX_UNIT
    values = data_lists(given, unit, f"{source.where}.values")
    scale = source.data.get("values_scale", "log")
    return source.made(energy, values, unit=unit, values_scale=scale), {}


def _write_table(model: Any, how: _How) -> Any:
    entry = {
        "type": model.tag[0],
        "parameters": [],
        "energy": how.lists(model.energy, "TeV"),
        "values": how.lists(model.values, model.unit),
    }
    # the peer knows the logarithm only and does not look at the key
    return entry if model.values_scale == "log" else entry | {"values_scale": model.values_scale}


def _read_absorption(source: _Source) -> tuple[Model, Entries]:
    from survey.models.absorption import AbsorptionTable

    source.keys("filename", "energy", "param", "values")
    entries = source.entries()
    if "filename" in source.data:
        name = found_file(source.data["filename"], source.folder, source.where)
        table = made(source.where, AbsorptionTable.read, name)
    else:
        table = made(
            source.where,
            AbsorptionTable,
            energy=data_lists(source.data.get("energy"), "TeV", f"{source.where}.energy"),
            redshift=data_lists(source.data.get("param"), "", f"{source.where}.param"),
            values=data_lists(source.data.get("values"), "", f"{source.where}.values"),
        )
    return source.made(table, **parameters_of(entries)), entries


def _write_absorption(model: Any, how: _How) -> Any:
    entry = {"type": model.tag[0], "parameters": how.parameters(model)}
    if model.table.filename is not None:
        return entry | {"filename": how.file(os.path.expandvars(model.table.filename))}
    return entry | {
        "energy": how.lists(model.table.energy, "TeV"),
        "param": how.lists(model.table.redshift, ""),
        "values": how.lists(model.table.values, ""),
    }


def _read_image(source: _Source) -> tuple[Model, Entries]:
    # the frame and the unit are those of the file; the peer writes them and does not read them
    source.keys("frame", "filename", "normalize", "unit")
    listed = source.data.get("parameters") or []
    given = [entry for entry in listed if not (isinstance(entry, dict) and _is_nan(entry.get("value")))]
    entries = read_parameters(given, Parameters(source.cls.defaults), source.where)
    found = {entry.get("name") for entry in given}
    entries = {name: entry for name, entry in entries.items() if name in found}
    normalize = source.data.get("normalize", True)
    if not isinstance(normalize, bool):
        raise ModelsError(f"{source.where}.normalize: {normalize!r}, expected true or false")
    name = found_file(source.data.get("filename"), source.folder, source.where)
    return made(source.where, source.cls.read, name, normalize=normalize, **parameters_of(entries)), entries


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and value != value


def _write_image(model: Any, how: _How) -> Any:
    if not model.filename:
        raise ModelsError(f"{model.tag[0]}.filename: missing; write the template to a file and read it from there")
    return {
        "type": model.tag[0],
        "frame": model.frame,
        "parameters": how.parameters(model),
        "filename": how.file(os.path.expanduser(os.path.expandvars(model.filename))),
        "normalize": model.normalize,
        "unit": model.unit if how.canonical else written_unit(model.unit),
    }


_READERS: dict[str, Callable[[_Source], tuple[Model, Entries]]] = {
    "ConstantSpectralModel": _read_constant,
    "CompoundSpectralModel": _read_compound,
    "ScaleSpectralModel": _read_scale,
    "PiecewiseNormSpectralModel": _read_piecewise,
    "TemplateSpectralModel": _read_table,
    "EBLAbsorptionNormSpectralModel": _read_absorption,
    "TemplateSpatialModel": _read_image,
}

_WRITERS: dict[str, Callable[[Any, _How], Any]] = {
    "CompoundSpectralModel": _write_compound,
    "ScaleSpectralModel": _write_scale,
    "PiecewiseNormSpectralModel": _write_piecewise,
    "TemplateSpectralModel": _write_table,
    "EBLAbsorptionNormSpectralModel": _write_absorption,
    "TemplateSpatialModel": _write_image,
}
