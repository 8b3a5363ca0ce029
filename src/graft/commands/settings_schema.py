"""JSON Schema of settings as they stand in a file, made from the classes that read them."""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any

from pydantic.fields import FieldInfo

from graft.config import Settings, option_names, options_of, takers
from graft.config.types import abbreviations_of
from graft.registry import Registry

DRAFT = "https://json-schema.org/draft/2020-12/schema"
TEXTS: Mapping[str, Mapping[str, Any]] = {
    "reference": {
        "type": "string",
        "pattern": r"\$\{.+\}",
        "description": "an earlier value (${section.key}) or an environment variable (${env:NAME})",
    },
    "number_text": {"type": "string", "pattern": r"^\s*[-+]?[0-9_]*\.?[0-9]*([eE][-+]?[0-9]+)?\s*$"},
    "switch_text": {
        "anyOf": [
            {
                "type": "string",
                "pattern": "^([yY]([eE][sS])?|[nN][oO]?|[oO][nN]|[oO][fF][fF]|[tT]([rR][uU][eE])?"
                "|[fF]([aA][lL][sS][eE])?|0|1)$",
            },
            {"enum": [0, 1]},
        ]
    },
}
"""Definitions for other notations of a value: ``1e-4`` and ``yes`` are texts to some readers of YAML."""
_KEPT = ("description", "default")
_ALSO: Mapping[str, list[Any]] = {"max_steps": [-1, "-1"]}
Chosen = Mapping[str, Callable[[], Registry[Any]]]


def settings_properties(cls: type[Settings], place: str, chosen: Chosen) -> dict[str, Any]:
    """Return the schema of each setting by each of its names.

    Args:
        cls: The settings.
        place: The JSON pointer of the properties; other names of a setting refer to it.
        chosen: Registries by the setting that chooses one of their extensions.
    """
    declared = cls.model_json_schema()["properties"]
    found = {name: _property(cls, name, declared[name], chosen) for name in cls.model_fields}
    for alias, name in option_names(cls).items():
        if alias != name:
            found[alias] = {"$ref": f"#{place}/{name}", "description": f"another name of {name}"}
    return found


def with_hyphens(properties: Iterable[str]) -> dict[str, Any]:
    """Return the pattern of names that are written with hyphens, in which any value is valid."""
    names = sorted(name.replace("_", "[-_]") for name in properties if "_" in name)
    return {f"^({'|'.join(names)})$": True} if names else {}


