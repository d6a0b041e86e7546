"""Values of the configuration that carry a unit or name a place: angles, energies, times, paths.

Each is written as text in YAML, checked here, and handed on as an astropy object (paths: as absolute text).
`survey.config_errors` turns what is raised here into the user's lines.
"""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, get_args

from astropy import units as u
from astropy.coordinates import Angle
from astropy.time import Time
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

_VARIABLE = re.compile(r"\$(\w+|\{\w+\})")
#: A variable that is not set is looked up under these names instead.
_VARIABLE_FALLBACK = {"SURVEY_DATA": "GAMMAPY_DATA"}


_EXPONENT = re.compile(r"\s*[-+]?[\d.]+[eE][-+]?\d")


class Section(BaseModel):
    """A mapping of the YAML file: known keys only, not to be changed once read."""

    model_config = ConfigDict(
        arbitrary_types_allowed=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        validate_default=True,
        allow_inf_nan=False,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _is_no_truth_value(cls, value: Any, info: ValidationInfo) -> Any:
        """Python takes True for the number 1; nobody means it where a number is asked for."""
        if isinstance(value, bool) and not _may_be_bool(cls.model_fields[str(info.field_name)].annotation):
            raise ValueError("expected a value, not true or false")
        return value


def _may_be_bool(annotation: Any) -> bool:
    return annotation is bool or any(_may_be_bool(part) for part in get_args(annotation))


def _angle(value: Any) -> Angle:
    expected = "expected an angle with a unit, such as '0.5 deg'"
    if not isinstance(value, str | u.Quantity):
        raise ValueError(expected)
    try:
        # Angle reads sexagesimal text, Quantity exponents, which is how small angles are written back.
        has_exponent = isinstance(value, str) and _EXPONENT.match(value)
        angle = Angle(u.Quantity(value)) if has_exponent else Angle(value)
    except (ValueError, TypeError, u.UnitsError) as error:
        raise ValueError(expected) from error
    if not angle.isscalar or not abs(angle.to_value("deg")) < float("inf"):
        raise ValueError("expected one finite angle with a unit, such as '0.5 deg'")
    return angle


def _positive_angle(angle: Angle) -> Angle:
    if not angle.to_value("deg") > 0:
        raise ValueError("expected an angle above zero")
    return angle


def _angle_text(angle: Angle | str) -> str:
    return angle if isinstance(angle, str) else f"{float(angle.to_value('deg'))!r} deg"


def _energy(value: Any) -> u.Quantity:
    expected = "expected an energy with a unit, such as '1 TeV'"
    if not isinstance(value, str | u.Quantity):
        raise ValueError(expected)
    try:
        energy = u.Quantity(value).to("TeV")
    except (ValueError, TypeError, u.UnitsError) as error:
        raise ValueError(expected) from error
    if not energy.isscalar or not 0 < energy.value < float("inf"):
        raise ValueError("expected one finite energy above zero, such as '1 TeV'")
    return energy


def _energy_text(energy: u.Quantity | str) -> str:
    return energy if isinstance(energy, str) else f"{float(energy.to_value('TeV'))!r} TeV"


def _time(value: Any) -> Time:
    expected = "expected a date and time, such as '2004-03-26T02:57:47'"
    if isinstance(value, Time):
        return value
    if isinstance(value, datetime.date):  # unquoted dates, as YAML reads them
        value = value.isoformat()
    if isinstance(value, list | tuple):
        return Time([_time(one).isot for one in value], format="isot")
    if not isinstance(value, str):
        raise ValueError(expected)
    try:
        return Time(value)
    except ValueError as error:
        raise ValueError(expected) from error


def _time_text(time: Time | str) -> str | list[str]:
    if isinstance(time, str):
        return time
    return str(time.isot) if time.isscalar else [str(one) for one in time.isot]


def expand(value: str, base: Path) -> str:
    """Path with its variables and ``~`` expanded, made absolute; URLs only have their variables expanded.

    Parameters
    ----------
    value : str
        A local path or an fsspec URL.
    base : pathlib.Path
        Folder that a relative path starts from.
    """
    missing: list[str] = []

    def replace(match: re.Match[str]) -> str:
        name = match[1].strip("{}")
        found = os.environ.get(name) or os.environ.get(_VARIABLE_FALLBACK.get(name, ""))
        if not found:
            missing.append(name)
        return found or match[0]

    text = _VARIABLE.sub(replace, value)
    if missing:
        names = ", ".join(f"${name}" for name in missing)
        raise ValueError(
            f"expected a path whose variables are set; {names} is not. Say: export {missing[0]}=/path/to/data"
        )
    if is_url(text):
        return text
    path = Path(text).expanduser()
    return os.path.normpath(path if path.is_absolute() else base / path)


def is_url(path: str) -> bool:
    """Whether a path is an fsspec URL rather than a local path."""
    return "://" in path


def _path(value: Any, info: ValidationInfo) -> str:
    if isinstance(value, Path):
        value = str(value)
    if not isinstance(value, str) or not value:
        raise ValueError("expected a path")
    context = info.context or {}
    return expand(value, Path(context.get("base") or Path.cwd()))


def _existing(path: str, info: ValidationInfo) -> str:
    check = (info.context or {}).get("to_run", True)
    if check and not is_url(path) and not Path(path).exists():
        raise ValueError(f"expected something that exists; there is nothing at {path}{_advice(info)}")
    return path


def _advice(info: ValidationInfo) -> str:
    """What to do about a data store that is not there where the file says how to simulate one."""
    if info.field_name == "datastore" and (info.context or {}).get("simulated"):
        return "; make it with: survey simulate CONFIG and this folder"
    return ""


def is_there(value: Any, info: ValidationInfo) -> bool:
    """Whether a path can be expanded and leads to something; URLs are taken to."""
    try:
        path = _path(value, info)
    except ValueError:
        return False
    return is_url(path) or Path(path).exists()


def scalar_or_list(value: Any) -> Any:
    """A value that may stand alone or in a list, as a list."""
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]


_TEXT = {"type": "string"}
AngleValue = Annotated[
    Angle,
    PlainValidator(_angle),
    PlainSerializer(_angle_text, when_used="json-unless-none"),
    WithJsonSchema({**_TEXT, "description": "an angle with its unit", "examples": ["0.5 deg"]}),
]
PositiveAngle = Annotated[AngleValue, AfterValidator(_positive_angle)]
EnergyValue = Annotated[
    u.Quantity,
    PlainValidator(_energy),
    PlainSerializer(_energy_text, when_used="json-unless-none"),
    WithJsonSchema({**_TEXT, "description": "an energy with its unit", "examples": ["1 TeV"]}),
]
TimeValue = Annotated[
    Time,
    PlainValidator(_time),
    PlainSerializer(_time_text, when_used="json-unless-none"),
    WithJsonSchema(
        {
            "anyOf": [_TEXT, {"type": "array", "items": _TEXT}],
            "description": "a date and time, UTC, or a list of them",
            "examples": ["2004-03-26T02:57:47"],
        }
    ),
]
PathValue = Annotated[str, BeforeValidator(_path)]
InputPath = Annotated[PathValue, AfterValidator(_existing)]
