"""The files that paths, globs and folders name."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from graft.config import split_paths
from graft.data.prepared import refuse_log
from graft.data.readers import endings, reader_of
from graft.errors import InputError, Problems, did_you_mean

LONGEST_NAME = 200
"""Characters of a name that an error message shows."""
_SAVED = ("dataset_dict.json", "state.json")
_DESCRIPTIONS = {"dataset_info.json", "dataset_infos.json", *_SAVED}
_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFSOCK: "a socket"}


def find_files(patterns: Sequence[str], option: str = "--data_files") -> list[Path]:
    """Return the files named, with globs expanded.

    Args:
        patterns: Paths and globs, each perhaps several separated by commas.
        option: Who names them, for error messages.

    Raises:
        InputError: For an empty name, and naming every file that does not exist, with the nearest that does.
    """
    problems = Problems()
    files: list[Path] = []
    if not patterns:
        problems.add("the list of files is empty", option, "give a file")
    for pattern in (part for given in patterns for part in split_paths(given)):
        with problems.collecting():
            found = _matching(pattern)
            if not found:
                _refuse_missing(pattern, option, problems)
            for file in found:
                refuse_log(file)
            files += found
    problems.raise_if_any()
    return files


def path_of(name: str) -> Path:
    """Return the path that a name stands for, with the home directory in place of ``~``.

    Raises:
        InputError: If it cannot be one: there is no such user, it is too long, or may not be looked at.
    """
    try:
        path = Path(name).expanduser()
        path.is_file()
    except PermissionError as error:
        raise InputError(f"this cannot be read: {error.strerror}", where=_shown(name)) from error
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"this is not a valid path: {reason}", where=_shown(name)) from error
    return path


def is_saved(path: Path) -> bool:
    """Return whether ``datasets`` saved a folder."""
    return any((path / name).is_file() for name in _SAVED)


def files_in(folder: Path) -> list[Path]:
    """Return the data files below a folder, in order, without hidden ones and what is in hidden folders.

    Raises:
        InputError: If there are none.
    """
    files = sorted(file for file in folder.rglob("*") if _is_data(file.relative_to(folder)) and file.is_file())
    if not files:
        raise InputError(f"this folder has no data files ({', '.join(endings())})", where=str(folder))
    return files


def near(path: Path) -> str:
    """Return a suggestion for a path that does not exist; an empty text if no name is similar."""
    try:
        if not path.parent.is_dir():
            return f"the folder {str(path.parent)!r} does not exist either"
        return did_you_mean(path.name, [entry.name for entry in path.parent.iterdir()])
    except OSError:  # a folder that may not be listed
        return ""


def named_of(files: Sequence[Path]) -> str:
    """Return files as one text: the first, and how many there are besides."""
    return str(files[0]) if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"


class Hashes(NamedTuple):
    """SHA-256, hexadecimal: of the bytes of several files in order, and of each file by its path."""

    together: str
    each: dict[str, str]


def hashes_of(files: Sequence[Path]) -> Hashes:
    """Return the SHA-256 of files, each of which is read once."""
    together, each = hashlib.sha256(), {}
    for file in files:
        own = hashlib.sha256()
        with file.open("rb") as stream:
            for chunk in iter(lambda: stream.read(1 << 20), b""):
                own.update(chunk)
                if len(files) > 1:
                    together.update(chunk)
        each[str(file)] = own.hexdigest()
    return Hashes(each[str(files[0])] if len(files) == 1 else together.hexdigest(), each)


def sha256_of(*files: Path) -> str:
    """Return the hexadecimal digest of the files' bytes, one file after the other."""
    return hashes_of(files).together


@contextmanager
def unchanged(files: Sequence[Path]) -> Iterator[None]:
    """Raise if a file changes while the block reads it.

    Raises:
        InputError: Naming the files that were written to meanwhile.
    """
    before = [_version(file) for file in files]
    yield
    problems = Problems()
    for file, version in zip(files, before, strict=True):
        if _version(file) != version:
            problems.add(
                "this file changed while it was read", file, "run the command again when no program writes to it"
            )
    problems.raise_if_any()


def _version(file: Path) -> tuple[int, ...] | None:
    try:
        found = file.stat()
    except OSError:  # whoever opens it says so
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino


def _matching(pattern: str) -> list[Path]:
    if not pattern.strip():
        return []
    path = path_of(pattern)
    found = [path] if path.is_file() else _spread(path)
    return [file for file in found if file.is_file()]


def _refuse_missing(pattern: str, option: str, problems: Problems) -> None:
    """Say that there is no such file; with commas, neither by the whole name nor by each part that is missing."""
    parts = [part.strip() for part in pattern.split(",")]
    if not all(parts):
        where = f"{option} {_shown(pattern)}".rstrip()
        problems.add("a file name is empty", where, "give a file, or several separated by commas")
        return
    if len(parts) < 2:
        problems.add(_what_it_is(path_of(pattern)), pattern, _instead(path_of(pattern)))
        return
    for part in parts:
        if not _matching(part):
            several = f"it is one of {len(parts)} names separated by commas"
            what = f"no such file; {several}, and there is no file {pattern!r} either"
            problems.add(what, part, near(path_of(part)))


def _what_it_is(path: Path) -> str:
    if path.is_dir():
        return "this is a folder, not a file"
    if path.exists():
        kind = _KINDS.get(stat.S_IFMT(path.stat().st_mode), "a special file")
        return f"this is {kind}, not a file, and data is read more than once"
    return "no such file"


def _instead(path: Path) -> str:
    if path.is_dir():
        return "--data_name takes a folder"
    return "write it to a file first" if path.exists() else near(path)


def _spread(pattern: Path) -> list[Path]:
    """The files that match a glob, in order."""
    anchor = Path(pattern.anchor)
    try:
        return sorted(anchor.glob(str(pattern.relative_to(anchor))))
    except (ValueError, NotImplementedError, IndexError, OSError):  # such as an empty pattern, or a/**b
        return []


def _is_data(file: Path) -> bool:
    """Whether a file of a folder has rows: hidden ones have none, nor those that describe a data set."""
    hidden = any(part.startswith((".", "__")) for part in file.parts)
    return not hidden and file.name not in _DESCRIPTIONS and reader_of(file) is not None


def _shown(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"
