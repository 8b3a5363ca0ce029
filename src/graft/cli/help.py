"""The help of a command, made from its settings."""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from graft.cli.arguments import SHORT
from graft.cli.command import Command
from graft.config import HubSettings, MethodSettings, Settings, options_of, takers, takes_several

EVERYWHERE = (
    ("--json", "print one JSON document on stdout"),
    ("--progress {auto,jsonl}", "progress for people, or on stderr one JSON object a line"),
    ("--log_level 0…4", "log level: debug, info, warning, error, critical"),
    ("--no-color", "no colors and no escape sequences, as with the environment variable NO_COLOR"),
    ("--debug", "show tracebacks"),
)


def command_help(command: Command, name: str, text: str) -> str:
    """The help of a command: usage, and the options of each settings class it takes.

    Args:
        command: the command.
        name: the name by which it was called.
        text: one line on what it does.
    """
    usage = (command.usage or f"graft {command.name} [--option value …]").replace(command.name, name, 1)
    lines = [f"graft {name}: {text}", "", f"usage: {usage}", ""]
    classes = command.settings()
    for cls in classes:
        lines += [*_section(cls), *_of_components(cls)]
    if any(cls is MethodSettings for cls in classes):
        from graft.planning.settings import settings_class

        lines += [*_methods(), *_of_components(settings_class())]
        lines += ["every other field of transformers.TrainingArguments is also an option: --max_grad_norm 0.5", ""]
    for heading, entries in command.lists().items():
        lines += [f"{heading}:", *(f"  {each:<20} {what}" for each, what in entries.items()), ""]
    lines += [f"  {option:<20} {what}" for option, what in (*command.options, *EVERYWHERE)]
    return "\n".join(lines) + "\n"


def command_schema(command: Command, text: str) -> dict[str, Any]:
    """The settings of a command as JSON schema, with the options of every component it knows.

    Each property has its ``aliases``, the other names that a user may write.
    """
    from graft.planning.settings import settings_class

    classes = command.settings()
    if any(cls is MethodSettings for cls in classes):
        classes = (settings_class(),)
    schemas = [cls.model_json_schema() for cls in classes]
    found: dict[str, Any] = {"properties": {}, "$defs": {}}
    for schema in schemas:
        for part, entries in found.items():
            entries.update(schema.get(part, {}))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"graft {command.name}",
        "description": text,
        "type": "object",
        "additionalProperties": False,
        **{part: entries for part, entries in found.items() if entries or part == "properties"},
    }


def _section(cls: type[Settings]) -> list[str]:
    """The options of a settings class without those of components; those that only a hub needs come last."""
    own = [name for name in cls.model_fields if not any(takers(cls, name))]
    fields = sorted(own, key=lambda name: name in HubSettings.model_fields)
    described = [line for field in fields for line in _option(field, cls.model_fields[field], "")]
    words = re.findall(r"[A-Z][a-z]+", cls.__name__.removesuffix("Settings"))
    return [f"{' '.join(words).lower()}:", *described, ""]


def _of_components(cls: type[Settings]) -> list[str]:
    """The options that components bring, such as methods or export targets, each with those that take it."""
    lines: dict[str, list[str]] = {}
    for field, info in cls.model_fields.items():
        taking = list(takers(cls, field))
        if taking:
            names = ", ".join(component.name for component in taking)
            lines.setdefault(taking[0].option, []).extend(_option(field, info, f" [{names}]"))
    return [
        line for option, listed in lines.items() for line in (f"options of a {_ONE.get(option, option)}:", *listed, "")
    ]


_ONE = {"steps": "step", "checks": "check"}
"""What an option names several of."""


def _methods() -> list[str]:
    """The methods, each with what it trains."""
    from graft.methods import METHODS

    return ["methods:", *(f"  {name:<10} {method.help}" for name, method in METHODS.items()), ""]


def _option(field: str, info: FieldInfo, end: str) -> list[str]:
    shown = "" if info.default in (None, (), {}, True, False) else f" (default: {info.default})"
    first = f"  --{field} {_kind(info.annotation, info.default)}".rstrip()
    return [first, f"      {info.description}{shown}{_also(field, info.json_schema_extra)}{end}"]


def _also(field: str, extra: Any) -> str:
    listed = extra.get("aliases") if isinstance(extra, Mapping) else None
    names = [short for short, name in SHORT.items() if name == field]
    names += [f"--{alias}" for alias in listed or () if f"-{alias}" not in names]
    return f" [also {', '.join(names)}]" if names else ""


def _kind(annotation: Any, default: Any) -> str:
    """What to write behind an option; nothing behind one that need only be named."""
    options = options_of(annotation)
    if typing.get_origin(options[0]) is typing.Literal:
        return "{" + ",".join(map(str, typing.get_args(options[0]))) + "}"
    if options[0] is bool:
        return "{true,false} (default: true)" if default else ""
    if takes_several(annotation):
        return "A,B,…"
    return {int: "N", float: "X", str: "TEXT", Path: "PATH"}.get(options[0], "NAME=VALUE,…")
