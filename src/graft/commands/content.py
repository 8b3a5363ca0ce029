"""The bytes of files and folders that a pass reads or leaves, as one SHA-256; torch is not imported."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path

from graft.data.sources import find_files
from graft.errors import InputError
from graft.files import TEMPORARY, expanded, remove
from graft.models.weights import file_sha256, sha256_of
from graft.runs.folder import LOCK, held
from graft.runs.kind import FolderKind, folder_kind

SMALL = 16_000_000
"""Bytes of a file that is hashed each time; the hash of a larger one is kept by path, size, time and inode."""
PARTS = {
    FolderKind.RUN: ("adapter", "model", "data"),
    FolderKind.SEARCH: ("best/adapter", "best/model", "best/data", "trials.jsonl"),
}
"""What of a folder is its content; the other files say how and when it came about."""
ABOUT = frozenset(
    {"manifest.json", "evaluation.json", "predictions.jsonl", "README.md", "config.yaml", "changes.jsonl"}
)
"""Files about a bundle or a data set, which evaluating it may write."""


def content_of(path: Path) -> str | None:
    """The SHA-256 of a file, or of what a folder holds by name and bytes; None if there is nothing.

    Of a run, that are its weights and its rows: to evaluate it again changes nothing. Hidden files and unfinished ones
    do not count, nor does where the folder is.
    """
    if path.is_file():
        return _hashed(path)
    if not path.is_dir():
        return None
    lines = [f"{_hashed(file)}  {file.relative_to(path).as_posix()}\n" for file in sorted(_files(path))]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def content_of_name(name: str, allow_folder: bool) -> str | None:
    """The SHA-256 of the file, the folder, or the files of a pattern that a setting names; None if it names none.

    Args:
        name: The setting's value, of which ``NAME=PATH`` is the path, and ``FILE.py:NAME`` the file.
        allow_folder: Whether the setting can name a folder: a text may be the name of one by chance.
    """
    for text in dict.fromkeys((name, name.partition("=")[2], name.rpartition(":")[0])):
        if not any(map(str.isalnum, text)) or len(text) > 1000 or "\n" in text:
            continue
        path = expanded(text)
        with suppress(OSError, ValueError, InputError):
            if path.is_file() or (path.is_dir() and allow_folder):
                found = content_of(path)
                return f"{path.suffix}:{found}" if path.is_file() else found
            if allow_folder and any(sign in text for sign in "*?["):
                lines = (f"{file.suffix}:{_hashed(file)}\n" for file in find_files([text]))
                return hashlib.sha256("".join(lines).encode()).hexdigest()
    return None


def entries_of(folder: Path) -> list[str]:
    """The names in a folder, without locks and unfinished files."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if not _is_passing(path.name))


def result_of(artifact: Path, output: Path) -> str:
    """The SHA-256 of what a pass left, and of its own folder where that is another."""
    places = [artifact] if artifact.resolve() == output.resolve() else [artifact, output]
    return hashlib.sha256(" ".join(str(content_of(place)) for place in places).encode()).hexdigest()


def clear(folder: Path) -> None:
    """Remove what ``entries_of`` names, and unfinished files; and the folder, unless it holds something else.

    Hidden files stay: a pass writes none but its lock, so that they are somebody else's.

    Raises:
        BusyError: If a process works in the folder.
        GraftError: If a file cannot be removed.
    """
    with held(folder) if (folder / LOCK).exists() else nullcontext():
        for path in folder.iterdir() if folder.is_dir() else ():
            if not path.name.startswith(".") or path.name.endswith(TEMPORARY):
                remove(path)
    with suppress(OSError):
        folder.rmdir()


def _is_passing(name: str) -> bool:
    return name.startswith(".") or name.endswith(TEMPORARY)


def _files(folder: Path) -> Iterator[Path]:
    kind = folder_kind(folder)
    for part in PARTS.get(kind, ("",)):
        if (folder / part).is_file():
            yield folder / part
        for place, folders, names in os.walk(folder / part):
            folders[:] = [name for name in folders if not _is_passing(name)]
            yield from (Path(place, name) for name in names if _counts(kind, name) and Path(place, name).is_file())


def _counts(kind: FolderKind, name: str) -> bool:
    about = kind in (FolderKind.BUNDLE, FolderKind.DATA) and (name in ABOUT or name.endswith(".html"))
    return not _is_passing(name) and not about


def _hashed(file: Path) -> str:
    return sha256_of([file]) if file.stat().st_size > SMALL else file_sha256(file)
