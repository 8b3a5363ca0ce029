"""Links in the folders that graft writes: whoever follows them writes, removes or reads elsewhere."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from graft.errors import InputError, Problems, shorten

MODEL, WEIGHTS = "model", (".safetensors", ".bin")
"""Where graft itself makes links, to the weights of a base: they are read, and replaced, never written into."""


class LinkError(InputError):
    """A folder has a link, or what is no file at all, where it should have a file or a folder of its own."""


def refuse_links(folder: Path, names: Iterable[str] | None = None) -> None:
    """Check that what a folder holds is in it; call it before something is written there, removed there, or copied.

    A folder may come from a stranger: in one with ``events.jsonl -> ~/.bashrc`` the events of a run would become
    commands of a shell, and with ``checkpoints -> /home/user/out`` another program's checkpoints would be removed.

    Args:
        folder: The folder, which may be a link itself.
        names: Entries of it, each checked with all that is in it; all entries by default.

    Raises:
        LinkError: Naming each link, and each pipe or device, but the links of ``model`` to weights.
    """
    problems = Problems()
    for path in _entries(folder, sorted(entry.name for entry in folder.iterdir()) if names is None else names):
        what = foreign(path)
        if what and not (path.parent == folder / MODEL and path.suffix in WEIGHTS and not path.is_dir()):
            problems.add(f"this is {what}: graft writes and reads only what is in the folder itself", path, "remove it")
    shorten(problems, "links")
    if problems:
        raise LinkError(*problems.found)


def _entries(folder: Path, names: Iterable[str]) -> Iterator[Path]:
    for name in names:
        yield folder / name
        if foreign(folder / name):
            continue
        for place, folders, files in os.walk(folder / name):
            yield from (Path(place, entry) for entry in (*folders, *files))
            folders[:] = [entry for entry in folders if not foreign(Path(place, entry))]


def foreign(path: Path) -> str:
    """Return what stands where a file or a folder belongs; nothing if it is one, or is not there."""
    try:
        found = path.lstat()
    except (OSError, ValueError):
        return ""
    junction = getattr(found, "st_reparse_tag", 0) == getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", -1)  # of Windows
    if stat.S_ISLNK(found.st_mode) or junction:
        return "a link"
    return "" if stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode) else "a pipe, a socket or a device"
