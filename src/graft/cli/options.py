"""What was typed over what stands in the file after ``--config``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from graft.cli.arguments import Arguments
from graft.config import Settings, option_names
from graft.documents import read_yaml
from graft.errors import InputError
from graft.files import expanded


@dataclass(frozen=True)
class Given:
    """Names (as they were written) to values, and where each was written: the file, or "" for an option."""

    values: dict[str, Any]
    where: Callable[[str], str]


def given_settings(arguments: Arguments, cls: type[Settings]) -> Given:
    """The options win over the file, whichever of its names a setting is called by.

    Raises:
        InputError: when there is no such file, or it is not YAML.
    """
    config = arguments.take("config")
    if config is True or isinstance(config, list):
        raise InputError("--config accepts one file", remedy="--config settings.yaml")
    from_file = read_yaml(expanded(str(config))) if config is not None else {}
    above = arguments.options
    known = option_names(cls)
    taken = {_setting(name, known) for name in above}
    below = {name: value for name, value in from_file.items() if _setting(name, known) not in taken}
    return Given({**below, **above}, lambda name: str(config) if name in below else "")


def _setting(name: str, known: dict[str, str]) -> str:
    key = name.replace("-", "_")
    return known.get(key, key)
