"""What is wrong with a configuration, a line each: YAML path, value found, what was expected, nearest valid key."""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

#: Parts of pydantic's locations that stand for a branch of a union and not for a key.
_BRANCHES = frozenset(("path", "regions", "region", "ds9", "axis", "edges"))
_LONGEST_VALUE = 60


def key_text(path: Sequence[str | int]) -> str:
    """A YAML path as it is written here: ``datasets.geom.wcs.binsize``, ``observations.obs_ids[2]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def value_text(value: Any) -> str:
    """A value as it is quoted in a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."


def all_keys(model: type[BaseModel], prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every YAML path that a model knows, sections before what they hold."""
    for name, field in model.model_fields.items():
        path = (*prefix, name)
        yield path
        for section in _models_in(field.annotation):
            yield from all_keys(section, path)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated, list, tuple):
        for part in typing.get_args(annotation):
            yield from _models_in(part)


def nearest_key(path: tuple[str | int, ...], model: type[BaseModel]) -> str | None:
    """The valid YAML path nearest to an unknown one: a slip of the pen in its section, or its right section."""
    names = tuple(part for part in path if isinstance(part, str))
    keys = list(all_keys(model))
    siblings = [key[-1] for key in keys if key[:-1] == names[:-1]]
    close = difflib.get_close_matches(names[-1], siblings, n=1, cutoff=0.6)
    if close:
        return key_text((*names[:-1], close[0]))
    elsewhere = [key for key in keys if key[-1] == names[-1]]
    if not elsewhere:
        last = difflib.get_close_matches(names[-1], {key[-1] for key in keys}, n=1, cutoff=0.8)
        elsewhere = [key for key in keys if key[-1] in last]
    if elsewhere:
        text = key_text(names)
        return key_text(max(elsewhere, key=lambda key: (key[0] == names[0], _likeness(key_text(key), text))))
    return None


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def _keys_of(path: tuple[str | int, ...], model: type[BaseModel]) -> str:
    names = tuple(part for part in path[:-1] if isinstance(part, str))
    return ", ".join(key[-1] for key in all_keys(model) if key[:-1] == names)


def lines_of(error: ValidationError, model: type[BaseModel], raw: Mapping[str, Any]) -> list[str]:
    """The problems of a pydantic error as lines.

    Parameters
    ----------
    error : pydantic.ValidationError
        The error.
    model : type
        Model that refused.
    raw : mapping
        What it refused, which tells keys of the file from pydantic's own parts of a location.
    """
    found = (line for problem in error.errors(include_url=False) for line in _lines(problem, model, raw))
    return list(dict.fromkeys(found))


def _in_file(location: Sequence[str | int], raw: Any) -> tuple[str | int, ...]:
    path: list[str | int] = []
    for part in location:
        if isinstance(part, int):
            if not isinstance(raw, list | tuple):
                continue  # a value that stands for a list of one
            raw = raw[part] if part < len(raw) else None
        elif isinstance(raw, Mapping) and part in raw:
            raw = raw[part]
        elif part in _BRANCHES:
            continue
        else:
            raw = None
        path.append(part)
    return tuple(path)


def _lines(problem: Any, model: type[BaseModel], raw: Mapping[str, Any]) -> Iterator[str]:
    """Lines of a problem: one, but for what a section says of several of its keys, ``key: text`` each."""
    if problem["type"] != "value_error" or not isinstance(problem["input"], dict):
        yield _line(problem, model, raw)
        return
    path = _in_file(problem["loc"], raw)
    section = tuple(part for part in path if isinstance(part, str))
    known = set(all_keys(model))
    for text in str(problem["ctx"]["error"]).splitlines():
        name, _, rest = text.partition(": ")
        yield f"{key_text((*path, name))}: {rest}" if (*section, name) in known else f"{key_text(path)}: {text}"


def _line(problem: Any, model: type[BaseModel], raw: Mapping[str, Any]) -> str:
    path = _in_file(problem["loc"], raw)
    kind, found = problem["type"], problem["input"]
    if kind == "extra_forbidden":
        nearest = nearest_key(path, model)
        advice = f"did you mean {nearest}?" if nearest else f"valid here: {_keys_of(path, model)}"
        return f"{key_text(path)}: unknown key; {advice}"
    if kind == "missing":
        return f"{key_text(path)}: missing, expected a value"
    expected = _expected(problem).removeprefix(f"{key_text(path)}: ").removeprefix(f"{key_text(path)} ")
    if "found" in expected or isinstance(found, dict) or expected.startswith(value_text(found)):
        return f"{key_text(path)}: {expected}"
    return f"{key_text(path)}: found {value_text(found)}, {expected}"


def _expected(problem: Any) -> str:
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind in ("literal_error", "enum"):
        choices = re.findall(r"'([^']*)'", context["expected"])
        text = f"expected one of {', '.join(choices)}" if len(choices) > 1 else f"expected {context['expected']}"
        close = difflib.get_close_matches(str(problem["input"]), choices, n=1)
        return f"{text}; did you mean {close[0]}?" if close else text
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"found {value_text(problem['input'])}, expected a mapping of keys"
    if kind in ("list_type", "tuple_type"):
        return "expected a list"
    if kind == "string_type":
        return "expected text"
    if kind == "too_short":
        return f"expected at least {context['min_length']} values"
    if kind == "too_long":
        return f"expected at most {context['max_length']} values"
    message = re.sub(r"^(Input|Value) should be (?=greater|less)", "expected a value ", problem["msg"])
    message = re.sub(r"^(Input|Value) should be ", "expected ", message)
    message = re.sub(r", unable to .*$", "", message.removeprefix("Value error, "))
    return message[0].lower() + message[1:]
