"""Data that is named by a word of the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from graft.errors import InputError
from graft.files import expanded, is_there


def data_option(word: str) -> dict[str, Any]:
    """Return the setting that a word stands for: files, or the name of a folder or a data set of the Hub."""
    is_files = any(letter in word for letter in "*?[") or (
        Path(word).suffix and not (is_there(word) and expanded(word).is_dir())
    )
    return {"data_files": word} if is_files else {"data_name": word}


def data_named(words: Sequence[str], usage: str) -> dict[str, Any]:
    """Return the setting for the words of a command that takes data: one name, or several files.

    Raises:
        InputError: If several words are not all files.
    """
    if not words:
        return {}
    if len(words) == 1:
        return data_option(words[0])
    if any("data_name" in data_option(word) for word in words):
        raise InputError(f"too many arguments: {' '.join(words[1:])}", remedy=usage)
    return {"data_files": list(words)}
