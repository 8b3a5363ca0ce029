"""What readers of text formats share: UTF-8, whole characters, and compressed files."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, AnyStr

from graft.errors import InputError, Problems
from graft.plain_text import lone_surrogate

START = 200
"""Bytes at the beginning of a file that tell UTF-16."""


LONGEST_LINE = 1 << 25
"""Bytes of a line of JSON Lines, characters of a cell: a longer one is no row but a damaged file."""
LARGEST_DOCUMENT = 1 << 30
"""Bytes of a file that is read whole, as JSON documents are."""
UNPACKED, UNPACKED_RATIO = 1 << 28, 100
"""Bytes that a compressed file may decompress to: the larger of the first number and 100 times its size."""


def _zstd(path: Path) -> Any:
    import pyarrow

    return pyarrow.CompressedInputStream(str(path), "zstd")


COMPRESSED: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".zst": _zstd}
"""What opens a file by the last ending of its name: ``rows.jsonl.gz``."""


class _Unpacked(io.RawIOBase):
    """The decompressed bytes of a file, until there are too many: a few kilobytes can stand for terabytes."""

    def __init__(self, path: Path) -> None:
        self._stream, self._path, self._read = COMPRESSED[path.suffix.lower()](path), path, 0
        self._most = max(UNPACKED, UNPACKED_RATIO * path.stat().st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(min(len(buffer), 1 << 20))
        buffer[: len(data)] = data
        self._read += len(data)
        if self._read > self._most:
            what = f"this file decompresses to more than {self._most / 1e9:.1f} GB"
            remedy = "if it really has that many rows, decompress it and pass the decompressed file"
            raise InputError(what, where=str(self._path), remedy=remedy)
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file to read its bytes, decompressed where its name says that they are compressed.

    Raises:
        InputError: While it is read, when far more is decompressed than a file of its size has.
    """
    return io.BufferedReader(_Unpacked(path), 1 << 16) if path.suffix.lower() in COMPRESSED else path.open("rb")


def lines_of(stream: IO[AnyStr], path: Path) -> Iterator[AnyStr]:
    """Yield the lines of a file with their ends.

    Raises:
        InputError: For a line longer than ``LONGEST_LINE``, which is not held in memory.
    """
    number = 0
    while line := stream.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            what = f"this line has more than {LONGEST_LINE / 1e6:.0f} MB"
            remedy = "check that the file has a line break after each row, or split the row"
            raise InputError(what, where=f"{path}:{number}", remedy=remedy)
        yield line


def read_text(path: Path) -> str:
    """Return the file's text, which must be UTF-8 (a byte-order mark is fine).

    Raises:
        InputError: Naming the encoding it seems to have, and how to convert it; or when there is too much of it.
    """
    with open_bytes(path) as stream:
        data = stream.read(START)
        check_start(data, path)
        parts = [data, *_parts(stream, path)]
    data = b"".join(parts)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise not_utf8(path, data.count(b"\n", 0, error.start) + 1) from None


def _parts(stream: IO[bytes], path: Path) -> Iterator[bytes]:
    """The bytes of a file that is read whole.

    Raises:
        InputError: If there are too many.
    """
    size, read = path.stat().st_size, 0
    while size <= LARGEST_DOCUMENT and (part := stream.read(1 << 20)):
        yield part
        read += len(part)
        size = max(size, read)
    if size > LARGEST_DOCUMENT:
        what = f"this file has more than {LARGEST_DOCUMENT / 1e9:.1f} GB, which would all be in memory at once"
        raise InputError(what, where=str(path), remedy="write JSON Lines, CSV or Parquet, which are read in parts")


def check_start(data: bytes, path: Path) -> None:
    """Check that a file is not UTF-16.

    Raises:
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
        half = lone_surrogate(json.dumps(row, ensure_ascii=False))
    except RecursionError:  # said where values are made plain
        return True
    if half is not None:
        what = f"\\u{ord(half[0]):04x} is a lone surrogate, which is half of a character"
        problems.add(what, where, "write the whole character, or remove it")
    return half is None


def json_reason(error: Exception) -> str:
    """Return why a text is not JSON."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    return "a number has thousands of digits" if "integer string conversion" in str(error) else str(error)
