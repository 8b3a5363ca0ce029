"""Ownership checks for files that graft trusts or executes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from graft.errors import InputError

_WRITABLE = stat.S_IWGRP | stat.S_IWOTH


def is_private(path: Path) -> bool:
    """Whether only this user and the owner of the system can change or replace ``path``.

    Links are followed first. Then the file or folder and all its parents must belong to this user or to the owner of
    ``/``, and no other user may have write access; a parent may be writable by others if it is sticky, like ``/tmp``.

    Args:
        path: A file or a folder.

    Returns:
        True if so, and on systems without POSIX owners, where the user's profile is protected by default; False if not,
        or if ``path`` does not exist.
    """
    return is_own(path) and open_place(path) is None


def is_own(path: Path) -> bool:
    """Whether no other user can change ``path`` itself; in a parent that is open, it could still be replaced.

    Args:
        path: A file or a folder; links are followed first.
    """
    if os.name != "posix":
        return path.exists()
    try:
        place = path.resolve(strict=True)
        return _is_closed(place, _owners(place), sticky=False)
    except (OSError, RuntimeError):  # it is not there, may not be looked at, or its links go in a circle
        return False


def open_place(path: Path) -> Path | None:
    """Return the nearest parent of ``path`` in which another user could replace it; None if there is none."""
    if os.name != "posix":
        return None
    try:
        place = path.resolve(strict=True)
        return next((above for above in place.parents if not _is_closed(above, _owners(place))), None)
    except (OSError, RuntimeError):
        return path


def private_folder(path: Path) -> Path:
    """Create a folder that only this user can enter, with its missing parents, and check that it is private.

    Args:
        path: The folder; an existing one keeps its mode.

    Returns:
        ``path``.

    Raises:
        InputError: If another user could change its content.
        OSError: If it cannot be created.
    """
    make_folder(path)
    if not is_private(path):
        raise refused_folder(path)
    return path


def make_folder(path: Path) -> None:
    """Create a folder that only this user can enter, with its missing parents.

    Raises:
        OSError: If it cannot be created.
    """
    for folder in reversed([path, *path.parents]):
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)


def refused_folder(path: Path) -> InputError:
    """Return the error for a folder that is not private: it names the open folder and a remedy."""
    place = (open_place(path) or path) if is_own(path) else path
    what = "this folder is not used: other users can change what is in it"
    if place != path:
        what += f", because {place} is open to them"
    remedy = "set GRAFT_CACHE to a folder that only you can write to, such as GRAFT_CACHE=$HOME/.cache/graft"
    if os.name == "posix" and place.exists() and place.stat().st_uid == os.getuid():
        remedy = f"chmod go-w {place}, or {remedy}"
    return InputError(what, where=str(path), remedy=remedy)


def _owners(place: Path) -> set[int]:
    return {os.getuid(), Path(place.anchor).stat().st_uid}


def _is_closed(path: Path, owners: set[int], sticky: bool = True) -> bool:
    found = path.stat()
    writable = found.st_mode & _WRITABLE
    if writable == stat.S_IWGRP and _is_own_group(found.st_gid):
        writable = 0
    return found.st_uid in owners and (not writable or (sticky and bool(found.st_mode & stat.S_ISVTX)))


def _is_own_group(group: int) -> bool:
    """Whether this user is the group's only member: Debian and Fedora give each user such a group, and umask 002."""
    import grp
    import pwd

    try:
        user, found = pwd.getpwuid(os.getuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return found.gr_name == user.pw_name and group == user.pw_gid and not set(found.gr_mem) - {user.pw_name}
