"""Text for pages that are shared (reports, model cards), without markup and without paths of this machine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, TypeVar

from graft.plain_text import escape_controls, mask_secrets

T = TypeVar("T")
_END = r"\s\\/:;,'\"<>|()\[\]{}`"
# Behind a letter, a colon or a slash it is no path, but a part of a URL, "text/label", "rows/s" or "</think>".
_POSIX = re.compile(rf"(?<![\w:/.}}<~-])(?:~(?:[A-Za-z_][\w.-]*)?|/([^{_END}]+))(?:/[^{_END}]+)*/([^{_END}]+)")
_WINDOWS = re.compile(rf"(?<!\w)(?:[A-Za-z]:[\\/]|\\\\)(?:[^{_END}]+[\\/])*([^{_END}]+)")
_TOPS = frozenset(("home", "Users", "root", "mnt", "media", "Volumes", "tmp", "var", "private", "data", "opt", "srv"))
"""Common folders at the root of a file system, which the machine of an earlier run may have had."""


def without_places(text: str) -> str:
    """Return ``text`` with each absolute path shortened to its last part, and with secrets masked.

    A path begins with a folder at the root of this machine's file system, or with one that is common there: a class
    ``/sports/football`` and an answer ``/no_think`` are text.
    """
    whole = PureWindowsPath(text) if "\\" in text else PurePosixPath(text)
    if whole.is_absolute() or text.startswith("~/"):
        is_place = isinstance(whole, PureWindowsPath) or text.startswith("~/") or _is_top(whole.parts[1:2])
        if is_place and len(whole.parts) > 2 and "\n" not in text and not re.search(r"\s[~/]", text):
            return mask_secrets(whole.name or text)
    return mask_secrets(_WINDOWS.sub(r"\1", _POSIX.sub(_last_part, without_folders(text))))


def without_folders(text: str, places: Iterable[str] = ()) -> str:
    """Return ``text`` without the folders of ``places``, the working directory, and the home folder.

    Other paths stay: of a text that quotes rows of the user's, these are part of the rows.

    Args:
        text: The text.
        places: Files and folders that graft read.
    """
    named = {folder for place in map(Path, places) if place.is_absolute() for folder in (place, place.parent)}
    for folder in (*sorted(named, key=lambda each: -len(str(each))), Path.cwd(), Path.home()):  # names may have blanks
        if folder != Path(folder.anchor):
            text = text.replace(f"{folder}/", "").replace(f"{folder}\\", "").replace(str(folder), folder.name)
    return text


def _last_part(found: re.Match[str]) -> str:
    return found[2] if found[1] is None or _is_top((found[1],)) else found[0]


@lru_cache(maxsize=256)
def _is_top(names: tuple[str, ...]) -> bool:
    try:
        return bool(names) and (names[0] in _TOPS or Path("/", names[0]).is_dir())
    except (OSError, ValueError):  # a name that is too long, or has a NUL
        return False


def shared(value: T) -> T:
    """Return ``value`` with ``without_places`` applied to each text in its lists, mappings and dataclasses.

    Text that is already markup is not changed.
    """
    return _shared(value)  # type: ignore[no-any-return]


def _shared(value: Any) -> Any:
    if type(value) is str:
        return without_places(value)
    if isinstance(value, tuple):
        parts = [_shared(part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, list):
        return [_shared(part) for part in value]
    if isinstance(value, Mapping):
        return {name: _shared(part) for name, part in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: _shared(getattr(value, field.name)) for field in fields(value)})
    return value


def markdown(text: str) -> str:
    """Escape ``text`` as one line of Markdown, so that nothing in it is markup or ends a table cell."""
    return re.sub(r"([\\`*_\[\]<>|#~&!])", r"\\\1", escape_controls(" ".join(text.split())))


def fenced(code: str, language: str) -> str:
    """Return ``code`` as a fenced Markdown block; the fence is longer than any in ``code``."""
    longest = max((len(run) for run in re.findall("`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{escape_controls(code)}\n{fence}"
