"""Paths in manifests: they hold when folders are moved together, and lead nowhere else by accident."""

from __future__ import annotations

import os
from pathlib import Path


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
