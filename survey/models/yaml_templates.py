"""Parts of components that hold tables from files: absorption, images, light curves and phase curves."""

from __future__ import annotations

from typing import Any

from survey.models.absorption import AbsorptionTable
from survey.models.model import Model
from survey.models.models_error import ModelsError
from survey.models.parameters import Parameters
from survey.models.yaml_parameters import read_parameters
from survey.models.yaml_source import Entries, How, Source, data_lists, found_file, made, parameters_of
from survey.models.yaml_units import written_unit


def read_absorption(source: Source) -> tuple[Model, Entries]:
    """The table of a file, or the lists of the model file."""
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


def write_absorption(model: Any, how: How) -> Any:
    """Entry of an absorption: the file, or the lists if there is none."""
    entry = {"type": model.tag[0], "parameters": how.parameters(model)}
    if model.table.filename is not None:
        return entry | {"filename": how.file(model.table.filename)}
    return entry | {
        "energy": how.lists(model.table.energy, "TeV"),
        "param": how.lists(model.table.redshift, ""),
        "values": how.lists(model.table.values, ""),
    }


def read_image(source: Source) -> tuple[Model, Entries]:
    """The image or cube of a file."""
    # the frame and the unit are those of the file; the peer writes them and does not read them
    source.keys("frame", "filename", "normalize", "unit")
    entries = _given(source)
    name, normalize = found_file(source.data.get("filename"), source.folder, source.where), _normalize(source)
    return made(source.where, source.cls.read, name, normalize=normalize, **parameters_of(entries)), entries


def _given(source: Source) -> Entries:
    """The parameters that stand in the file; a file of its own has values for the others."""
    listed = source.data.get("parameters") or []
    given = [entry for entry in listed if not (isinstance(entry, dict) and _is_nan(entry.get("value")))]
    entries = read_parameters(given, Parameters(source.cls.defaults), source.where)
    found = {entry.get("name") for entry in given}
    return {name: entry for name, entry in entries.items() if name in found}


def _normalize(source: Source) -> bool:
    normalize = source.data.get("normalize", True)
    if not isinstance(normalize, bool):
        raise ModelsError(f"{source.where}.normalize: {normalize!r}, expected true or false")
    return normalize


def checked_name(model: Any) -> str:
    """Name of the file of a model, which has to have one."""
    if not model.filename:
        raise ModelsError(f"{model.tag[0]}.filename: missing; write the template to a file and read it from there")
    return str(model.filename)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and value != value


def write_image(model: Any, how: How) -> Any:
    """Entry of an image or cube."""
    return {
        "type": model.tag[0],
        "frame": model.frame,
        "parameters": how.parameters(model),
        "filename": how.file(checked_name(model)),
        "normalize": model.normalize,
        "unit": model.unit if how.canonical else written_unit(model.unit),
    }


def read_light_curve(source: Source) -> tuple[Model, Entries]:
    """The curve of a file; a reference time of the model file, if there is one, moves it."""
    source.keys("scale", "filename", "format", "unit", "values_scale")
    entries = _given(source)
    name = found_file(source.data.get("filename"), source.folder, source.where)
    curve = made(source.where, source.cls.read, name, format=source.data.get("format", "table"))
    values = {"t_ref": curve.parameters["t_ref"]} | parameters_of(entries)
    settings = {"scale": source.data.get("scale", curve.scale), "values_scale": source.data.get("values_scale")}
    model = source.made(curve.time, curve.norm, energy=curve.energy, filename=curve.filename, **settings, **values)
    return model, entries


def write_light_curve(model: Any, how: How) -> Any:
    """Entry of a light curve."""
    entry = {
        "type": model.tag[0],
        "parameters": how.parameters(model),
        "scale": model.scale,
        "filename": how.file(checked_name(model)),
        "format": "map" if model.is_energy_dependent else "table",
        "unit": "",
    }
    usual = "log" if model.is_energy_dependent else "lin"
    return entry if model.values_scale == usual else entry | {"values_scale": model.values_scale}


def read_phase_curve(source: Source) -> tuple[Model, Entries]:
    """The curve of a file with the timing solution of the model file."""
    source.keys("scale", "filename", "normalize")
    entries = source.entries()
    name, normalize = found_file(source.data.get("filename"), source.folder, source.where), _normalize(source)
    settings = {"normalize": normalize, "scale": source.data.get("scale", "utc")}
    return made(source.where, source.cls.read, name, **settings, **parameters_of(entries)), entries


def write_phase_curve(model: Any, how: How) -> Any:
    """Entry of a phase curve."""
    return {
        "type": model.tag[0],
        "parameters": how.parameters(model),
        "scale": model.scale,
        "filename": how.file(checked_name(model)),
        "normalize": model.normalize,
    }
