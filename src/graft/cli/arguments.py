"""The command line as plain names and values; settings classes then say what is right."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from graft.errors import InputError
from graft.plain_text import lone_surrogate

SHORT = {"-o": "output_path", "-m": "model_name_or_path", "-d": "data_files", "-h": "help", "-V": "version"}
FLAGS = {
    *(
        "auto",
        "measure",
        "help",
        "help_all",
        "json",
        "debug",
        "dry_run",
        "incomplete",
        "results",
        "setup",
        "version",
        "yes",
    ),
}
_NUMBER = re.compile(r"-\.?\d")


@dataclass
class Arguments:
    """What was typed: positional words, and options by their underscored names."""

    words: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)

    def take(self, name: str, default: Any = None) -> Any:
        """Remove an option and return its value; what remains are settings, or unknown."""
        return self.options.pop(name, default)

    def flag(self, name: str, default: bool = False) -> bool:
        """Remove a flag and return whether it is on: not ``false``, ``no``, ``off`` or ``0``."""
        return str(self.options.pop(name, default)).lower() not in {"false", "0", "no", "off"}


def parse(argv: Sequence[str]) -> Arguments:
    """``--name value``, ``--na-me=value``, ``--name v1 v2``, ``--flag``, ``--no_flag``, ``-o value``, and words.

    Raises:
        InputError: for an option given twice, a short option that does not exist, or bytes that are no UTF-8.
    """
    for word in argv:
        if wrong := lone_surrogate(word):
            part = word[max(0, wrong.start() - 20) : wrong.start() + 20]
            raise InputError(f"{part!r} is not UTF-8 text", remedy="rename the file, or correct the option")
    found = Arguments()
    name: str | None = None
    for word in argv:
        if word.startswith("--") and len(word) > 2:
            name = _long(found, word[2:])
        elif word in SHORT:
            name = SHORT[word]
            _put(found, name, None)
        elif word.startswith("-") and len(word) > 1 and not _NUMBER.match(word):
            raise InputError(f"unknown option {word}", remedy=f"the short options are {', '.join(SHORT)}")
        elif name is None or name in FLAGS:
            found.words.append(word)
        else:
            _value(found, name, word)
    found.options = {key: True if value is None else value for key, value in found.options.items()}
    return found


def _long(found: Arguments, text: str) -> str | None:
    key, equals, value = text.partition("=")
    key = key.replace("-", "_")
    if not equals and key.startswith("no_") and key[3:] not in FLAGS and key != "no_cuda":
        _put(found, key[3:], "false")
        return None
    _put(found, key, value if equals else None)
    return None if equals else key


def _put(found: Arguments, name: str, value: Any) -> None:
    if name in found.options:
        raise InputError(f"--{name} is given twice")
    found.options[name] = value


def _value(found: Arguments, name: str, word: str) -> None:
    before = found.options[name]
    if before is None:
        found.options[name] = word
    else:
        found.options[name] = [*before, word] if isinstance(before, list) else [before, word]
