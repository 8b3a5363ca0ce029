"""Files that are not what the ending of their name says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from graft.data.readers.text import COMPRESSED
from graft.errors import InputError

_STARTS = {
    b"PK\x03\x04": ("an Excel workbook or a zip archive", ""),
    b"\xd0\xcf\x11\xe0": ("an Excel workbook in the old format", ""),
    b"\x1f\x8b": ("compressed with gzip", ".gz"),
    b"BZh": ("compressed with bzip2", ".bz2"),
    b"\xfd7zXZ": ("compressed with xz", ".xz"),
    b"(\xb5/\xfd": ("compressed with zstd", ".zst"),
    b"PAR1": ("Parquet", ".parquet"),
    b"ARROW1": ("Arrow", ".arrow"),
    b"SQLite format 3": ("an SQLite database", ""),
    b"version https://git-lfs": ("a pointer of Git LFS, not the file itself", ""),
    b"<!DOCTYPE html": ("a web page", ""),
    b"<html": ("a web page", ""),
}
_REMEDIES = {
    "an Excel workbook or a zip archive": "open it and save the sheet as CSV UTF-8, or unpack the archive",
    "an Excel workbook in the old format": "open it and save the sheet as CSV UTF-8",
    "a pointer of Git LFS, not the file itself": "git lfs pull",
    "a web page": "download the file itself, not the page that shows it",
    "an SQLite database": "export the table as CSV",
}
_OTHERS = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods"), "open the workbook and save the sheet as CSV UTF-8"),
    **dict.fromkeys((".zip", ".tar", ".tgz", ".7z", ".rar"), "unpack the archive, and give the files in it"),
    **dict.fromkeys((".pkl", ".pickle"), "write it with pandas: pandas.read_pickle(…).to_parquet(…)"),
    **dict.fromkeys((".yaml", ".yml"), "settings are given with --config; write rows as JSON Lines"),
    ".feather": "write it with pandas: pandas.read_feather(…).to_parquet(…)",
    ".txt": "rename a table to .csv or .tsv (what separates its cells is detected); write plain text as rows of JSON "
    'Lines: {"text": "…"}',
}


def check_content(path: Path, known: bool) -> None:
    """Check the beginning of a file.

    Args:
        path: The file.
        known: Whether its format is one of graft's own, so that it cannot begin as another does.

    Raises:
        InputError: For an empty file, and one that begins as another format does than its name says.
    """
    with path.open("rb") as stream:
        start = stream.read(64)
    if not start:
        raise InputError("the file is empty", where=str(path))
    found = next((kind for sign, kind in _STARTS.items() if start.lstrip(b" \r\n").startswith(sign)), None)
    if known and found is not None and path.suffix.lower() != found[1]:
        what, ending = found
        remedy = _REMEDIES.get(what, f"rename it so that its name ends in {ending}")
        raise InputError(f"this file is {what}", where=str(path), remedy=remedy)


def unknown_ending(path: Path, known: Sequence[str]) -> InputError:
    """Return the error for a file of a name that no reader reads, with what to do."""
    ending = path.suffix.lower()
    what = f"data files end in {', '.join(known)}, not in {path.suffix!r}"
    if ending in COMPRESSED:
        what = "of compressed files, only JSON, JSON Lines, CSV and TSV are read (rows.jsonl.gz)"
    return InputError(what, where=str(path), remedy=_OTHERS.get(ending, ""))
