"""Paths in manifests: they hold when folders are moved together, and lead nowhere else by accident."""

from __future__ import annotations

import os
from pathlib import Path

from graft.documents import REMEDY, shown
from graft.errors import InputError


def portable_path(target: Path, folder: Path) -> str:
    """Return how a manifest in ``folder`` names ``target``.

    Args:
        target: A file or a folder.
        folder: The folder of the manifest.

    Returns:
        A relative path with forward slashes for what is inside ``folder``, around it, or beside it; another target by
        its absolute path, which is no more than a hint elsewhere.
    """
    target, folder = target.resolve(), folder.resolve()
    near = target.is_relative_to(folder.parent) or folder.is_relative_to(target)
    return Path(os.path.relpath(target, folder)).as_posix() if near else str(target)


def shown_path(named: str, folder: Path) -> str:
    """Return the path that a manifest in ``folder`` names, to show to a person who stands where ``folder`` is named."""
    return Path(os.path.normpath(path_from(named, folder))).as_posix() if not Path(named).is_absolute() else named


def path_from(named: str, folder: Path) -> Path:
    """Return the path that a manifest in ``folder`` names; it need not exist."""
    return folder / named


def path_inside(named: str, folder: Path, what: str) -> Path:
    """Return the file that a document in ``folder`` names.

    Args:
        named: The file, relative to the folder.
        folder: The folder.
        what: What the file is, for the error message: "the chat template".

    Raises:
        InputError: If it does not exist, is no file, or is outside the folder, also by a link.
    """
    try:
        file = (folder / named).resolve()
        found = file.is_relative_to(folder.resolve()) and file.is_file()
    except (OSError, ValueError, RuntimeError):  # a name with a NUL or of a length that no file has, links in a circle
        found = False
    if not found:
        raise InputError(f"{what}, {shown(named)}, is not a file in this folder", where=str(folder), remedy=REMEDY)
    return file
