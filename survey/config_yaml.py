"""Reading the YAML file, and changing it from the command line."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import yaml

from survey.refusal import ConfigError


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, which refuses a key that stands twice in a mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """Mapping that a YAML file holds.

    Raises
    ------
    ConfigError
        When it cannot be read, is not YAML, or is not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except IsADirectoryError:
        raise ConfigError("is a folder; expected a YAML file, which `survey init` writes", source=path.name) from None
    except FileNotFoundError:
        raise ConfigError(f"there is no such file: {path.absolute()}", source=path.name) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", source=path.name) from error
    return parse_yaml(text, source=path.name)


def parse_yaml(text: str, *, source: str) -> dict[str, Any]:
    """Mapping that a YAML text holds; see `read_yaml`."""
    try:
        data = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(f"{where}{error.problem or error.context}", source=source) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"is not YAML: {str(error).splitlines()[0]}", source=source) from error
    if data is None:
        return {}
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise ConfigError("expected a mapping of sections, such as 'observations:'", source=source)
    return data


def apply_overrides(data: dict[str, Any], overrides: Sequence[str]) -> list[str]:
    """Replace values in place.

    Parameters
    ----------
    data : dict
        Content of a configuration.
    overrides : sequence of str
        ``a.b=c`` each, `c` being YAML. An index of a list is written as a key: ``a.0.b=c``.

    Returns
    -------
    list of str
        Problems, one line each.
    """
    lines = []
    for override in overrides:
        key, equals, text = override.partition("=")
        parts = key.strip().split(".")
        if not equals or not all(parts):
            lines.append(f"--set {override}: expected key=value, such as datasets.geom.wcs.binsize='0.05 deg'")
            continue
        try:
            _put(data, parts, yaml.load(text, Loader=_Loader))
        except yaml.YAMLError:
            lines.append(f"--set {override}: the value {text!r} is not YAML")
        except (LookupError, ValueError):
            lines.append(f"--set {override}: there is no such place in the file")
    return lines


def _put(data: dict[str, Any], parts: Sequence[str], value: Any) -> None:
    target: Any = data
    for part in parts[:-1]:
        if isinstance(target, list):
            target = target[int(part)]
        elif isinstance(target, dict):
            if target.get(part) is None:
                target[part] = {}
            target = target[part]
        else:
            raise LookupError(part)
    if isinstance(target, list):
        target[int(parts[-1])] = value
    elif isinstance(target, dict):
        target[parts[-1]] = value
    else:
        raise LookupError(parts[-1])
