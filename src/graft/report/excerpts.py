"""The first rows of findings, masked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from graft.data.checks import CheckedData, Finding, Side, texts_of
from graft.data.example import MOST_PLACES, Example
from graft.data.personal import shown_text
from graft.data.readers import Row
from graft.shared_text import without_places

LONGEST = 220
MOST_TEXTS = 4


class Excerpt(NamedTuple):
    """A row: where it is, and the beginnings of its texts by the places in the row."""

    place: str
    texts: Sequence[tuple[str, str]]


def excerpts(data: CheckedData, findings: Iterable[Finding]) -> Mapping[str, Excerpt]:
    """Return the first rows of each finding, by side and place; personal data is masked.

    Args:
        data: The rows; each side is read once.
        findings: What was found.
    """
    wanted: dict[str, set[str]] = {}
    for finding in findings:
        wanted.setdefault(finding.side, set()).update(map(str, finding.rows[:MOST_PLACES]))
    found: dict[str, Excerpt] = {}
    columns = data.read_columns()
    for side in data.sides:
        left = wanted.get(side.name, set())
        for row in _rows(side) if left else ():
            place = str(row.origin)
            if place in left:
                found[f"{side.name} {place}"] = Excerpt(without_places(place), _texts(row, columns))
                left.discard(place)
                if not left:
                    break
    return found


def _rows(side: Side) -> Iterable[Row | Example]:
    return side.rows if len(side.rows) else side.examples


def _texts(row: Row | Example, columns: frozenset[str] | None) -> list[tuple[str, str]]:
    if isinstance(row, Example):
        texts = iter([("prompt", row.input_text), ("answer", row.reference)])
    else:
        texts = texts_of(row, columns)
    return [(shown_text(name), shown_text(text, LONGEST)) for name, text in islice(texts, MOST_TEXTS)]
