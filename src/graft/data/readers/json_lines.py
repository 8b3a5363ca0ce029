"""JSON Lines: an object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from graft.data.example import Origin
from graft.data.readers.base import Row
from graft.data.readers.text import START, check_start, has_whole_characters, json_reason, not_utf8
from graft.errors import Problems

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class JsonLines:
    """Reads a line at a time."""

    name = "jsonl"
    endings: tuple[str, ...] = (".jsonl", ".ndjson")

    def read(self, path: Path, problems: Problems) -> Iterator[Row]:
        """Yield the object of each line; blank lines are skipped, and a line of anything else becomes a problem.

        Raises:
            InputError: If the file is not UTF-8, with the line.
        """
        file = str(path)
        with path.open("rb") as stream:
            check_start(stream.read(START), path)
            stream.seek(0)
            for number, line in enumerate(stream, 1):
                try:
                    text = (line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line).decode("utf-8")
                except UnicodeDecodeError:
                    raise not_utf8(path, number) from None
                row = _parsed(text, f"{file}:{number}", problems) if text.strip() else None
                if row is not None:
                    yield Row(row, Origin(file, number))


JSON_LINES = JsonLines()


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
