"""Tables as text: cells separated by commas, tabs, semicolons or bars, the first line naming the columns."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from graft.data.example import Origin
from graft.data.readers.base import Row
from graft.data.readers.plain import bare_name, check_count
from graft.data.readers.text import LONGEST_LINE, START, check_start, lines_of, open_bytes, read_text
from graft.data.values import listed_names
from graft.errors import Problems

SIGNS = (",", "\t", ";", "|")
SAMPLE = 1 << 16
"""Characters that tell what separates the cells."""
_SEPARATOR = re.compile(r'"?sep=([^\w\s"]|\t)"?[ ,;]*\r?\n')
"""The first line of some spreadsheets, for Excel."""


@dataclass(frozen=True)
class Separated:
    """Reads a record at a time; what separates cells is told by the header and the rows."""

    name: str
    endings: tuple[str, ...]
    delimiter: str

    def read(self, path: Path, problems: Problems) -> Iterator[Row]:
        """Yield records by the names in the header; one with more or fewer cells becomes a problem."""
        names: list[str] = []
        file = str(path)
        for line, cells in self._records(path, problems):
            if not names:
                names = column_names(cells)
                check_count(names, f"{file}:{line}")
                doubled = sorted(name for name, count in Counter(names).items() if count > 1)
                if doubled:
                    problems.add(f"the header names a column twice: {listed_names(doubled)}", f"{file}:{line}")
            elif len(cells) != len(names):
                problems.add(f"{len(cells)} cells, but the header has {len(names)}", f"{file}:{line}")
            else:
                yield Row(_columns(names, cells), Origin(file, line))

    def _records(self, path: Path, problems: Problems) -> Iterator[tuple[int, list[str]]]:
        """The line on which each record begins, and its cells; blank lines are skipped.

        An unclosed quote is an error: it would put all that follows into one cell, and rows would be lost silently.
        """
        with open_bytes(path) as stream:
            check_start(stream.read(START), path)
        csv.field_size_limit(LONGEST_LINE)  # Python's own limit is 131,072
        try:
            with _opened(path) as text:
                sample = text.read(SAMPLE)
            said = _SEPARATOR.match(sample)
            delimiter = said.group(1) if said else separator(sample, self.delimiter)
            with _opened(path) as text:
                skipped = 1 if said and text.readline(SAMPLE) else 0
                yield from _parsed(
                    csv.reader(lines_of(text, path), delimiter=delimiter, strict=True), path, problems, skipped
                )
        except UnicodeDecodeError:
            read_text(path)  # which says on which line


def _opened(path: Path) -> IO[str]:
    return io.TextIOWrapper(open_bytes(path), encoding="utf-8-sig", newline="")


def separator(sample: str, usual: str) -> str:
    """Return what separates cells: the usual sign, unless another divides header and rows alike and it does not.

    Args:
        sample: The beginning of the file.
        usual: The sign that the ending of the file's name stands for.
    """
    header = sample.split("\n", 1)[0]
    signs = [sign for sign in dict.fromkeys((usual, *SIGNS)) if sign in header]
    fitting = [sign for sign in signs if _is_even(sample, sign)]
    return next(iter(fitting or signs), usual)


def _is_even(sample: str, sign: str) -> bool:
    """Whether all rows of the sample have as many cells as its header; the last one may be incomplete."""
    try:
        rows = [cells for cells in csv.reader(io.StringIO(sample, newline=""), delimiter=sign) if cells]
    except csv.Error:
        return False
    rows = rows[: -1 if len(sample) >= SAMPLE and len(rows) > 1 else None]
    return len(rows[0]) > 1 and all(len(cells) == len(rows[0]) for cells in rows)


UNNAMED = "Unnamed: "


def column_names(header: list[str]) -> list[str]:
    """Return the names in a header; a column without one is called as pandas calls it: ``Unnamed: 0``."""
    bare = [bare_name(name) for name in header]
    return [name or f"{UNNAMED}{number}" for number, name in enumerate(bare)]


def _columns(names: list[str], cells: list[str]) -> dict[str, str]:
    """The cells by their names, without the empty columns that spreadsheets leave at the right."""
    return {name: cell for name, cell in zip(names, cells, strict=True) if cell or not name.startswith(UNNAMED)}


def _parsed(reader: Any, path: Path, problems: Problems, skipped: int) -> Iterator[tuple[int, list[str]]]:
    while True:
        line = reader.line_num + 1 + skipped
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problems.add(
                f"this row cannot be parsed: {error}", f"{path}:{line}", 'write a quote inside a quoted cell as ""'
            )
            continue
        if cells:
            yield line, cells


CSV = Separated("csv", (".csv",), ",")
TSV = Separated("tsv", (".tsv",), "\t")
