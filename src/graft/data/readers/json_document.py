"""JSON: a list of objects, or another document that holds rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from graft.data.example import Origin
from graft.data.readers.base import Row
from graft.data.readers.json_shapes import Found, rows_in
from graft.data.readers.text import has_whole_characters, json_reason, read_text
from graft.errors import InputError, Problems


class JsonDocument:
    """Reads the whole document at once: rows, columns or splits; objects one after the other are read, too."""

    name = "json"
    endings: tuple[str, ...] = (".json",)

    def read(self, path: Path, problems: Problems) -> Iterator[Row]:
        """Yield the rows of the document; a file that is not JSON becomes a problem with its line."""
        try:
            return read_document(read_text(path), path, problems)
        except (ValueError, RecursionError) as error:
            problems.add(f"this is not JSON: {json_reason(error)}", f"{path}:{getattr(error, 'lineno', 1)}")
            return iter(())


JSON_DOCUMENT = JsonDocument()


def read_document(text: str, path: Path, problems: Problems) -> Iterator[Row]:
    """Yield the rows of a JSON text; those of objects one after the other by their lines, others by their number.

    Raises:
        ValueError, RecursionError: For a text that is not JSON.
    """
    try:
        found = list(_found(text))
    except InputError as error:
        for problem in error.problems:
            problems.add(problem.what, path, problem.remedy)
        return iter(())
    return _rows(found, str(path), problems)


def _found(text: str) -> Iterable[tuple[int, Found]]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        objects = _objects(text)
        if objects is None:
            raise
        return objects
    return enumerate(rows_in(document), 1)


def _objects(text: str) -> list[tuple[int, Found]] | None:
    """The objects that stand one after the other, on one line or on several each, with the lines they begin on."""
    decoder, found, place, line, seen = json.JSONDecoder(), [], 0, 1, 0
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        line, seen = line + text.count("\n", seen, place), place
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            return None
        if not isinstance(value, dict):
            return None
        found.append((line, Found(value)))
    return found


def _rows(rows: Iterable[tuple[int, Found]], file: str, problems: Problems) -> Iterator[Row]:
    for number, (row, split) in rows:
        if not isinstance(row, dict):
            problems.add(f"row {number} is not an object with named columns: {str(row)[:60]}", f"{file}:{number}")
        elif has_whole_characters(row, f"{file}:{number}", problems):
            yield Row(row, Origin(file, number), split)
