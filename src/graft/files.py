"""Files written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TextIO

from graft.errors import GraftError, InputError, is_full_disk

TEMPORARY = ".graft-tmp"
"""The suffix of unfinished files; a killed process can leave some behind."""

HOUR = 3600.0
FREE_SPACE = "free some space there, or choose a folder on another disk"

_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}


class ReadOnlyError(GraftError):
    """The destination is on read-only media, or the user has no permission to write there."""


def expanded(path: str | Path) -> Path:
    """Return ``path`` with the home directory in place of ``~``; unchanged where there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def is_there(path: str | Path) -> bool:
    """Whether ``path`` exists; False for what can be the path of nothing."""
    try:
        return expanded(path).exists()
    except (OSError, ValueError):
        return False


def write_whole(path: Path, content: str | bytes, private: bool = False) -> None:
    """Replace the content of ``path`` atomically: readers see the old content or the new, never a part.

    Args:
        path: The file. One that exists keeps its mode.
        content: Text, in UTF-8, or bytes.
        private: Whether only this user can read a new file, as for files with the user's rows.

    Raises:
        GraftError: when it cannot be written; the old file stays as it was.
    """
    data = content.encode() if isinstance(content, str) else content
    with _replacing(path, private) as file:
        file.write(data)


def write_lines(path: Path, lines: Iterable[str], private: bool = False) -> int:
    """Replace the content of ``path`` as ``write_whole`` does, a line at a time; returns how many there were.

    Args:
        path: The file.
        lines: The lines, without their ends.
        private: Whether only this user can read a new file.

    Raises:
        GraftError: As ``write_whole``.
    """
    count = 0
    with _replacing(path, private) as file:
        for count, line in enumerate(lines, 1):  # noqa: B007  the last one is returned
            file.write(line.encode() + b"\n")
    return count


@contextmanager
def _replacing(path: Path, private: bool) -> Iterator[IO[bytes]]:
    """A temporary file that becomes ``path`` at the end, and is removed on a failure."""
    with saying_what_failed(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = path.stat().st_mode & 0o777 if path.exists() else usual_mode(private)
        # In the same folder: os.replace is atomic within a file system only.
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", suffix=TEMPORARY, dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(mode)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def remove_unfinished(folder: Path) -> None:
    """Remove the unfinished files below ``folder``, of which no other process is writing one now.

    Unfinished folders stay, and what is in them: those of exports may be in work, and the next export removes them.
    """
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.endswith(TEMPORARY)]
        for name in names:
            if name.endswith(TEMPORARY):
                with contextlib.suppress(OSError):
                    Path(place, name).unlink()


def remove(path: Path) -> None:
    """Remove a file, or a folder with what is in it; of a link, the link.

    Raises:
        GraftError: when a file cannot be removed; in a folder, what cannot be removed stays.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with saying_what_failed(path):
        path.unlink(missing_ok=True)


def remove_stale(folder: Path) -> None:
    """Remove files that killed processes left unfinished in ``folder``, which no lock guards: those older than an hour.

    Folders stay, however old: what is written in one, such as an export, changes nothing in the folder's own time.
    """
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.name.endswith(TEMPORARY) and is_old(path) and (path.is_symlink() or not path.is_dir()):
                path.unlink()


def is_old(path: Path) -> bool:
    """Whether nothing has changed here for an hour."""
    return time.time() - path.lstat().st_mtime > HOUR


def append_line(path: Path, line: str, private: bool = False) -> None:
    """Add one line, in one write.

    Args:
        path: The file.
        line: The line, without its end.
        private: Whether only this user can read a new file.

    Raises:
        GraftError: when it cannot be written, or is a link, which could lead to any file of the user.
    """
    with saying_what_failed(path), _appending(path, private) as file:
        file.write(line + "\n")


def end_line(path: Path) -> None:
    """End a line that a killed process has left unfinished.

    Raises:
        GraftError: as ``append_line``.
    """
    if not path.is_file() or not path.stat().st_size:
        return
    with saying_what_failed(path), path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            append_line(path, "")


def _appending(path: Path, private: bool) -> TextIO:
    if path.is_symlink():
        raise InputError(
            "this is a link, and graft does not append to links", where=str(path), remedy="remove the link"
        )
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, 0o600 if private else 0o666), "a", encoding="utf-8", newline="\n")


@contextmanager
def saying_what_failed(path: Path) -> Iterator[None]:
    """An OSError within becomes a GraftError that says what to do."""
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError, remedy: str = FREE_SPACE) -> GraftError:
    """Describe a failed write to ``path``; ``remedy`` is what to do about a full disk."""
    if is_full_disk(error):
        return GraftError(
            f"no space left to write {path.name}: {_free(path.parent)} free",
            where=str(path.parent),
            remedy=remedy,
        )
    reason = error.strerror or str(error)
    kind = ReadOnlyError if error.errno in _READ_ONLY else GraftError
    return kind(f"cannot write {path.name}: {reason}", where=str(path.parent), remedy="choose another folder")


def _free(folder: Path) -> str:
    try:
        return f"{shutil.disk_usage(folder).free / 1e6:,.1f} MB"
    except OSError:
        return "an unknown number of bytes"


def usual_mode(private: bool = False) -> int:
    """Return the mode of a new file by the user's umask; if ``private``, only this user has access."""
    mask = os.umask(0)
    os.umask(mask)
    return (0o600 if private else 0o666) & ~mask
