"""Files to rows: each reader says what is wrong with a file by line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graft.data.example import Origin
from graft.errors import InputError, Problems, shorten

LONGEST_CELL = 1 << 27
"""Characters in a cell of a CSV file; Python's own limit is 131,072."""


@dataclass(frozen=True)
class Row:
    columns: dict[str, Any]
    origin: Origin


def load_file(path: Path) -> list[Row]:
    """The rows of one file, its format told by its ending.

    Raises:
        InputError: with everything wrong in the file (at most 20 lines named, the rest counted).
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"data files end in {', '.join(READERS)}, not in {path.suffix!r}", where=str(path))
    problems = Problems()
    try:
        if path.stat().st_size == 0:
            raise InputError("the file is empty", where=str(path))
        rows = reader(path, problems)
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror or error}", where=str(path)) from error
    shorten(problems, f"lines like these in {path}")
    problems.raise_if_any()
    if not rows:
        raise InputError("there are no rows in this file", where=str(path))
    return rows


def read_text(path: Path) -> str:
    """The file's text, which must be UTF-8 (a byte-order mark is fine).

    Raises:
        InputError: naming the encoding it seems to have, and how to convert it.
    """
    data = path.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in data[:200]:
        raise _encoding(path, "UTF-16", 1)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _encoding(path, "Latin-1 (or Windows-1252)", line) from None


def _encoding(path: Path, name: str, line: int) -> InputError:
    codec = "UTF-16" if name == "UTF-16" else "CP1252"
    return InputError(
        f"the file is not UTF-8; it seems to be {name}",
        where=f"{path}:{line}",
        remedy=f"iconv -f {codec} -t UTF-8 {path.name} > converted{path.suffix}, or save it as UTF-8 in your editor",
    )


def _jsonl(path: Path, problems: Problems) -> list[Row]:
    rows = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            row = _parsed(line, f"{path}:{number}", problems)
            if row is not None:
                rows.append(Row(row, Origin(str(path), number)))
    return rows


def _parsed(line: str, where: str, problems: Problems) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        problems.add(f"this line is not JSON ({_reason(error)}): {_shortened(line)}", where)
        return None
    if not isinstance(row, dict):
        problems.add(f"a JSON object with named columns is wanted, not {_shortened(line)}", where)
        return None
    return row if _whole_characters(row, where, problems) else None


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return error.msg if isinstance(error, json.JSONDecodeError) else str(error)


def _shortened(text: str) -> str:
    text = text.strip()
    return text if len(text) <= 60 else text[:57] + "…"


def _whole_characters(row: Any, where: str, problems: Problems) -> bool:
    """JSON can write half a character, as of an emoji that was cut in two; no tokenizer takes it."""
    try:
        json.dumps(row, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        problems.add(f"{half} is half of a character (a lone surrogate)", where, "write the whole one, or remove it")
        return False
    return True


def _json(path: Path, problems: Problems) -> list[Row]:
    text = read_text(path)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        first = text.lstrip().split("\n", 1)[0]
        reason = _reason(error)
        if first.startswith("{") and reason == "Extra data":
            return _jsonl(path, problems)
        problems.add(f"this is not JSON: {reason}", f"{path}:{getattr(error, 'lineno', 1)}")
        return []
    if isinstance(document, dict):
        lists = [key for key, value in document.items() if isinstance(value, list)]
        document = document[lists[0]] if len(lists) == 1 else [document]
    if not isinstance(document, list):
        problems.add("a list of objects is wanted", path)
        return []
    rows = []
    for number, row in enumerate(document, 1):
        if not isinstance(row, dict):
            problems.add(f"row {number} is not an object with named columns: {str(row)[:60]}", f"{path}:{number}")
        elif _whole_characters(row, f"{path}:{number}", problems):
            rows.append(Row(row, Origin(str(path), number)))
    return rows


def _separated(delimiter: str) -> Callable[[Path, Problems], list[Row]]:
    def read(path: Path, problems: Problems) -> list[Row]:
        rows: list[Row] = []
        names: list[str] = []
        for line, cells in _records(path, delimiter, problems):
            if not names:
                names = cells
                doubled = sorted({name for name in names if names.count(name) > 1})
                if doubled:
                    problems.add(f"the header names a column twice: {', '.join(doubled)}", f"{path}:{line}")
            elif len(cells) != len(names):
                problems.add(f"{len(cells)} cells, and the header has {len(names)}", f"{path}:{line}")
            else:
                rows.append(Row(dict(zip(names, cells, strict=True)), Origin(str(path), line)))
        return rows

    return read


def _records(path: Path, delimiter: str, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    """The line on which each record begins, and its cells; blank lines are passed over.

    Quotes must close: one that doesn't would take all that follows into one cell, and rows were lost in silence.
    """
    text = read_text(path)
    header = text.split("\n", 1)[0]
    if delimiter not in header and ";" in header:  # what spreadsheets write where the comma is the decimal point
        delimiter = ";"
    csv.field_size_limit(LONGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problems.add(f"this row does not read: {error}", f"{path}:{line}", 'a quote in a quoted cell is written ""')
            return
        if cells:
            yield line, cells


def _columnar(path: Path, problems: Problems) -> list[Row]:
    import pyarrow
    from pyarrow import ipc, parquet

    try:
        if path.suffix.lower() == ".parquet":
            table = parquet.read_table(path)
        else:
            with pyarrow.memory_map(str(path)) as source:
                try:
                    table = ipc.open_stream(source).read_all()
                except pyarrow.ArrowInvalid:
                    source.seek(0)
                    table = ipc.open_file(source).read_all()
    except (pyarrow.ArrowException, OSError) as error:
        problems.add(f"this does not read as {path.suffix[1:]}: {str(error).splitlines()[0]}", path)
        return []
    return [Row(row, Origin(str(path), number)) for number, row in enumerate(table.to_pylist(), 1)]


READERS: dict[str, Callable[[Path, Problems], list[Row]]] = {
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".json": _json,
    ".csv": _separated(","),
    ".tsv": _separated("\t"),
    ".parquet": _columnar,
    ".arrow": _columnar,
}
