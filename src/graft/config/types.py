"""Types of settings with several notations: lists, templates, mappings and number formats."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator

from graft.documents import is_deep, shown
from graft.files import expanded


def _listed(value: Any) -> Any:
    """Split ``a,b`` into a list; a single value becomes a list of one."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def split_paths(text: str) -> tuple[str, ...]:
    """Return the paths that ``text`` names: one, or several separated by commas.

    A comma can be part of a path: the longest parts that exist are used. If ``text`` cannot be divided into existing
    paths, it is one path; the error of opening it describes both interpretations.
    """
    return _existing_parts(text, _path_exists) or (text,)


def _existing_parts(text: str, exists: Callable[[str], bool]) -> tuple[str, ...] | None:
    """Return the longest parts between commas that exist; None if some part belongs to no existing path."""
    parts = text.split(",")
    found: list[str] = []
    start = 0
    while start < len(parts):
        ends = (end for end in range(len(parts), start, -1) if exists(",".join(parts[start:end]).strip()))
        end = next(ends, None)
        if end is None:
            return None
        found.append(",".join(parts[start:end]).strip())
        start = end
    return tuple(found)


def _path_exists(text: str) -> bool:
    path = expanded(text)
    try:
        if not text or path.exists():
            return bool(text)
        pattern = str(path.relative_to(path.anchor)) if path.anchor else str(path)
        return any(mark in text for mark in "*?[") and any(Path(path.anchor).glob(pattern))
    except (OSError, ValueError, NotImplementedError, IndexError):
        return False


def _several(value: Any, split: Callable[[str], tuple[str, ...]] = split_paths) -> Any:
    """One path, several separated by commas, or a list of these."""
    listed = [value] if isinstance(value, (str, Path)) else value
    if not isinstance(listed, (list, tuple)) or not all(isinstance(part, (str, Path)) for part in listed):
        return value
    return tuple(path for part in listed for path in split(str(part)))


def _named_paths(value: Any) -> Any:
    """Split paths, each optionally preceded by ``NAME=``; if one does not exist, split at every comma."""
    return _several(value, lambda text: _existing_parts(text, _behind_name_exists) or _listed(text))


def _behind_name_exists(text: str) -> bool:
    return _path_exists(text) or _path_exists(text.partition("=")[2])


LONGEST_NAME, LONGEST_PATH = 255, 4096
"""The maximum length in bytes of a file name and of a whole path."""
_NO_FOLDERS = (("proc",), ("sys",), ("dev",))


def as_path(value: str | Path, output: bool = False) -> Path:
    """Return a setting's path with the home directory in place of ``~``; ``$NAME`` stays as it is.

    Args:
        value: The path as given.
        output: Whether a folder will be created there.

    Raises:
        ValueError: If it is empty, names a user that does not exist, or cannot be the path of a file.
    """
    text, path = str(value), expanded(value)
    if not text.strip():
        raise ValueError("is empty; give a path, or omit it")
    if text.startswith("~") and path == Path(text):
        raise ValueError(f"is {shown(text)}, but there is no such user; write the full path")
    try:
        names = [os.fsencode(name) for name in path.parts]
    except UnicodeEncodeError:
        raise ValueError(f"is {shown(text)}, which is not a valid file name") from None
    if any(b"\0" in name for name in names):
        raise ValueError(f"is {shown(text)}; a path cannot contain a NUL character")
    if max(map(len, names), default=0) > LONGEST_NAME or sum(map(len, names)) + len(names) > LONGEST_PATH:
        raise ValueError(f"is {shown(text)}; a name has at most {LONGEST_NAME} bytes, a path {LONGEST_PATH:,}")
    if str(path).startswith("~"):  # of ./~: nobody may take it for a home directory again
        path = path.absolute()
    parts = path.absolute().parts
    if output and parts[1:2] in _NO_FOLDERS and parts[2:3] != ("shm",):
        raise ValueError(f"is {shown(text)}, where no folder can be created; choose another")
    return path


def _unescaped(value: Any) -> Any:
    r"""A ``\n`` or ``\t`` typed in a shell means the character; every other letter stays as it is."""
    return value.replace("\\n", "\n").replace("\\t", "\t") if isinstance(value, str) else value


def _pairs(value: Any) -> Any:
    """Convert ``a=1,b=2``, a list of such pairs, or JSON to a mapping; values are parsed as JSON if possible."""
    found = _mapping(value)
    if is_deep(found):
        raise ValueError("is nested too deeply")
    return found


def _mapping(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip().startswith("{"):
        return _json(value)
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list) or not all("=" in str(part) for part in parts):
        return value
    split = (str(part).partition("=") for part in parts)
    return {name.strip(): _json(text.strip()) for name, _, text in split}


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


Normalization = Literal["case", "punctuation", "blanks"]
NORMALIZATIONS: tuple[Normalization, ...] = get_args(Normalization)


def _in_order(steps: tuple[Normalization, ...]) -> tuple[Normalization, ...]:
    return tuple(step for step in NORMALIZATIONS if step in steps)


Normalizations = Annotated[tuple[Normalization, ...], BeforeValidator(_listed), AfterValidator(_in_order)]
Listed = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Paths = Annotated[tuple[str, ...], BeforeValidator(_several)]
NamedPaths = Annotated[tuple[str, ...], BeforeValidator(_named_paths)]
Template = Annotated[str, BeforeValidator(_unescaped)]
Pairs = Annotated[Mapping[str, Any], BeforeValidator(_pairs)]


def renaming(names: Mapping[str, str]) -> BeforeValidator:
    """Return a validator that replaces abbreviations; ``abbreviations_of`` finds them."""

    def rename(value: Any) -> Any:
        return names.get(value, value) if isinstance(value, str) else value

    rename.abbreviations = tuple(names)  # type: ignore[attr-defined]
    return BeforeValidator(rename)


def abbreviations_of(annotation: Any) -> tuple[str, ...]:
    """Return the texts that a type accepts in place of its values."""
    found: list[str] = []
    for part in (*getattr(annotation, "__metadata__", ()), *get_args(annotation)):
        found += getattr(getattr(part, "func", None), "abbreviations", ())
        found += abbreviations_of(part)
    return tuple(dict.fromkeys(found))


_FORMATS = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "no": "float32"}
"""Common abbreviations of number formats."""

Precision = Annotated[Literal["auto", "float32", "bfloat16", "float16"], renaming(_FORMATS)]
OnLong = Annotated[Literal["truncate", "drop", "error"], renaming({"raise": "error"})]
Engine = Annotated[Literal["exact", "int8", "bfloat16", "plain", "auto", "packed"], renaming(_FORMATS)]
