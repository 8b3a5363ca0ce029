"""A folder that ``graft prepare`` wrote: a file of rows for each side, and what was done to them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from graft.documents import read_object
from graft.errors import InputError
from graft.files import expanded

CHANGES = "changes.jsonl"
_MANIFEST = "manifest.json"
SPLITS = {"train": "train", "eval": "validation", "test": "test"}
"""The split that the rows of each side are read as."""


def rows_file(side: str) -> str:
    """Return the name of the file with the rows of a side."""
    return f"{side}.jsonl"


def is_prepared(folder: Path) -> bool:
    """Return whether ``graft prepare`` wrote a folder, by its manifest."""
    try:
        path = folder / _MANIFEST
        return path.is_file() and read_object(path).get("kind") == "data"
    except (InputError, OSError, ValueError):  # ValueError: a NUL in the name
        return False


def files_of_sides(folder: Path) -> dict[str, Path]:
    """Return the files with the rows of a prepared folder by the split that they are read as.

    Raises:
        InputError: If there is none.
    """
    found = {split: folder / rows_file(side) for side, split in SPLITS.items() if (folder / rows_file(side)).is_file()}
    if not found:
        remedy = "run graft prepare again"
        raise InputError("this prepared data set has lost its files of rows", where=str(folder), remedy=remedy)
    return found


def prepared_folder(names: Sequence[str]) -> Path | None:
    """Return the prepared folder that is all that files are named by; None for anything else."""
    folder = expanded(names[0]) if len(names) == 1 else None
    return folder if folder is not None and is_prepared(folder) else None


def refuse_log(file: Path) -> None:
    """Refuse the log of a prepared folder, which a glob may name.

    Raises:
        InputError: If ``file`` is such a log.
    """
    if file.name == CHANGES and is_prepared(file.parent):
        what = "this is the log of graft prepare and has no rows to train on"
        raise InputError(what, where=str(file), remedy=f"give the folder: --data_name {file.parent}")
