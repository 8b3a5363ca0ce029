"""Values of the command line over those of a workflow file: ``passes.lora.r=8``."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from graft.commands.data_passes import PREPARE, data_pass
from graft.config import option_names, paths_of
from graft.documents import parse_yaml
from graft.errors import InputError, Key, Problems, did_you_mean
from graft.planning.settings import settings_class

_OVERRIDE = re.compile(r"\A([A-Za-z_][\w-]*(?:\.[^\s.=\[\]]+|\[\d+\])*)=(.*)", re.DOTALL)
SECTIONS = ("passes", "model", "input_model", "data_configs", "training_config", "search_space", "search_strategy")


class Override(NamedTuple):
    """A value by its path in the file, as it was typed."""

    path: tuple[str, ...]
    value: Any
    typed: str


def read_overrides(words: Sequence[str], options: Mapping[str, Any]) -> tuple[list[Override], dict[str, Any]]:
    """Return the overrides of sections, and the settings that hold for all passes.

    Args:
        words: ``path=value``; the value is read as YAML.
        options: What was typed as ``--name value``; a name with dots is a path.

    Raises:
        InputError: Naming each word that is none.
    """
    problems, found, over = Problems(), list[Override](), dict[str, Any]()
    for word in words:
        match = _OVERRIDE.fullmatch(word)
        if match is None:
            problems.add(f"not understood: {word}", remedy="graft run FILE.yaml section.name=value")
            continue
        with problems.collecting():
            found.append(Override(_names(match[1]), parse_yaml(match[2], word, "quote the value"), word))
    for name, value in options.items():
        if "." in name:
            parsed = parse_yaml(value, f"--{name}", "quote the value") if isinstance(value, str) else value
            found.append(Override(_names(name), parsed, f"--{name}"))
        else:
            over[name] = value
    for each in found:
        if len(each.path) == 1:
            (name,) = each.path
            if name in over and over[name] != each.value:
                problems.add(f"{name} is given twice", each.typed)
            over[name] = each.value
    problems.raise_if_any()
    return [each for each in found if len(each.path) > 1], over


def _names(path: str) -> tuple[str, ...]:
    return tuple(name for name in re.split(r"[.\[\]]+", path) if name)


def overridden(document: Mapping[str, Any], overrides: Sequence[Override], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return a file's settings with other values.

    Args:
        document: What the file contains.
        overrides: Values of its sections.
        over: Settings that hold for all passes; here for what refers to them.

    Raises:
        InputError: Naming each path that is not in the file, with the nearest one that is.
    """
    found, problems = copy.deepcopy(dict(document)), Problems()
    for name, value in over.items():
        key = _key(found, name)
        if key is not None and not isinstance(found[key], (dict, list)):
            found[key] = value
    for override in overrides:
        with problems.collecting():
            _put(found, override)
    problems.raise_if_any()
    return found


def _put(document: dict[str, Any], override: Override) -> None:
    inner: Any = document
    *sections, last = override.path
    for depth, name in enumerate(sections):
        inner = _section(document, inner, override.path[: depth + 1], name, override.typed)
    if isinstance(inner, list):
        number = _number(inner, last)
        if number is None:
            raise _unknown(document, override.path, override.typed)
        inner[number] = override.value
        return
    if not isinstance(inner, dict):
        raise _unknown(document, override.path, override.typed)
    if len(override.path) == 2 and override.path[0] in {"passes", "data_configs"} and _key(inner, last) is None:
        raise _unknown(document, override.path, override.typed)
    if len(override.path) == 3 and override.path[0] == "passes" and last not in {"type", "config"}:
        _remove(inner, last)
        if isinstance(inner.get("config"), dict):
            inner = inner["config"]
    _remove(inner, last)
    inner[Key(last, override.typed)] = override.value


def _section(document: Mapping[str, Any], inner: Any, path: Sequence[str], name: str, typed: str) -> Any:
    """What a path goes through; sections of one pass, and those at the top, may be new."""
    if isinstance(inner, list):
        number = _number(inner, name)
        if number is None:
            raise _unknown(document, path, typed)
        return inner[number]
    key = _key(inner, name) if isinstance(inner, dict) else None
    if isinstance(inner, dict) and (key is None or inner[key] is None):
        if (len(path) == 1 and name not in SECTIONS) or (
            len(path) == 2 and path[0] in {"passes", "data_configs"} and key is None
        ):
            raise _unknown(document, path, typed)
        inner[Key(name, typed) if key is None else key] = {}
        key = key or name
    if key is None:
        raise _unknown(document, path, typed)
    return inner[key]


def _key(inner: Mapping[str, Any], name: str) -> str | None:
    """The key as the file has it; hyphens and underscores are alike."""
    return next((key for key in inner if key.replace("-", "_") == name.replace("-", "_")), None)


def _number(inner: Sequence[Any], name: str) -> int | None:
    """The position in a list: by number, or by the ``name`` of its entries."""
    if name.isdigit() and len(name) < 7:
        return int(name) if int(name) < len(inner) else None
    named = (number for number, each in enumerate(inner) if isinstance(each, dict) and each.get("name") == name)
    return next(named, None)


def _remove(inner: dict[str, Any], name: str) -> None:
    """Remove a setting by whichever of its names it is given, in a pass and in its ``config``."""
    config = inner.get("config")
    for mapping in (inner, config if isinstance(config, dict) else {}):
        for key in [key for key in mapping if _alike(key, name)]:
            del mapping[key]


def _alike(one: str, other: str) -> bool:
    one, other = one.replace("-", "_"), other.replace("-", "_")
    if one == other:
        return True
    classes = (settings_class(), data_pass(PREPARE).Config)
    return any(one in names and names[one] == names.get(other) for names in map(option_names, classes))


def _unknown(document: Mapping[str, Any], path: Sequence[str], typed: str) -> InputError:
    named = ".".join(path)
    near = did_you_mean(named, {*paths_of(document), *SECTIONS})
    return InputError(f"this file has no {named}", where=typed, remedy=near or "graft run FILE.yaml section.name=value")
