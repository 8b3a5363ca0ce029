"""The help of a command, made from its settings."""

from __future__ import annotations

import typing
from typing import Any

from graft.registry import load_attribute
from graft.settings import Settings

USAGE = {
    "finetune": "graft finetune MODEL DATA -o OUT [--option value …]",
    "evaluate": "graft evaluate RUN [--data_files FILE …] [--output_path DIR]",
    "chat": "graft chat RUN",
    "show": "graft show RUN",
    "run": "graft run --config FILE.yaml [--setup] [--dry_run] [--option value …]",
    "doctor": "graft doctor RUN",
    "demo": "graft demo [-o OUT]",
    "auto-opt": "graft auto-opt RUN [-o OUT], or --model_name_or_path MODEL [--adapter_path ADAPTER] -o OUT",
    "generate-adapter": "graft generate-adapter --base_model_path MODEL --adapter_paths A,NAME=B -o OUT",
    "devices": "graft devices",
}


def command_help(name: str, text: str, module: str) -> str:
    """Usage and, for each settings class the command takes, its options."""
    lines = [f"graft {name}: {text}", "", f"usage: {USAGE.get(name, 'graft ' + name)}", ""]
    classes: tuple[type[Settings], ...] = load_attribute(f"{module}:SETTINGS")
    for cls in classes:
        lines += _section(cls)
    if name == "finetune":
        lines += ["every other field of transformers.TrainingArguments is an option, too: --max_grad_norm 0.5", ""]
    lines.append("  --config FILE.yaml   settings from a file; the command line wins")
    lines.append("  --dry_run            show what would be done, do nothing") if name == "finetune" else None
    lines.append("  --json               one JSON document on stdout")
    lines.append("  --log_level 0…4      debug, info, warning, error, critical")
    return "\n".join(lines) + "\n"


def _section(cls: type[Settings]) -> list[str]:
    lines = [f"{cls.__name__.removesuffix('Settings').lower()}:"]
    for field, info in cls.model_fields.items():
        default = "" if info.default in (None, (), {}) else f" (default: {info.default})"
        kind = _kind(info.annotation)
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        aliases = extra.get("aliases") or []
        also = f" [also --{', --'.join(str(a) for a in aliases)}]" if isinstance(aliases, list) and aliases else ""
        lines.append(f"  --{field} {kind}".rstrip())
        lines.append(f"      {info.description}{default}{also}")
    return [*lines, ""]


def _kind(annotation: Any) -> str:
    options = [option for option in typing.get_args(annotation) if option is not type(None)]
    if typing.get_origin(annotation) is typing.Literal:
        return "{" + ",".join(str(option) for option in options) + "}"
    kinds = {bool: "", int: "N", float: "X", str: "TEXT"}
    candidate = options[0] if options else annotation
    return kinds.get(candidate, "PATH" if getattr(candidate, "__name__", "") == "Path" else "VALUE")
