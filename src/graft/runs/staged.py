"""A folder that is written whole or not at all: in a temporary sibling, which is renamed at the end."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from graft.files import TEMPORARY, cannot_write, remove

LOCK = ".lock"
FORMER = f"-former{TEMPORARY}"
"""How the name of a folder ends that is being replaced."""
YOUNG = 60.0
"""Seconds before an unfinished folder without a lock is removed: its owner may be about to lock it."""


@contextmanager
def sibling_of(output: Path) -> Iterator[Path]:
    """A temporary sibling of ``output`` to work in; it replaces ``output`` at the end, and is removed on a failure.

    Folders that a killed process left are removed first; a running process holds the lock of its folder.

    Args:
        output: The folder to make; the caller has checked that it may be replaced.

    Raises:
        GraftError: If it cannot be written, such as on a full disk.
    """
    clear_stale(output)
    temporary = output.with_name(f".{output.name}-{uuid.uuid4().hex[:8]}{TEMPORARY}")
    lock = FileLock(temporary / LOCK)
    try:
        temporary.mkdir(parents=True)
        lock.acquire()
        yield temporary
        _unlock(lock)  # before the move: Windows moves no folder with an open file in it
        former = output.with_name(temporary.name.removesuffix(TEMPORARY) + FORMER)
        if output.exists():  # moved away as a whole: killed while it removes files, it would leave a part of a folder
            output.replace(former)
        Path(temporary).replace(output)
        remove(former)
    except OSError as error:
        raise cannot_write(output, error) from error
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
