"""Parts of the reference: tables, settings, and the documentation of Python objects, as Markdown."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from graft.config import HubSettings, Settings, options_of, takes_several


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    return "\n".join([*lines, *(f"| {' | '.join(map(cell, row))} |" for row in rows)])


def cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|").replace("<", "&lt;")


def code(text: object) -> str:
    return f"`{text}`"


def codes(values: Iterable[object]) -> str:
    return ", ".join(map(code, values))


def summary_of(thing: Any) -> str:
    """The first paragraph of a docstring, without reStructuredText's double backticks."""
    text = inspect.getdoc(thing) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("``", "`")


def kind_of(annotation: Any) -> str:
    """What a setting takes, as one would write it."""
    options = options_of(annotation)
    if typing.get_origin(options[0]) is typing.Literal:
        return codes(typing.get_args(options[0]))
    if takes_several(annotation):
        return "list"
    names = {bool: "true or false", int: "integer", float: "number", str: "text", Path: "path"}
    return names.get(options[0], "mapping")


def default_of(info: FieldInfo) -> str:
    value = info.get_default(call_default_factory=True)
    if value is None or value in ((), {}):
        return ""
    return code(str(value).lower() if isinstance(value, bool) else value)


def aliases_of(info: FieldInfo) -> list[str]:
    extra = info.json_schema_extra
    listed = extra.get("aliases") if isinstance(extra, Mapping) else None
    return [str(name) for name in listed] if isinstance(listed, list) else []


def settings_table(fields: Mapping[str, FieldInfo]) -> str:
    """A row for each setting; those that only the Hub needs come last, as in ``--help``."""
    hub_last = sorted(fields.items(), key=lambda item: item[0] in HubSettings.model_fields)
    rows = [
        (code(name), kind_of(info.annotation), default_of(info), info.description, codes(aliases_of(info)))
        for name, info in hub_last
    ]
    return table(("setting", "takes", "default", "meaning", "also"), rows)


def own_fields(cls: type[Settings], *without: type[Settings]) -> dict[str, FieldInfo]:
    """The fields of a settings class that none of the classes ``without`` has."""
    elsewhere = {name for other in without for name in other.model_fields}
    return {name: info for name, info in cls.model_fields.items() if name not in elsewhere}


def documented(name: str, thing: Any, level: str) -> str:
    """Signature and docstring, with those of a class's public methods and properties."""
    if not callable(thing):
        return f"{level} {name}\n\n{code(thing)}\n"
    lines = [f"{level} {name}\n", f"```python\n{name}{_signature(thing)}\n```\n", _docstring(thing)]
    if inspect.isclass(thing) and not issubclass(thing, BaseException):
        for member, value in _members(thing).items():
            if member.startswith("_") or not (callable(value) or isinstance(value, property)):
                continue
            if isinstance(value, property):
                lines += [f"{level}# {name}.{member}\n", _docstring(value)]
            else:
                lines.append(documented(f"{name}.{member}", getattr(thing, member), f"{level}#"))
    return "\n".join(lines) + "\n"


def _members(cls: type) -> dict[str, Any]:
    """What a class and graft's own classes below it define."""
    ours = [base for base in reversed(cls.__mro__) if base.__module__.startswith("graft")]
    return {name: value for base in ours for name, value in vars(base).items()}


def _signature(thing: Any) -> str:
    """The signature; one that does not fit a line of the page has a line for each parameter."""
    try:
        signature = inspect.signature(thing)
    except (TypeError, ValueError):
        return "(…)"
    whole = _plain(signature)
    if len(thing.__qualname__) + len(whole) <= 76:
        return whole
    lines: list[str] = []
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in lines and not any(x[:1] == "*" for x in lines):
            lines.append("*")
        lines.append(_plain(parameter))
    returned = whole.rpartition(" -> ")[2] if " -> " in whole else ""
    return "(\n" + "".join(f"    {line},\n" for line in lines) + ")" + (f" -> {returned}" if returned else "")


def _plain(part: inspect.Signature | inspect.Parameter) -> str:
    """As it stands in the code: annotations without quotes, an object as a default by its class."""
    return re.sub(r"<[\w.]*?(\w+) object at 0x\w+>", r"\1()", str(part)).replace("'", "")


def _docstring(thing: Any) -> str:
    text = (inspect.getdoc(thing) or "").replace("``", "`")
    lines = []
    for line in text.splitlines():
        bare = line.strip()
        if bare in {"Args:", "Returns:", "Raises:", "Attributes:", "Example:"}:
            lines += ["", f"**{bare[:-1]}**", ""]
        elif line.startswith("    ") and not line.startswith("     ") and ": " in bare:
            head, _, rest = bare.partition(": ")
            lines.append(f"- `{head.strip('`')}`: {rest}" if " " not in head else f"- {bare}")
        elif line.startswith("     ") and lines and lines[-1].startswith("- "):
            lines[-1] += f" {bare}"
        else:
            lines.append(bare)
    return "\n".join(lines) + "\n"
