"""Readers of untrusted JSON and YAML: input is bounded, and errors name the file, the value and a remedy."""

from __future__ import annotations

import json
import os
import shlex
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from graft.errors import InputError
from graft.plain_text import lone_surrogate

REMEDY = "the file is damaged or was edited: restore it, or run the command that wrote it again"
LARGEST = 256 * 2**20
"""The maximum size in bytes of a document, or of a line of JSON Lines."""
LARGEST_YAML = 2**20
"""The maximum size in bytes of a YAML document, which contains settings."""
NO_YAML = "write one `name: value` per line; save the file as UTF-8"
DEEPEST = 64
"""The maximum nesting depth of lists and objects."""
_OF_SHELLS = Path("/dev/fd")
"""Where ``graft run --config <(command)`` finds the pipe."""
LONGEST_VALUE = 60
"""The maximum number of characters of an invalid value in an error message."""


class NotPermitted(InputError):
    """The user does not have permission to read a file."""


def read_text(path: Path, most: int = LARGEST, remedy: str = REMEDY) -> str:
    """Return the content of a file.

    Args:
        path: A regular file, or a shell's ``<(command)``; another pipe or a device could be endless.
        most: The maximum size in bytes.
        remedy: What to do if the file is larger, or is not UTF-8.

    Raises:
        InputError: If the file cannot be read, is not a regular file, is larger, or is not UTF-8.
    """
    with _reading(path, remedy) as size, path.open(encoding="utf-8") as file:
        text = file.read(most + 1) if size <= most else ""
        if max(size, len(text)) > most:
            what = f"this file has {max(size, len(text)) / 1e6:,.0f} MB; the maximum is {most / 1e6:,.0f} MB"
            raise InputError(what, where=str(path), remedy=remedy)
        return text


def lines_of(path: Path, most: int = LARGEST, remedy: str = REMEDY) -> Iterator[tuple[int, str]]:
    """Yield each line of a file with its number from one and its line feed, which the last one may lack.

    One line is in memory at a time. Only line feeds end lines: JSON allows U+2028 and U+0085 in a text.

    Args:
        path: A regular file.
        most: The maximum size of a line in bytes.
        remedy: What to do if a line is larger, or is not UTF-8.

    Raises:
        InputError: If the file cannot be read, is not a regular file, or a line is larger or is not UTF-8.
    """
    with _reading(path, remedy), path.open("rb") as file:
        number = 0
        while line := file.readline(most + 1):
            number += 1
            if len(line) > most:
                what = f"this line has more than {most / 1e6:,.0f} MB"
                raise InputError(what, where=f"{path}:{number}", remedy=remedy)
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError as error:
                what = f"this line is not UTF-8 text (byte {error.start})"
                raise InputError(what, where=f"{path}:{number}", remedy=remedy) from None
            yield number, text


@contextmanager
def _reading(path: Path, remedy: str) -> Iterator[int]:
    """Yield the size of a file, and raise an InputError for any failure to read it within the block."""
    try:
        found = path.stat()
        typed = path.parent == _OF_SHELLS and stat.S_ISFIFO(found.st_mode)
        if not (stat.S_ISREG(found.st_mode) or typed):
            raise InputError("this is not a regular file", where=str(path), remedy="give a file")
        yield found.st_size
    except UnicodeDecodeError as error:
        raise InputError(f"this file is not UTF-8 text (byte {error.start})", where=str(path), remedy=remedy) from None
    except PermissionError as error:
        shared = f"ask its owner to let the group read it: chmod -R g+rX {shlex.quote(str(path.parent))}"
        what, todo = f"cannot read this file: {error.strerror}", shared if os.name == "posix" else ""
        raise NotPermitted(what, where=str(path), remedy=todo) from None
    except FileNotFoundError:
        raise InputError("no such file", where=str(path)) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read this file: {reason}", where=str(path)) from None


def parse_json(text: str, where: str, remedy: str = REMEDY) -> Any:
    """Return the value of a JSON document.

    Args:
        text: The text.
        where: The file, and the line if it has several documents, for error messages.
        remedy: What to do if it is damaged.

    Raises:
        InputError: If it is not JSON, nested more than ``DEEPEST`` levels, or contains a lone surrogate.
    """
    try:
        found = json.loads(text)
    except RecursionError:
        raise InputError("this JSON is nested too deeply", where=where, remedy=remedy) from None
    except ValueError as error:
        raise InputError(f"this is not JSON: {error}", where=where, remedy=remedy) from None
    if text.count("[") + text.count("{") > DEEPEST and is_deep(found):
        raise InputError("this JSON is nested too deeply", where=where, remedy=remedy)
    if "\\ud" in text.lower() and lone_surrogate(json.dumps(found, ensure_ascii=False)):
        raise InputError("this JSON contains a lone surrogate", where=where, remedy=remedy)
    return found


def is_deep(value: Any, most: int = DEEPEST) -> bool:
    """Whether lists and mappings are nested in ``value`` more than ``most`` levels."""
    level = [value]
    for _ in range(most + 1):
        inner = (each.values() if isinstance(each, dict) else each for each in level if isinstance(each, (dict, list)))
        level = [entry for entries in inner for entry in entries if isinstance(entry, (dict, list))]
        if not level:
            return False
    return True


def read_object(path: Path, most: int = LARGEST, remedy: str = REMEDY) -> dict[str, Any]:
    """Return the JSON object in a file.

    Args:
        path: The file.
        most: The maximum size in bytes.
        remedy: What to do if it is damaged.

    Raises:
        InputError: If the file does not contain a JSON object.
    """
    found = parse_json(read_text(path, most, remedy), str(path), remedy)
    if not isinstance(found, dict):
        raise InputError(f"this is {shown(found)}; expected a JSON object", where=str(path), remedy=remedy)
    return found


def parse_yaml(text: str, where: str, remedy: str = NO_YAML) -> Any:
    """Return the value of a YAML document; ``graft.yaml_text.parse`` describes the differences from YAML 1.1.

    Args:
        text: The document.
        where: Its file, for error messages.
        remedy: What to do if it is not valid YAML.

    Raises:
        InputError: With the file and the line, if it is not valid YAML, has tags or repeated keys, or expands to too
            many values.
    """
    from graft.yaml_text import parse

    return parse(text, where, remedy)


def read_yaml(path: Path, remedy: str = NO_YAML) -> dict[str, Any]:
    """Return the mapping in a YAML file; an empty file gives an empty mapping.

    Raises:
        InputError: If the file cannot be read, is over a megabyte, or does not contain a mapping.
    """
    found = parse_yaml(read_text(path, LARGEST_YAML, remedy), str(path), remedy)
    if found is not None and not isinstance(found, dict):
        what = f"the file must be a mapping of settings, not {shown(found)}"
        raise InputError(what, where=str(path), remedy=remedy)
    return found or {}


def dump_yaml(values: Mapping[str, Any], in_order: bool = False) -> str:
    """Return a YAML document that ``read_yaml`` reads as ``values``; sorted by keys, or ``in_order``."""
    from graft.yaml_text import dump

    return dump(dict(values), in_order)


def shown(value: Any) -> str:
    """Return a value for an error message, shortened."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # ValueError: an integer of too many digits
        return "a value that is too large to show"
    return shortened(text)


def shortened(text: str) -> str:
    """Return the first characters of ``text``, as many as an error message shows."""
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"
