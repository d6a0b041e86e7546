"""What readers and writers of parts share: an entry while it is read, how it is written, lists with units, files."""

from __future__ import annotations

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
from survey.models.yaml_parameters import ParameterEntry, read_parameters, write_parameters, written_factor
from survey.models.yaml_units import scaled, unit_factor, written_unit

Array = NDArray[np.float64]
Entries = dict[str, ParameterEntry]

DATA_FOLDERS = ("SURVEY_DATA", "GAMMAPY_DATA")
"""Variables that name folders in which published tables are looked for."""


@dataclass(frozen=True)
class Source:
    """One part of a file while it is read."""

    cls: type[Any]
    data: Mapping[str, Any]
    where: str
    folder: Path

    def keys(self, *known: str) -> None:
        """Refuse other keys than type, parameters and these."""
        check_keys(dict(self.data), ("type", "parameters", *known), self.where)

    def entries(self, defaults: Parameters | None = None) -> Entries:
        """The parameters, of the class or of these defaults."""
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


def parameters_of(entries: Entries) -> dict[str, Any]:
    """Parameters by name."""
    return {name: entry.parameter for name, entry in entries.items()}


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
class How:
    """How a part is written."""

    full: bool
    canonical: bool
    folder: Path | None

    def parameters(self, model: Model, defaults: Mapping[str, Parameter] | None = None) -> list[dict[str, Any]]:
        """Entries of the parameters; what equals the class's defaults, or these, may be left out."""
        defaults = {item.name: item for item in model.defaults} if defaults is None else defaults
        return write_parameters(model.parameters.values(), defaults, full=self.full, canonical=self.canonical)

    def lists(self, values: Any, unit: str) -> dict[str, Any]:
        """Numbers in a canonical unit as data and unit."""
        factor = written_factor(unit, canonical=self.canonical)
        numbers = np.asarray(values)
        flat = [scaled(float(value), factor) for value in numbers.ravel()]
        data: list[Any] = flat if numbers.ndim == 1 else np.array(flat).reshape(numbers.shape).tolist()
        return {"data": data, "unit": unit if self.canonical else written_unit(unit)}

    def file(self, name: str) -> str:
        """Name of a file: in full for a worker, bare beside the model file."""
        name = os.path.expanduser(os.path.expandvars(name))
        return str(Path(name).resolve()) if self.canonical else relative_file(name, self.folder)
