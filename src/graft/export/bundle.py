"""The bundle folder: complete or absent, with a manifest that says what it is and what was checked."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from graft.errors import GraftError, InputError
from graft.files import FREE_SPACE
from graft.runs.kind import is_bundle
from graft.runs.manifest import BundleManifest, update_manifest
from graft.runs.staged import sibling_of
from graft.runs.workflow_manifest import KEPT


@contextmanager
def staged(output: Path, overwrite: bool = False) -> Iterator[Path]:
    """A temporary sibling of ``output`` to work in; it becomes ``output`` at the end, and is removed on a failure.

    Folders that a killed process left are removed first; a running process holds the lock of its folder.

    Args:
        output: The folder to make.
        overwrite: Whether a bundle in ``output`` may be replaced.

    Raises:
        InputError: If ``output`` holds other files, or a bundle that may not be replaced.
        GraftError: If the disk is full.
    """
    from safetensors import SafetensorError

    check_output(output, overwrite)
    try:
        with sibling_of(output) as temporary:
            yield temporary
    except SafetensorError as error:
        remedy = "free some space there"
        raise GraftError(f"cannot write the bundle: {error}", where=str(output), remedy=remedy) from error


def check_output(output: Path, overwrite: bool) -> None:
    """Check that the output folder may be written.

    Raises:
        InputError: If ``output`` may not be written.
    """
    if output.is_file():
        raise InputError("the output folder is a file", where=str(output))
    if not output.exists() or not any(entry.name != KEPT for entry in output.iterdir()):
        return
    if not is_bundle(output):
        raise InputError(
            "the output folder is not empty and not a bundle", where=str(output), remedy="choose another folder"
        )
    if not overwrite:
        raise InputError(
            "this folder already holds a bundle", where=str(output), remedy="pass --overwrite to replace it"
        )


def write_manifest(folder: Path, **values: Any) -> None:
    """Update manifest.json with ``values``."""
    update_manifest(folder, BundleManifest, **values)


def check_disk_space(output: Path, needed: int) -> None:
    """Check that the disk has room.

    Raises:
        GraftError: If the disk of ``output`` has fewer than ``needed`` bytes free.
    """
    folder = next(parent for parent in (output, *output.absolute().parents) if parent.exists())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise GraftError(
            f"no space left: the export needs {needed / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free",
            where=str(folder),
            remedy=FREE_SPACE,
        )
