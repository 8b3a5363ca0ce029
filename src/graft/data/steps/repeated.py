"""Rows that are dropped because of another row, as the steps for duplicates and near duplicates do it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from graft.data.columns import ColumnMapping
from graft.data.example import Origin
from graft.data.example_set import ROWS_A_FILE, ExampleSet, Places
from graft.data.faults import Faults
from graft.data.quality import to_examples
from graft.data.readers import Row
from graft.data.spool import Spool
from graft.data.steps.base import Change, Sides, StepContext


@dataclass(frozen=True)
class Repeated:
    """Rows to drop.

    Attributes:
        twins: For each example the place of the one because of which its row is dropped; -1 where it stays.
        others: The examples that these are places of.
        why: What a row is to the other one: "equal to".
    """

    twins: Places
    others: ExampleSet
    why: str


def examples_of_sides(sides: Sides, context: StepContext) -> dict[str, ExampleSet]:
    """Return the examples of every side, read as those of train; rows that cannot be converted have none.

    Raises:
        InputError: If the columns are not recognized.
    """
    mapping: ColumnMapping | None = None
    found: dict[str, ExampleSet] = {}
    for side, rows in sides.items():
        if len(rows):
            mapping = mapping or context.mapping(rows)
            found[side] = to_examples(rows, mapping, Faults())
    return found


def without_repeated(
    rows: Sequence[Row], examples: ExampleSet, repeated: Sequence[Repeated], step: str, side: str, context: StepContext
) -> Sequence[Row]:
    """Return the rows without those to drop, and log these; the same object where there are none.

    Args:
        rows: The rows of a side.
        examples: Their examples. A row goes if one of its examples has a twin.
        repeated: Which rows to drop; the first that names a row gives the reason.
        step: The step that drops them.
        side: The side.
        context: Takes the log.
    """
    if not any((each.twins >= 0).any() for each in repeated):
        return rows
    return Spool(_kept(rows, examples, repeated, step, side, context))


def _kept(
    rows: Sequence[Row], examples: ExampleSet, repeated: Sequence[Repeated], step: str, side: str, context: StepContext
) -> Iterator[Row]:
    origins = examples.origins
    starts = np.flatnonzero(np.append(True, origins[1:] != origins[:-1]))
    stops = np.append(starts[1:], len(origins)).tolist()
    files = {examples[int(place)].origin.file: int(number) for number, place in _firsts_of_files(examples)}
    row_number = 0
    for row in rows:
        start = int(starts[row_number]) if row_number < len(starts) else -1
        if start < 0 or int(origins[start]) != _code(row.origin, files):
            yield row  # it has no example
            continue
        why = _reason(repeated, start, stops[row_number])
        row_number += 1
        if not why:
            yield row
        else:
            context.log.add(Change(step, "dropped", row.origin, side, why))


def _firsts_of_files(examples: ExampleSet) -> Iterator[tuple[int, int]]:
    numbers, first = np.unique(examples.origins // np.uint64(ROWS_A_FILE), return_index=True)
    return iter(zip(numbers.tolist(), first.tolist(), strict=True))


def _code(origin: Origin, files: dict[str, int]) -> int:
    return files.get(origin.file, -1) * ROWS_A_FILE + origin.line


def _reason(repeated: Sequence[Repeated], start: int, stop: int) -> str:
    for each in repeated:
        twins = each.twins[start:stop]
        if (twins >= 0).any():
            return f"{each.why} {each.others[int(twins[twins >= 0][0])].origin}"
    return ""
