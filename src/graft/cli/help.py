"""The help of a command, made from its settings."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from graft.cli.arguments import SHORT
from graft.config import HubSettings, Settings, options_of, takers, takes_several
from graft.registry import load_attribute

USAGE = {
    "finetune": "graft finetune MODEL DATA -o OUT [--option value …]",
    "evaluate": "graft evaluate RUN_OR_MODEL [--data_files FILE …] [--output_path DIR]",
    "chat": "graft chat RUN_OR_MODEL [--prompt TEXT]",
    "show": "graft show RUN_OR_MODEL",
    "run": "graft run --config FILE.yaml [--setup] [--dry_run] [--option value …]",
    "doctor": "graft doctor RUN",
    "demo": "graft demo [-o OUT] [--overwrite]",
    "auto-opt": "graft auto-opt RUN [-o OUT], or --model_name_or_path MODEL [--adapter_path ADAPTER] -o OUT",
    "optimize": "graft optimize RUN [-o OUT], or --model_name_or_path MODEL [--adapter_path ADAPTER] -o OUT",
    "generate-adapter": "graft generate-adapter --base_model_path MODEL --adapter_paths A,NAME=B -o OUT",
    "devices": "graft devices",
}
CONFIG = ("--config FILE.yaml", "settings from a file; the command line wins")
OWN: dict[str, tuple[tuple[str, str], ...]] = {
    "finetune": (CONFIG, ("--dry_run", "the plan, and the first rows as trained; nothing is written")),
    "run": (
        ("--config FILE.yaml", "the workflow, or a run's own config.yaml"),
        ("--setup", "install what the passes need"),
        ("--dry_run", "print the passes with their settings, do nothing"),
        ("--option value", "any setting of graft finetune; it wins over the file's"),
    ),
    "demo": (("--output_path OUT", "the run folder (default: demo-run) [also -o]"), ("--overwrite", "replace it")),
}
"""Options that are no settings."""
EVERYWHERE = (
    ("--json", "one JSON document on stdout"),
    ("--log_level 0…4", "debug, info, warning, error, critical"),
    ("--debug", "tracebacks"),
)


def command_help(name: str, text: str, module: str) -> str:
    """Usage and, for each settings class the command takes, its options."""
    lines = [f"graft {name}: {text}", "", f"usage: {USAGE[name]}", ""]
    classes: tuple[type[Settings], ...] = load_attribute(f"{module}:SETTINGS")
    for cls in classes:
        lines += [*_section(cls), *_of_components(cls)]
    if name == "finetune":
        from graft.planning.settings import settings_class

        lines += _of_components(settings_class())
        lines += ["every other field of transformers.TrainingArguments is an option, too: --max_grad_norm 0.5", ""]
    own = OWN.get(name, (CONFIG,) if classes else ())
    lines += [f"  {option:<20} {what}" for option, what in (*own, *EVERYWHERE)]
    return "\n".join(lines) + "\n"


def _section(cls: type[Settings]) -> list[str]:
    """The options of a settings class without those of components; those that only a hub needs come last."""
    own = [name for name in cls.model_fields if not any(takers(cls, name))]
    fields = sorted(own, key=lambda name: name in HubSettings.model_fields)
    described = [line for field in fields for line in _option(field, cls.model_fields[field], "")]
    return [f"{cls.__name__.removesuffix('Settings').lower()}:", *described, ""]


def _of_components(cls: type[Settings]) -> list[str]:
    """The options that components bring, such as methods or export targets, each with those that take it."""
    lines: dict[str, list[str]] = {}
    for field, info in cls.model_fields.items():
        taking = list(takers(cls, field))
        if taking:
            names = ", ".join(component.name for component in taking)
            lines.setdefault(taking[0].option, []).extend(_option(field, info, f" [{names}]"))
    return [line for option, listed in lines.items() for line in (f"options of a {option}:", *listed, "")]


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
