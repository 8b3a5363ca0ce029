"""JSON: a list of objects, or an object with one list in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from graft.data.example import Origin
from graft.data.readers.base import Row
from graft.data.readers.json_lines import JSON_LINES
from graft.data.readers.text import has_whole_characters, json_reason, read_text
from graft.errors import Problems


class JsonDocument:
    """Reads the whole document at once; JSON Lines of that ending are read as such."""

    name = "json"
    endings: tuple[str, ...] = (".json",)

    def read(self, path: Path, problems: Problems) -> Iterator[Row]:
        """Yield the objects of the document's list; a file that is not JSON becomes a problem with its line."""
        text = read_text(path)
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            first = text.lstrip().split("\n", 1)[0]
            reason = json_reason(error)
            if first.startswith("{") and reason == "Extra data":
                return JSON_LINES.read(path, problems)
            problems.add(f"this is not JSON: {reason}", f"{path}:{getattr(error, 'lineno', 1)}")
            return iter(())
        return _rows(document, str(path), problems)


JSON_DOCUMENT = JsonDocument()


def _rows(document: object, file: str, problems: Problems) -> Iterator[Row]:
    if isinstance(document, dict):
        lists = [key for key, value in document.items() if isinstance(value, list)]
        document = document[lists[0]] if len(lists) == 1 else [document]
    if not isinstance(document, list):
        problems.add("expected a list of objects", file)
        return
    for number, row in enumerate(document, 1):
        if not isinstance(row, dict):
            problems.add(f"row {number} is not an object with named columns: {str(row)[:60]}", f"{file}:{number}")
        elif has_whole_characters(row, f"{file}:{number}", problems):
            yield Row(row, Origin(file, number))
