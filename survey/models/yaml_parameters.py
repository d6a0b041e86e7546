"""Parameters in model files: an entry of the YAML to a `Parameter` in its canonical unit, and back.

An entry is ``{name, value, unit, error, min, max, frozen, link, prior}``, as Gammapy 2.1 writes it; what equals the
default is left out.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from survey.models.models_error import ModelsError, Problems, check_keys, nearest
from survey.models.parameters import Parameter, Parameters
from survey.models.registry import model_class
from survey.models.yaml_units import scaled, unit_factor, written_unit

KNOWN = ("name", "value", "unit", "error", "min", "max", "frozen", "link", "prior", "step")
"""Keys that are read; the last, the first step of a fit, is not Gammapy's and only written for workers."""
IGNORED = ("interp", "scale", "scale_method", "scale_transform", "factor", "is_norm")
"""How the peer scales and scans a parameter; nothing here depends on it."""
IGNORED_PREFIX = "scan_"
PURE = ("eta",)
"""Parameters of priors that are pure numbers; the others are in the unit of the parameter that has the prior."""


@dataclass(frozen=True)
class ParameterEntry:
    """A parameter as read."""

    parameter: Parameter
    """In its canonical unit."""
    factor: float
    """From the file's unit to the canonical one."""
    has_value: bool
    """Whether the file gives a value, or leaves it to a link."""


def read_parameters(entries: Any, defaults: Parameters, where: str) -> dict[str, ParameterEntry]:
    """Parameters of one model.

    Parameters
    ----------
    entries : list of mapping
        As in the file; None counts as empty.
    defaults : Parameters
        All parameters of the model, with their canonical units and defaults.
    where : str
        Component and section, for messages.

    Returns
    -------
    dict of str to ParameterEntry
        In the order of the model. Those that the file leaves out have their defaults; a warning says so where a
        parameter is free.

    Raises
    ------
    ModelsError
        For unknown and repeated names, missing and wrong units, values that are no numbers or outside the limits.
    """
    if entries is None:
        entries = []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ModelsError(f"{where}.parameters: expected a list of entries with name, value and unit")
    problems = Problems()
    found: dict[str, ParameterEntry] = {}
    for number, entry in enumerate(entries):
        name = entry.get("name")
        if name not in defaults:
            problems.lines.append(
                f"{where}.parameters[{number}].name: no parameter {name!r}{nearest(name, defaults)}"
                if len(defaults)
                else f"{where}.parameters[{number}].name: {name!r}, but the model has no parameters"
            )
        elif name in found:
            problems.lines.append(f"{where}.{name}: given twice; take out one")
        elif (result := problems.attempt(lambda e=entry, n=name: _read(e, defaults[n], f"{where}.{n}"))) is not None:  # type: ignore[misc]
            found[name] = result
    problems.raise_if_any()
    missing = [name for name, item in defaults.items() if name not in found and not item.frozen]
    if missing and entries:
        text = ", ".join(f"{name} = {defaults[name].value:g} {defaults[name].unit}".rstrip() for name in missing)
        warnings.warn(f"{where}: not in the file, so by default: {text}", UserWarning, stacklevel=2)
    return {name: found.get(name) or ParameterEntry(item, 1.0, True) for name, item in defaults.items()}


def number_in(value: Any, unit: str, where: str) -> float:
    """A number; or a text that holds one, perhaps with a unit, in `unit`.

    YAML takes ``1e-12`` for a text, for want of a point.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ModelsError(f"{where}: {value!r}, expected a number")
    if not isinstance(value, str):
        return float(value)
    try:
        return float(value)
    except ValueError:
        pass
    number, _, rest = value.strip().partition(" ")
    factor = unit_factor(rest.strip(), unit) if rest.strip() else None
    try:
        if factor is not None:
            return scaled(float(number), factor)
    except ValueError:
        pass
    raise ModelsError(f"{where}: {value!r}, expected a number" + (f" in {written_unit(unit)}" if unit else ""))


def _read(entry: Mapping[str, Any], default: Parameter, where: str) -> ParameterEntry:
    plain = {key: value for key, value in entry.items() if not str(key).startswith(IGNORED_PREFIX)}
    check_keys(plain, (*KNOWN, *IGNORED), where)
    link = entry.get("link")
    if link is not None and not isinstance(link, str):
        raise ModelsError(f"{where}.link: {link!r}, expected a label or the path of a parameter")
    has_value = entry.get("value") is not None
    if not has_value and link is None:
        raise ModelsError(f"{where}.value: missing, expected a number" + _in_unit(default.unit))
    factor = _factor(entry, default, where) if has_value or entry.get("unit") is not None else 1.0
    unit = str(entry.get("unit") or written_unit(default.unit))

    def quantity(key: str, missing: float) -> float:
        value = entry.get(key)
        if value is None:
            return missing
        number = number_in(value, unit, f"{where}.{key}")
        return scaled(number, factor)

    value = quantity("value", default.value)
    if not math.isfinite(value):
        raise ModelsError(f"{where}.value: {value}, expected a finite number")
    low, high = quantity("min", default.minimum), quantity("max", default.maximum)
    low, high = (-math.inf if math.isnan(low) else low), (math.inf if math.isnan(high) else high)
    if low > high:
        raise ModelsError(f"{where}.min: {low:g} is above max {high:g}{_in_unit(default.unit)}")
    if has_value and not low <= value <= high:
        raise ModelsError(
            f"{where}.value: {value:g} is outside its limits [{low:g}, {high:g}]{_in_unit(default.unit)}; "
            "change value, min or max"
        )
    frozen = entry.get("frozen", default.frozen)
    if not isinstance(frozen, bool):
        raise ModelsError(f"{where}.frozen: {frozen!r}, expected true or false")
    error = quantity("error", default.error)
    parameter = replace(
        default,
        value=min(max(value, low), high),
        error=error if math.isfinite(error) else 0.0,
        minimum=low,
        maximum=high,
        frozen=frozen,
        link=link,
        scale=quantity("step", default.scale),
        **_prior(entry, factor, where),
    )
    return ParameterEntry(parameter, factor, has_value)


def _in_unit(unit: str) -> str:
    return f" in {unit}" if unit else ""


def _factor(entry: Mapping[str, Any], default: Parameter, where: str) -> float:
    """From the entry's unit to the canonical one."""
    unit = entry.get("unit")
    value = entry.get("value")
    if unit in (None, "") and isinstance(value, str):
        # "1 TeV": the unit stands with the number, which is read in the unit that would be written
        rest = value.strip().partition(" ")[2]
        if rest:
            unit = written_unit(default.unit)
    if unit is None or str(unit).strip() == "":
        if default.unit:
            raise ModelsError(f"{where}.unit: missing, expected a unit such as {written_unit(default.unit)}")
        return 1.0
    factor = unit_factor(str(unit), default.unit)
    if factor is None:
        expected = f"a unit such as {written_unit(default.unit)}" if default.unit else "no unit"
        raise ModelsError(f"{where}.unit: {unit!r}, expected {expected}")
    return factor


