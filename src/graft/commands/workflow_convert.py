"""A settings file in graft's short form: of a file with Olive's sections, or with other tools' names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from graft.commands.passes import is_tuning
from graft.commands.workflow_file import short_form
from graft.commands.workflow_sections import SEARCH, SECTIONS
from graft.config import interpolated, option_names, recordable
from graft.documents import dump_yaml, shortened
from graft.errors import InputError, Key, did_you_mean, located, renamed
from graft.plain_text import mask_secrets
from graft.planning.settings import by_setting, finetune_settings, settings_class

ELSEWHERE: Mapping[str, str] = {
    "adapter": "method",
    "lora_target": "target_modules",
    "num_epochs": "num_train_epochs",
    "optimizer": "optim",
}
"""Names of LLaMA-Factory and Axolotl that graft does not accept as they are; converted where the value fits."""


class Converted(NamedTuple):
    """A file in the short form, and what was not converted, in words."""

    text: str
    notes: list[str]


def converted(document: Mapping[str, Any], where: str) -> Converted:
    """Return a settings file in the short form; it means the same.

    Args:
        document: What the file contains.
        where: The file.

    Raises:
        InputError: If its sections are wrong.
    """
    has_references = re.search(r"(?<!\$)\$\{", dump_yaml(document)) is not None
    document = interpolated(document, where)
    if any(isinstance(document.get(section), (dict, list)) for section in SECTIONS):
        values, unknown = short_form(document, where)
        near = {problem.where: problem.remedy for problem in unknown}
    else:
        values, near = by_setting(_from_elsewhere(document)), {}
    values, left = _known(values)
    names = _names(document)
    used = dict(_places(values))
    changed = [f"{names[at]} → {path}" for at, path in used.items() if at in names and names[at] != path]
    notes = list(_notes(document, used, left, near))
    if has_references:
        notes.append("references were replaced by their values, except those to secrets in the environment")
    heading = [f"# {where} in graft's short form, by graft config convert.", *_comment("Renamed:", changed)]
    heading += _comment("Not converted, since graft has no such setting or does not need it:", notes)
    heading = [mask_secrets(line) for line in heading]
    return Converted("\n".join([*heading, "", dump_yaml(recordable(values), in_order=True)]), notes)


def _comment(title: str, lines: list[str]) -> list[str]:
    return [f"# {title}", *(f"#   {line}" for line in lines)] if lines else []


def _from_elsewhere(document: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with names of other tools replaced, where graft takes the value."""
    known, found = option_names(settings_class(document)), dict[str, Any]()
    for name, value in document.items():
        setting = ELSEWHERE.get(name.replace("-", "_"))
        fits = setting is not None and name not in known and setting not in document and _fits(setting, value)
        found[renamed(name, setting) if fits and setting is not None else name] = value
    return found


def _fits(setting: str, value: Any) -> bool:
    try:
        finetune_settings({setting: value})
    except InputError:
        return False
    return True


def _known(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[tuple[int, int], str]]:
    """The settings that graft has; and the places of those that it has not, each with the nearest name."""
    left: dict[tuple[int, int], str] = {}
    passes = values.get("passes")
    made = _without_unknown({name: value for name, value in values.items() if name != "passes"}, left, values)
    if isinstance(passes, dict):
        components = [{"method": str(each["type"]).lower()} for each in passes.values()]
        made["passes"] = {
            name: _without_unknown(each, left, *components, ours=("type",)) if is_tuning(str(each["type"])) else each
            for name, each in passes.items()
        }
    return made, left


def _without_unknown(
    values: Mapping[str, Any], left: dict[tuple[int, int], str], *given: Mapping[str, Any], ours: tuple[str, ...] = ()
) -> dict[str, Any]:
    from graft.training.arguments import field_names

    known = {*option_names(settings_class(values, *given)), *field_names(), *SEARCH, *ours}
    for name in values:
        if name.replace("-", "_") not in known and isinstance(name, Key) and name.at is not None:
            left[name.at] = did_you_mean(name.replace("-", "_"), known)
    return {name: value for name, value in values.items() if name.replace("-", "_") in known}


def _names(document: Any, prefix: str = "") -> dict[tuple[int, int], str]:
    """The path of each key by its place."""
    found: dict[tuple[int, int], str] = {}
    items = document.items() if isinstance(document, Mapping) else enumerate(document)
    for name, value in items:
        if isinstance(name, Key) and name.at is not None:
            found[name.at] = f"{prefix}{name}"
        if isinstance(value, (Mapping, list)):
            found |= _names(value, f"{prefix}{name}.")
    return found


def _places(values: Any, prefix: str = "") -> Iterator[tuple[tuple[int, int], str]]:
    """The place of each key that is written, with its path there."""
    items = values.items() if isinstance(values, Mapping) else enumerate(values)
    for name, value in items:
        if isinstance(name, Key) and name.at is not None:
            yield name.at, f"{prefix}{name}"
        if isinstance(value, (Mapping, list)):
            yield from _places(value, f"{prefix}{name}.")


def _notes(
    document: Any,
    used: Mapping[tuple[int, int], str],
    left: Mapping[tuple[int, int], str],
    near: Mapping[str, str],
    prefix: str = "",
) -> Iterator[str]:
    """Each value of the file that is not written, with the nearest name where graft does not know it."""
    items = document.items() if isinstance(document, Mapping) else enumerate(document)
    for name, value in items:
        path = f"{prefix}{name}"
        at = name.at if isinstance(name, Key) else None
        remedy = left.get(at) if at is not None else None
        if remedy is None:
            remedy = near.get(located("FILE", name))
        if remedy is None and _has_keys(value):
            yield from _notes(value, used, left, near, f"{path}.")
        elif at not in used and not _PASS_TYPE.fullmatch(path):
            yield f"{path}: {shortened(str(value))}{f'  ({remedy})' if remedy else ''}"


_PASS_TYPE = re.compile(r"passes\.[^.]+\.type")


def _has_keys(value: Any) -> bool:
    if isinstance(value, Mapping):
        return True
    return isinstance(value, list) and any(map(_has_keys, value))
