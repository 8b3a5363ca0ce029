"""The bundle folder: complete or absent, with a manifest that says what it is and what was checked."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from graft.errors import GraftError, InputError
from graft.files import FREE_SPACE, TEMPORARY, cannot_write, remove
from graft.runs.kind import FolderKind, folder_kind
from graft.runs.manifest import BundleManifest, update_manifest

LOCK = ".lock"
FORMER = f"-former{TEMPORARY}"
"""How the name of a bundle ends that is being replaced."""
YOUNG = 60.0
"""Seconds before an unfinished folder without a lock is removed: its owner may be about to lock it."""


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
    clear_stale(output)
    temporary = output.with_name(f".{output.name}-{uuid.uuid4().hex[:8]}{TEMPORARY}")
    lock = FileLock(temporary / LOCK)
    try:
        temporary.mkdir(parents=True)
        lock.acquire()
        yield temporary
        _unlock(lock)  # before the move: Windows moves no folder with an open file in it
        former = output.with_name(temporary.name.removesuffix(TEMPORARY) + FORMER)
        if output.exists():  # moved away as a whole: killed while it removes files, it would leave a part of a bundle
            output.replace(former)
        Path(temporary).replace(output)
        remove(former)
    except OSError as error:
        raise cannot_write(output, error) from error
    except SafetensorError as error:
        remedy = "free some space there"
        raise GraftError(f"cannot write the bundle: {error}", where=str(output), remedy=remedy) from error
    finally:
        lock.release(force=True)
        shutil.rmtree(temporary, ignore_errors=True)


def _unlock(lock: FileLock) -> None:
    lock.release(force=True)
    Path(lock.lock_file).unlink(missing_ok=True)


def clear_stale(output: Path) -> list[Path]:
    """Remove the unfinished siblings of ``output`` that no running process holds; returns the removed folders."""
    removed = []
    for folder in output.parent.glob(f".{output.name}-*{TEMPORARY}"):
        if folder.is_dir() and not folder.is_symlink() and not _owned(folder):
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
    return removed


def _owned(folder: Path) -> bool:
    if folder.name.endswith(FORMER):
        return False
    if not (folder / LOCK).is_file():
        return time.time() - folder.stat().st_mtime < YOUNG
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return True
    lock.release()
    return False


def check_output(output: Path, overwrite: bool) -> None:
    """Check that the output folder may be written.

    Raises:
        InputError: If ``output`` may not be written.
    """
    if output.is_file():
        raise InputError("the output folder is a file", where=str(output))
    if not output.exists() or not any(output.iterdir()):
        return
    if not is_bundle(output):
        raise InputError(
            "the output folder is not empty and not a bundle", where=str(output), remedy="choose another folder"
        )
    if not overwrite:
        raise InputError(
            "this folder already holds a bundle", where=str(output), remedy="pass --overwrite to replace it"
        )


def is_bundle(path: Path) -> bool:
    """Whether ``path`` is an exported bundle."""
    return folder_kind(path) is FolderKind.BUNDLE


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
