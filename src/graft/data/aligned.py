"""Rows beside the examples that were made of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from graft.data.columns import ColumnMapping
from graft.data.example_set import ExampleSet
from graft.data.pipeline import find_labels
from graft.data.readers import Row


def with_places(rows: Iterable[Row], examples: ExampleSet) -> Iterator[tuple[Row, range]]:
    """Yield each row with the places of its examples in ``examples``; of a row that makes none, an empty range."""
    origins = (example.origin for example in examples)
    origin, place = next(origins, None), 0
    for row in rows:
        start = place
        while origin is not None and origin == row.origin:
            origin, place = next(origins, None), place + 1
        yield row, range(start, place)


def classes_of(examples: ExampleSet, mapping: ColumnMapping) -> list[str] | None:
    """Return the classes, where each row has one; None for other answers."""
    return None if mapping.names is not None else mapping.labels or find_labels(examples)
