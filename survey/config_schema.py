"""The configuration described for editors (JSON schema) and for readers (the reference in the documentation).

``python -m survey.config_schema configs/schema.json docs/configuration.md`` writes both.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from astropy.units import Quantity
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from survey.config import SurveyConfig

BEGIN, END = "<!-- reference: begin -->", "<!-- reference: end -->"


class _Generator(GenerateJsonSchema):
    """Writes defaults that carry a unit as the text of the YAML file."""

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, Quantity):
            return f"{float(dft.value)!r} {dft.unit}"
        if isinstance(dft, BaseModel):
            return {}  # its fields say it themselves
        return super().encode_default(dft)


def json_schema() -> dict[str, Any]:
    """JSON schema of a configuration file."""
    schema = SurveyConfig.model_json_schema(schema_generator=_Generator)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "gammasurvey configuration"
    schema.pop("required", None)
    _drop_titles(schema["properties"])
    _drop_titles(schema["$defs"])
    schema["properties"]["metadata"] = {
        "description": "Written by Gammapy; read over.",
        "type": "object",
    }
    return schema


def _drop_titles(named: Mapping[str, Any]) -> None:
    for node in named.values():
        node.pop("title", None)
        _drop_titles(node.get("properties", {}))


def schema_text() -> str:
    """The schema as it is kept in `configs/schema.json`."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def reference_text() -> str:
    """Every key with its values, default and meaning, as Markdown tables by section."""
    schema = json_schema()
    lines: list[str] = []
    for name, section in schema["properties"].items():
        if name == "metadata":
            continue
        lines += [f"### `{name}`", "", _meaning(section, schema["$defs"]), ""]
        rows = list(_rows(section, schema["$defs"], name))
        if rows:
            lines += ["| key | value | default | meaning |", "|---|---|---|---|", *rows, ""]
    return "\n".join(lines)


def _rows(node: Mapping[str, Any], definitions: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, field in _object(node, definitions).get("properties", {}).items():
        key = f"{path}.{name}"
        inner = _object(field, definitions)
        meaning = _meaning(field, definitions)
        if inner.get("properties"):
            alternatives = [text for text in _value(field, definitions).split(" or ") if text != "mapping"]
            yield f"| `{key}` | {' or '.join(['mapping', *alternatives])} | | {meaning} |"
            yield from _rows(inner, definitions, key)
        else:
            default = "" if field.get("default") is None else f"`{json.dumps(field['default'], ensure_ascii=False)}`"
            yield f"| `{key}` | {_value(field, definitions)} | {default} | {meaning} |"


def _meaning(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    text = node.get("description") or _object(node, definitions).get("description", "")
    return " ".join(text.split()).replace("|", "\\|")


def _object(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """The mapping that a node of the schema is, or may be, by itself or in a list."""
    if "$ref" in node:
        return _object(definitions[node["$ref"].rpartition("/")[2]], definitions)
    for choice in (*node.get("anyOf", ()), *node.get("oneOf", ())):
        if found := _object(choice, definitions):
            return found
    if node.get("type") == "array":
        return _object(node["items"], definitions)
    return node if "properties" in node else {}


def _value(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "$ref" in node:
        return _value(definitions[node["$ref"].rpartition("/")[2]], definitions)
    choices = (*node.get("anyOf", ()), *node.get("oneOf", ()))
    if choices:
        return " or ".join(dict.fromkeys(_value(one, definitions) for one in choices if one.get("type") != "null"))
    if "enum" in node:
        return ", ".join(f"`{one}`" for one in node["enum"])
    if "const" in node:
        return f"`{node['const']}`"
    if node.get("type") == "array":
        return f"list of {_value(node['items'], definitions)}"
    if node.get("examples"):
        return f"text, such as `{node['examples'][0]}`"
    names = {"string": "text", "object": "mapping", "boolean": "true or false", "integer": "whole number"}
    return names.get(node.get("type", ""), node.get("type", "any value"))


def with_reference(text: str) -> str:
    """A page of the documentation with its reference section made current."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no lines '{BEGIN}' and '{END}'")
    return f"{before}{BEGIN}\n\n{reference_text()}\n{END}{after}"


def main(paths: Sequence[str]) -> None:
    """Write the schema (`.json`) or renew the reference of a page (`.md`)."""
    for path in map(Path, paths):
        text = schema_text() if path.suffix == ".json" else with_reference(path.read_text(encoding="utf-8"))
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
