"""Rows that stand several times: equal in all that is read and learned of them, compared exactly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from graft.data.example_set import ExampleSet, Hashes, Places, content, first_places, pair_hashes
from graft.data.spool import Spool

BYTES_AT_ONCE = 1 << 27
"""Of rows that may be equal, what is compared in one pass over the file."""


class Duplicates(NamedTuple):
    """What repeats an earlier row.

    Attributes:
        is_first: For each example whether its row is the first of its kind.
        repeated: The place of the first example of each row that repeats another.
        firsts: The same of the rows that these repeat.
    """

    is_first: NDArray[np.bool_]
    repeated: Places
    firsts: Places


class _Rows(NamedTuple):
    """Rows of examples: a conversation has an example for each answer.

    Attributes:
        starts: The place of each row's first example.
        stops: The place behind each row's last example.
        keys: A hash of each row; equal rows have the same, and it is not asked whether others have it.
    """

    starts: Places
    stops: Places
    keys: Hashes


def find_duplicates(examples: ExampleSet) -> Duplicates:
    """Return the rows that are equal to an earlier one.

    Hashes find the rows that may be equal. Those are read again and compared as they are, in passes that each need
    a bounded amount of memory. Rows that a program added repeat none: they may be copies on purpose.
    """
    rows = _rows(examples)
    is_first = np.ones(len(rows.starts), bool)
    pairs = np.array(sorted(_equal_rows(examples, rows)), np.int64).reshape(-1, 2)
    pairs = pairs[examples.sources[rows.starts[pairs[:, 0]]] == 0]
    is_first[pairs[:, 0]] = False
    repeated, firsts = rows.starts[pairs[:, 0]], rows.starts[pairs[:, 1]]
    return Duplicates(np.repeat(is_first, rows.stops - rows.starts), repeated, firsts)


def row_keys(examples: ExampleSet) -> Hashes:
    """Return, for each example, a hash of the whole row that it is of."""
    rows = _rows(examples)
    return np.repeat(rows.keys, rows.stops - rows.starts)


def _rows(examples: ExampleSet) -> _Rows:
    if not len(examples):
        nothing = np.zeros(0, np.int64)
        return _Rows(nothing, nothing, np.zeros(0, np.uint64))
    origins, keys = examples.origins, pair_hashes(examples.inputs, examples.targets)
    starts = np.flatnonzero(np.append(True, origins[1:] != origins[:-1]))
    stops = np.append(starts[1:], len(origins))
    return _Rows(starts, stops, keys if len(starts) == len(keys) else np.add.reduceat(keys, starts))


def _equal_rows(examples: ExampleSet, rows: _Rows) -> Iterator[tuple[int, int]]:
    """Pairs of rows that are equal: one, and the first that is."""
    first = first_places(rows.keys)
    candidates = np.flatnonzero(np.bincount(first, minlength=len(first))[first] > 1)
    average = examples.items.item_bytes if isinstance(examples.items, Spool) else 0
    passes = 1 + average * len(candidates) // BYTES_AT_ONCE
    for number in range(passes):
        found: dict[bytes, int] = {}
        for row in candidates[rows.keys[candidates] % np.uint64(passes) == number].tolist():
            first_of_kind = found.setdefault(_whole(examples, rows, row), row)
            if first_of_kind != row:
                yield row, first_of_kind


def _whole(examples: ExampleSet, rows: _Rows, row: int) -> bytes:
    """All that a row has but its origin; no text of ``content`` has a line end in it."""
    parts = [text for place in range(rows.starts[row], rows.stops[row]) for text in content(examples[place])]
    return "\n".join(parts).encode("utf-8", "surrogatepass")
