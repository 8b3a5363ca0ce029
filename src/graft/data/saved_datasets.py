"""Folders that ``datasets`` saved (``save_to_disk``).

Their Arrow files are read as other Arrow files are: checked, and not mapped into memory. ``datasets`` maps them
without a check, so a damaged file would crash the process.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from graft.data.card import features_beside
from graft.data.example import Origin
from graft.data.readers.base import Row
from graft.data.readers.columnar import ARROW
from graft.data.readers.plain import with_class_names
from graft.documents import read_object
from graft.errors import InputError, Problems

_REMEDY = "load and save it again with `datasets`, or write the rows as Parquet: dataset.to_parquet(…)"


def saved_splits(folder: Path) -> dict[str, Path]:
    """Return the folders of the splits by their names; a data set without splits is ``train``.

    Raises:
        InputError: If the folder's description is damaged.
    """
    described = folder / "dataset_dict.json"
    if not described.is_file():
        return {"train": folder}
    splits = read_object(described).get("splits")
    if not isinstance(splits, list) or not splits or not all(isinstance(name, str) for name in splits):
        raise InputError("`splits` must be a list of names", where=str(described), remedy=_REMEDY)
    return {name: folder / _plain_name(name, described) for name in splits}


class _Split(NamedTuple):
    """The Arrow files of a split, in order, and the columns that ``set_format`` chose; None for all."""

    files: list[Path]
    columns: list[str] | None


def _read_split(folder: Path) -> _Split:
    """Return what ``state.json`` says of a split.

    Raises:
        InputError: If ``state.json`` is damaged, or names files that are missing or outside the folder.
    """
    state = folder / "state.json"
    found = read_object(state)
    listed = found.get("_data_files")
    if found.get("_indices_files") or found.get("_indices_data_files"):
        raise InputError(
            "an indices mapping selects the rows of this data set, which graft does not read",
            where=str(state),
            remedy="apply it with dataset.flatten_indices(), and save the data set again",
        )
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise InputError("`_data_files` must be a list of objects", where=str(state), remedy=_REMEDY)
    files = [folder / _plain_name(entry.get("filename"), state) for entry in listed]
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise InputError("this file is missing", where=str(missing[0]), remedy=_REMEDY)
    columns = found.get("_format_columns")
    if columns is not None and not (isinstance(columns, list) and all(isinstance(name, str) for name in columns)):
        raise InputError("`_format_columns` must be a list of names", where=str(state), remedy=_REMEDY)
    return _Split(files, columns)


def saved_rows(folder: Path, name: str, problems: Problems) -> Iterator[Row]:
    """Yield the rows of a split, class numbers as their names.

    Args:
        folder: The split.
        name: The data set and its split, for the origins of rows.
        problems: Takes what is wrong with the files.

    Raises:
        InputError: If the folder is damaged.
    """
    files, columns = _read_split(folder)
    number = 0
    for file in files:
        features = features_beside(file)
        rows = ARROW.read(file, problems)
        for row in with_class_names(rows, features) if features else rows:
            number += 1
            chosen = (
                row.columns if columns is None else {key: row.columns[key] for key in row.columns if key in columns}
            )
            yield Row(chosen, Origin(name, number))


def _plain_name(name: Any, where: Path) -> str:
    if not isinstance(name, str) or Path(name).name != name or "\x00" in name:
        what = f"{name!r} is not the name of a file in this folder"
        raise InputError(what[:200], where=str(where), remedy=_REMEDY)
    return name
