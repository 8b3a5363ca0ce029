"""Settings from the command line and the ``--config`` file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from graft.cli.arguments import Arguments
from graft.config import Settings, interpolated, option_names
from graft.documents import read_yaml
from graft.errors import InputError
from graft.files import expanded
from graft.runs.trust import FLAG, check_file, code_settings, is_typed


@dataclass(frozen=True)
class Given:
    """Values by name (as written), and where each was given: the file, or "" for the command line."""

    values: dict[str, Any]
    where: Callable[[str], str]


def given_settings(arguments: Arguments, cls: type[Settings]) -> Given:
    """Return the settings; options override the file, also under another name of the same setting.

    Raises:
        InputError: if the file does not exist, or is not YAML.
    """
    config = arguments.take("config")
    if config is True or isinstance(config, list):
        raise InputError("--config accepts one file", remedy="--config settings.yaml")
    from_file = read_file(str(config), arguments) if config is not None else {}
    above = arguments.options
    known = option_names(cls)
    taken = {_setting(name, known) for name in above}
    below = {name: value for name, value in from_file.items() if _setting(name, known) not in taken}
    return Given({**below, **above}, lambda name: str(config) if name in below else "")


def read_file(
    path: str, arguments: Arguments, change: Callable[[dict[str, Any]], dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Return the settings in a YAML file without code that options replace, and print which code will run.

    Args:
        path: The file.
        arguments: What was typed.
        change: Changes what the file contains, before values that refer to others are replaced.

    Raises:
        InputError: if the file is not YAML, or names code and ``--trust_remote_code`` was not given.
    """
    document = read_yaml(expanded(path))
    document = interpolated(document if change is None else change(document), path)
    known = {**code_settings(), FLAG: FLAG}
    replaced = {known[name] for name in arguments.options if name in known}
    document = {name: value for name, value in document.items() if known.get(name.replace("-", "_")) not in replaced}
    document, code = check_file(document, path, is_typed(arguments.options))
    for reference in code:
        print(f"running code that {path} names: {reference!r}", file=sys.stderr)
    return document


def _setting(name: str, known: dict[str, str]) -> str:
    key = name.replace("-", "_")
    return known.get(key, key)
