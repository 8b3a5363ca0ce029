"""JSON Lines: an object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from graft.data.example import Origin
from graft.data.readers.base import Row
from graft.data.readers.json_document import read_document
from graft.data.readers.json_shapes import is_one_row
from graft.data.readers.text import (
    START,
    check_start,
    has_whole_characters,
    json_reason,
    lines_of,
    not_utf8,
    open_bytes,
    read_text,
)
from graft.errors import InputError, Problems

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
BLANK = b" \t\r\n" + BYTE_ORDER_MARK
LINES_LOOKED_AT = 100


class JsonLines:
    """Reads a line at a time; an array, or objects on several lines each, are read as in a .json file."""

    name = "jsonl"
    endings: tuple[str, ...] = (".jsonl", ".ndjson")

    def read(self, path: Path, problems: Problems) -> Iterator[Row]:
        """Yield the object of each line; blank lines are skipped, and a line of anything else becomes a problem.

        Raises:
            InputError: If the file is not UTF-8, with the line.
        """
        with open_bytes(path) as stream:
            check_start(stream.read(START), path)
        document = _document(path, problems) if _is_document(path) else None
        yield from self._lines(path, problems) if document is None else document

    def _lines(self, path: Path, problems: Problems) -> Iterator[Row]:
        file = str(path)
        with open_bytes(path) as stream:
            for number, line in enumerate(lines_of(stream, path), 1):
                try:
                    text = (line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line).decode("utf-8")
                except UnicodeDecodeError:
                    for problem in not_utf8(path, number).problems:
                        problems.add(problem.what, problem.where, problem.remedy)
                    continue
                row = _parsed(text, f"{file}:{number}", problems) if text.strip() else None
                if row is not None:
                    yield Row(row, Origin(file, number))


JSON_LINES = JsonLines()


def _is_document(path: Path) -> bool:
    """Return whether the first line is no row but may begin a document, or is a table in itself."""
    with open_bytes(path) as stream:
        lines = lines_of(stream, path)
        first = next((line for line in lines if line.strip(BLANK)), b"").strip(BLANK)
        alone = not any(line.strip() for line in islice(lines, LINES_LOOKED_AT))
    try:
        row = json.loads(first)
    except (ValueError, RecursionError):
        return first[:1] in (b"{", b"[")
    return isinstance(row, list) or (isinstance(row, dict) and alone and _is_table(row))


def _is_table(document: dict[str, Any]) -> bool:
    try:
        return not is_one_row(document)
    except InputError:
        return True


def _document(path: Path, problems: Problems) -> Iterator[Row] | None:
    """Return the rows of the file as one document; None where it is not one, so that its lines say what is wrong."""
    try:
        return read_document(read_text(path), path, problems)
    except (ValueError, RecursionError):
        return None


def _parsed(line: str, where: str, problems: Problems) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        problems.add(f"this line is not JSON ({json_reason(error)}): {_shortened(line)}", where)
        return None
    if not isinstance(row, dict):
        problems.add(f"expected a JSON object with named columns, got {_shortened(line)}", where)
        return None
    return row if "\\u" not in line or has_whole_characters(row, where, problems) else None


def _shortened(text: str) -> str:
    text = text.strip()
    return text if len(text) <= 60 else text[:57] + "…"