def _prior(entry: Mapping[str, Any], factor: float, where: str) -> dict[str, Any]:
    """The prior, whose own parameters but the shape are in the parameter's unit."""
    data = entry.get("prior")
    if data is None:
        return {}
    where = f"{where}.prior"
    if not isinstance(data, dict) or "type" not in data:
        raise ModelsError(f"{where}: {data!r}, expected type and parameters")
    check_keys(data, ("type", "parameters", "weight"), where)
    cls = model_class(data["type"], "prior", where)
    known = cls().parameters
    values = {}
    for entry in data.get("parameters") or []:
        name = entry.get("name")
        if name not in known:
            raise ModelsError(f"{where}.{name}: no parameter of {cls.tag[0]}{nearest(name, known)}")
        number = number_in(entry.get("value"), "", f"{where}.{name}")
        values[name] = number if name in PURE else scaled(number, factor)
    try:
        weight = number_in(data.get("weight", 1.0), "", f"{where}.weight")
        return {"prior": cls(weight=weight, **{name: values.get(name, known[name]) for name in known})}
    except ModelsError:
        raise
    except ValueError as error:
        raise ModelsError(f"{where}: {error}") from None


def _prior_entry(prior: Any, factor: float) -> dict[str, Any]:
    """Entry of a prior."""
    values = {name: value if name in PURE else scaled(value, factor) for name, value in prior.parameters.items()}
    parameters = [{"name": name, "value": value, "unit": ""} for name, value in values.items()]
    return {"type": prior.tag[0], "parameters": parameters, "weight": float(prior.weight)}


def write_parameters(
    parameters: Iterable[Parameter], defaults: Mapping[str, Parameter], *, full: bool, canonical: bool
) -> list[dict[str, Any]]:
    """Entries of one model.

    Parameters
    ----------
    parameters : iterable of Parameter
        In order.
    defaults : mapping of str to Parameter
        What is left out when it is the same, by name; a parameter without a default is compared with a bare one.
    full : bool
        Write all keys, defaults too.
    canonical : bool
        Write canonical units, so that nothing is converted, not the customary ones.
    """
    return [_write(item, defaults.get(item.name), full=full, canonical=canonical) for item in parameters]


def written_factor(unit: str, *, canonical: bool = False) -> float:
    """From the canonical unit to the one that is written."""
    target = unit if canonical else written_unit(unit)
    factor = unit_factor(unit, target)
    return 1.0 if factor is None else factor


def _write(item: Parameter, default: Parameter | None, *, full: bool, canonical: bool) -> dict[str, Any]:
    factor = written_factor(item.unit, canonical=canonical)
    default = Parameter(item.name, 0.0, item.unit) if default is None else default

    def limit(value: float) -> float:
        return scaled(value, factor) if math.isfinite(value) else math.nan

    entry: dict[str, Any] = {"name": item.name, "value": scaled(item.value, factor)}
    if item.unit or default.unit or full:
        entry["unit"] = item.unit if canonical else written_unit(item.unit)
    if full or item.error != default.error:
        entry["error"] = scaled(item.error, factor)
    if full or item.minimum != default.minimum:
        entry["min"] = limit(item.minimum)
    if full or item.maximum != default.maximum:
        entry["max"] = limit(item.maximum)
    if full or item.frozen != default.frozen:
        entry["frozen"] = item.frozen
    if item.link is not None:
        entry["link"] = item.link
    if canonical and item.scale != default.scale:
        entry["step"] = item.scale
    prior = getattr(item, "prior", None)
    if prior is not None:
        entry["prior"] = _prior_entry(prior, factor)
    return entry
