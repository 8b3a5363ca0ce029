"""Readers turn files into rows, one reader per format. Errors name the line."""

from __future__ import annotations

from pathlib import Path

from graft.data.readers.base import Reader, Row
from graft.data.readers.plain import plain_rows
from graft.data.spool import Spool
from graft.errors import InputError, Problems, shorten
from graft.registry import Registry

__all__ = ["READERS", "Reader", "Row", "endings", "load_file", "load_files"]

_HERE = "graft.data.readers"
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


def load_file(path: Path) -> Spool[Row]:
    """Return the rows of one file, its format told by its ending.

    Raises:
        InputError: With everything wrong in the file (at most 20 lines named, the rest counted).
    """
    rows: Spool[Row] = Spool()
    _load_into(rows, path)
    return rows


def load_files(paths: list[Path]) -> Spool[Row]:
    """Return the rows of several files, one file behind the other.

    Raises:
        InputError: With what is wrong in any of them, together.
    """
    problems = Problems()
    rows: Spool[Row] = Spool()
    for path in paths:
        with problems.collecting():
            _load_into(rows, path)
    problems.raise_if_any()
    return rows


def _load_into(rows: Spool[Row], path: Path) -> None:
    known = endings()
    reader = known.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"data files end in {', '.join(known)}, not in {path.suffix!r}", where=str(path))
    problems, before = Problems(), len(rows)
    try:
        if path.stat().st_size == 0:
            raise InputError("the file is empty", where=str(path))
        rows.extend(plain_rows(reader.read(path, problems), problems))
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror or error}", where=str(path)) from error
    shorten(problems, f"lines like these in {path}")
    problems.raise_if_any()
    if len(rows) == before:
        raise InputError("there are no rows in this file", where=str(path))