def document(title: str, text: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema as a document of its own."""
    return {"$schema": DRAFT, "title": title, "description": text, **schema}


def settings_schema(classes: Iterable[type[Settings]], chosen: Chosen) -> dict[str, Any]:
    """Return the schema of a file with the settings of one command."""
    properties: dict[str, Any] = {}
    for cls in classes:
        properties |= settings_properties(cls, "/properties", chosen)
    closed = {"additionalProperties": False, "patternProperties": with_hyphens(properties)}
    return {"type": "object", "properties": properties, **closed, "$defs": dict(TEXTS)}


def _property(cls: type[Settings], name: str, declared: Mapping[str, Any], chosen: Chosen) -> dict[str, Any]:
    info = cls.model_fields[name]
    about = {key: declared[key] for key in _KEPT if declared.get(key) is not None}
    if taking := [component.name for component in takers(cls, name)]:
        about["description"] = f"{declared.get('description', '')} [{', '.join(taking)}]"
    if name in chosen:
        registry = chosen[name]()
        options = [{"enum": registry.names()}, {"type": "string"}]
        return {**about, "anyOf": [*options, *_null(info)]}
    kinds = [_lenient(kind) for kind in declared.get("anyOf", [declared])]
    options = [option for kind in kinds for option in kind]
    options += [{"enum": list(names)} for names in [abbreviations_of(info.annotation)] if names]
    options += [{"enum": _ALSO[name]}] if name in _ALSO else []
    return {**about, "anyOf": [*options, _ref("reference")]}


def _null(info: FieldInfo) -> list[dict[str, Any]]:
    return [{"type": "null"}] if info.default is None else []


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


def _lenient(kind: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The notations of a value that settings accept."""
    core = {key: value for key, value in kind.items() if key not in {"title", "aliases", "description", "default"}}
    if "enum" in core or "const" in core:
        return [core]
    match core.get("type"):
        case "integer" | "number":
            return [core, _ref("number_text")]
        case "boolean":
            return [core, _ref("switch_text")]
        case "string":
            return [{**core, "type": ["string", "number"]}]
        case "array":
            (item, *others) = _lenient(core.get("items", {}))
            return [{**core, "items": {"anyOf": [item, *others]} if others else item}, {"type": ["string", "number"]}]
        case "object":
            return [core, {"type": "string"}, {"type": "array", "items": {"type": "string"}}]
    return [core] if core else [{}]


def training_properties() -> dict[str, Any]:
    """Return the schema of each field of ``transformers.TrainingArguments`` that is no setting of graft's own."""
    from graft.training.argument_fields import argument_fields
    from graft.training.passed_fields import EFFECTIVE, FORMER, FORMER_SWITCHES, OFF, REFUSED, RENAMED

    fields = argument_fields()
    found: dict[str, Any] = {}
    for name, passed in EFFECTIVE.items():
        if name in fields:
            text = passed.effect.replace("`", "")
            values = _field(fields[name].annotation)
            found[name] = {"description": text, "anyOf": [*values, {"type": "null"}, _ref("reference")]}
    for name, passed in {**REFUSED, **FORMER}.items():
        default = fields[name].default if name in fields else None
        nothing: list[Any] = [*OFF] if name in FORMER else [None, "", default]
        values = [*(nothing if passed.default_accepted or name in FORMER else [None]), *passed.accepted]
        plain = [getattr(value, "value", value) for value in values]  # of an enumeration
        text = f"not supported: {passed.refused}"
        found[name] = {"description": text, "deprecated": True, "anyOf": [{"enum": _distinct(plain)}]}
    for name, (field, value) in FORMER_SWITCHES.items():
        about = {"description": f"the same as {field}: {value}", "deprecated": True}
        found[name] = {**about, "anyOf": [{"type": "boolean"}, _ref("switch_text"), _ref("reference")]}
    for name, field in RENAMED.items():
        found[name] = {**found[field], "description": f"another name of {field}"}
    return found


def _distinct(values: Iterable[Any]) -> list[Any]:
    """The values without repetitions; true and 1 are different ones."""
    return list({repr(value): value for value in values}.values())


def _field(annotation: Any) -> list[dict[str, Any]]:
    """The notations of a field's value; where the type has names, no other text is valid."""
    kinds = options_of(annotation)
    names = [member.value for kind in kinds if isinstance(kind, type) and issubclass(kind, Enum) for member in kind]
    if names:
        return [{"enum": names}, *([{"const": False}] if "no" in names else [])]
    found: list[dict[str, Any]] = []
    for kind in kinds:
        found += _FIELDS.get(typing.get_origin(kind) or kind, [{}])
    return found


_FIELDS: Mapping[Any, list[dict[str, Any]]] = {
    bool: [{"type": "boolean"}, _ref("switch_text")],
    int: [{"type": "integer"}, _ref("number_text")],
    float: [{"type": "number"}, _ref("number_text")],
    str: [{"type": ["string", "number"]}],
    dict: [{"type": "object"}, {"type": "string"}],
    list: [{"type": "array"}, {"type": "string"}],
    tuple: [{"type": "array"}, {"type": "string"}],
}


def any_case(names: Iterable[str]) -> str:
    """Return a pattern of these names in any case."""
    letters = ("".join(f"[{c.lower()}{c.upper()}]" if c.isalpha() else re.escape(c) for c in name) for name in names)
    return f"^({'|'.join(letters)})$"
