"""What readers of text formats share: UTF-8, whole characters, and compressed files."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from graft.errors import InputError, Problems

START = 200
"""Bytes at the beginning of a file that tell UTF-16."""


def _zstd(path: Path) -> IO[bytes]:
    import io

    import pyarrow

    stream: Any = pyarrow.CompressedInputStream(str(path), "zstd")
    return io.BytesIO(stream.read())


COMPRESSED: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".zst": _zstd}
"""What opens a file by the last ending of its name: ``rows.jsonl.gz``."""


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file to read its bytes, decompressed where its name says that they are compressed."""
    opened: IO[bytes] = COMPRESSED[path.suffix.lower()](path) if path.suffix.lower() in COMPRESSED else path.open("rb")
    return opened


def read_text(path: Path) -> str:
    """Return the file's text, which must be UTF-8 (a byte-order mark is fine).

    Raises:
        InputError: Naming the encoding it seems to have, and how to convert it.
    """
    with open_bytes(path) as stream:
        data = stream.read()
    check_start(data, path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise not_utf8(path, data.count(b"\n", 0, error.start) + 1) from None


def check_start(data: bytes, path: Path) -> None:
    """Raises:
    InputError: When a file that begins with ``data`` is UTF-16.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in data[:START]:
        raise _encoding(path, "UTF-16", "UTF-16", 1)


def not_utf8(path: Path, line: int) -> InputError:
    """Return the error for a line that is not UTF-8."""
    return _encoding(path, "Latin-1 (or Windows-1252)", "CP1252", line)


def _encoding(path: Path, name: str, codec: str, line: int) -> InputError:
    return InputError(
        f"the file is not UTF-8; it seems to be {name}",
        where=f"{path}:{line}",
        remedy=f"iconv -f {codec} -t UTF-8 {path.name} > converted{path.suffix}, or save it as UTF-8 in your editor",
    )


def has_whole_characters(row: Any, where: str, problems: Problems) -> bool:
    """Check for half a character, as of an emoji that was cut in two: JSON can write it, and no tokenizer takes it."""
    try:
        json.dumps(row, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        problems.add(
            f"{half} is a lone surrogate, which is half of a character",
            where,
            "write the whole character, or remove it",
        )
        return False
    return True


def json_reason(error: Exception) -> str:
    """Return why a text is not JSON."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return error.msg if isinstance(error, json.JSONDecodeError) else str(error)
