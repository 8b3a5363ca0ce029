"""graft's own cache: converted models and hashes, written whole or not at all."""

from __future__ import annotations

import functools
import logging
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_dir

from graft.errors import GraftError
from graft.ownership import is_own, make_folder, open_place, refused_folder

log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """``$GRAFT_CACHE``, or the user's cache directory as the system has it."""
    given = os.environ.get("GRAFT_CACHE")
    return Path(given).expanduser().absolute() if given else Path(user_cache_dir("graft", appauthor=False))


def filled(folder: Path, fill: Callable[[Path], None], intact: Callable[[Path], bool]) -> Path:
    """``folder``, filled by ``fill`` unless it is ``intact``.

    The work is done in a temporary sibling that takes the folder's place when it is complete, by one process at a
    time; another that asks for the same folder waits and finds it there. A folder that another user could have filled
    is filled again. Below a folder that is open to others, such as a volume of Kubernetes, it is used if it belongs to
    this user, since a model is no code; that is logged.

    Raises:
        InputError: when other users can change what is in the cache.
        GraftError: when the cache cannot be written.
    """
    from safetensors import SafetensorError

    try:
        if _is_trusted(folder) and intact(folder):
            return folder
        make_folder(folder.parent)
        if not is_own(folder.parent):
            raise refused_folder(folder.parent)
        with FileLock(folder.with_name(folder.name + ".lock")):
            if not (_is_trusted(folder) and intact(folder)):
                _fill(folder, fill)
    except (OSError, SafetensorError) as error:
        raise GraftError(
            f"cannot write the model cache: {error}",
            where=str(folder),
            remedy="check its free space and permissions, or set GRAFT_CACHE to another folder",
        ) from error
    return folder


def _is_trusted(folder: Path) -> bool:
    """Whether the folder and the one that holds it are this user's, in whatever they lie."""
    if not (is_own(folder) and is_own(folder.parent)):
        return False
    place = open_place(folder.parent)
    if place is not None:
        _note_open(place)
    return True


@functools.cache
def _note_open(place: Path) -> None:
    log.warning("other users could replace models in graft's cache: %s is open to them (see GRAFT_CACHE)", place)


def _fill(folder: Path, fill: Callable[[Path], None]) -> None:
    for left in folder.parent.glob(f".{folder.name}-????????"):  # by a process that was killed: the lock is ours
        shutil.rmtree(left, ignore_errors=True)
    temporary = folder.with_name(f".{folder.name}-{uuid.uuid4().hex[:8]}")
    temporary.mkdir(mode=0o700)
    try:
        fill(temporary)
        if folder.exists():
            shutil.rmtree(folder)
        Path(temporary).replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
