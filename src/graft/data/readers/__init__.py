"""Readers turn files into rows, one reader per format. Errors name the line."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Sequence
from pathlib import Path

from graft.data.card import features_beside
from graft.data.faults import Faults
from graft.data.readers.base import Reader, Row
from graft.data.readers.content import check_content, unknown_ending
from graft.data.readers.plain import Naming, bare_names, plain_rows, with_class_names
from graft.data.readers.text import COMPRESSED
from graft.data.spool import Joined, Spool
from graft.errors import InputError, reason_of
from graft.registry import Registry

__all__ = [
    "READERS",
    "Naming",
    "Reader",
    "Row",
    "bare_names",
    "endings",
    "load_file",
    "load_files",
    "load_splits",
    "reader_of",
]

_HERE = "graft.data.readers"
_TEXT = {"jsonl", "json", "csv", "tsv"}
"""Formats that are read from compressed files, too."""
_BUILT_IN = {*_TEXT, "parquet", "arrow"}
READERS: Registry[Reader] = Registry(
    "reader",
    Reader,
    {
        "jsonl": f"{_HERE}.json_lines:JSON_LINES",
        "json": f"{_HERE}.json_document:JSON_DOCUMENT",
        "csv": f"{_HERE}.separated:CSV",
        "tsv": f"{_HERE}.separated:TSV",
        "parquet": f"{_HERE}.columnar:PARQUET",
        "arrow": f"{_HERE}.columnar:ARROW",
    },
)


def endings() -> dict[str, Reader]:
    """Return the reader of each ending of file names, such as ``.jsonl``."""
    return {ending: reader for _, reader in READERS.items() for ending in reader.endings}


def reader_of(path: Path) -> Reader | None:
    """Return the reader of a file by the ending of its name, or before that of a compressed one; None for others."""
    known, endings_of = endings(), [ending.lower() for ending in path.suffixes]
    if endings_of and endings_of[-1] in COMPRESSED:
        reader = known.get(endings_of[-2]) if len(endings_of) > 1 else None
        return reader if reader is not None and reader.name in _TEXT else None
    return known.get(endings_of[-1]) if endings_of else None


def load_file(path: Path, naming: Naming = bare_names) -> Sequence[Row]:
    """Return the rows of one file, its format told by its ending, and its columns called as ``naming`` says.

    Raises:
        InputError: With everything wrong in the file (at most 20 lines named, the rest counted).
    """
    return load_files([path], naming)


def load_files(paths: list[Path], naming: Naming = bare_names) -> Sequence[Row]:
    """Return the rows of several files, one file behind the other; of files with splits, those of all splits.

    Raises:
        InputError: With what is wrong in any of them, together.
    """
    splits = list(load_splits(paths, naming).values())
    return splits[0] if len(splits) == 1 else Joined(splits)


def load_splits(
    paths: list[Path], naming: Naming = bare_names, faults: Faults | None = None
) -> dict[str, Sequence[Row]]:
    """Return the rows of several files by split; rows without a split are ``train``.

    Args:
        paths: The files.
        naming: How columns are called.
        faults: Takes what is wrong with rows and files, so that the rows that can be read are looked at as well.

    Raises:
        InputError: With what is wrong in any of them, together, where there are no ``faults`` to take it.
    """
    found = Faults() if faults is None else faults
    splits: dict[str, Spool[Row]] = {}
    for path in paths:
        with found.collecting():
            _load_into(splits, path, naming, found)
    if faults is None:
        found.raise_if_any()
    return dict(splits)


def _load_into(splits: dict[str, Spool[Row]], path: Path, naming: Naming, faults: Faults) -> None:
    reader = reader_of(path)
    if reader is None:
        raise unknown_ending(path, [*endings()])
    before, faulty = sum(map(len, splits.values())), len(faults.found)
    try:
        check_content(path, reader.name in _BUILT_IN)
        rows, features = reader.read(path, faults), features_beside(path)
        for row in plain_rows(with_class_names(rows, features) if features else rows, faults, naming):
            splits.setdefault(row.split or "train", Spool()).append(row)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, MemoryError) as error:
        raise InputError(f"the file cannot be read: {reason_of(error)}", where=str(path)) from error
    if sum(map(len, splits.values())) == before and len(faults.found) == faulty:
        raise InputError("there are no rows in this file", where=str(path))
