"""Data checks and statistics for the plan, the manifest and the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from graft.data.columns import ColumnMapping
from graft.data.duplicates import find_duplicates
from graft.data.example import MOST_PLACES, AnswerExample, ClassExample, Example, shown_places
from graft.data.example_set import ExampleSet
from graft.data.faults import Faults
from graft.data.kept_columns import kept_values
from graft.data.provenance import PROVENANCE, provenance_of
from graft.data.readers import Row
from graft.data.values import listed_names, nothing, refuse_unreadable
from graft.errors import GraftError

IMBALANCE = 10
"""A class with so many times the rows of another is worth a warning."""


def to_examples(rows: Iterable[Row], mapping: ColumnMapping, faults: Faults | None = None) -> ExampleSet:
    """Return the examples of all rows.

    Args:
        rows: The rows.
        mapping: How they are read.
        faults: Takes what is wrong, to be said with what else is.

    Raises:
        InputError: Naming by file and line the rows without a column that is read, and those with an empty answer; and
            the columns that would be lost although their names are known; where there are no ``faults`` to take it.
    """
    found = Faults() if faults is None else faults
    before = len(found.found)
    examples = ExampleSet.of(_converted(rows, mapping, found))
    if mapping.exhaustive:
        mapping.notes.lost(mapping.kind, found)
    if not len(examples) and len(found.found) == before and next(iter(rows), None) is not None:
        found.add("no row has an answer that is trained: all are switched off, or rejected")
    if faults is None:
        found.raise_if_any()
    return examples


def check_rows(rows: Iterable[Row], mapping: ColumnMapping, faults: Faults) -> None:
    """Find what is wrong with rows, and keep none of their examples.

    Args:
        rows: The rows.
        mapping: How they are read.
        faults: Takes the rows without a column that is read, those with an empty answer, and what else is wrong.
    """
    for _ in _converted(rows, mapping, faults):
        pass


def _converted(rows: Iterable[Row], mapping: ColumnMapping, faults: Faults) -> Iterator[Example]:
    read = frozenset((*mapping.columns, *mapping.optional, *mapping.kept))
    for row in rows:
        unread = [
            name
            for name, value in row.columns.items()
            if name not in read and name != PROVENANCE and not nothing(value)
        ]
        mapping.notes.unread(unread, row.origin)
        missing = [name for name in mapping.columns if row.columns.get(name) is None]
        if missing:
            faults.add(_missing(row, missing), row.origin)
            continue
        try:
            for name, value in row.columns.items():
                if type(value) is not str and name in read:
                    refuse_unreadable(value, f"{row.origin}: column {name!r}")
            origin, added = row.origin, provenance_of(row.columns)
            if added is not None:
                origin = replace(origin, added=True, source=added.of)
            if mapping.kept:
                origin = replace(origin, columns=kept_values(row.columns, mapping.kept))
            made = mapping.convert(row.columns, origin)
        except GraftError as error:
            faults.take(error.problems, str(row.origin))
            continue
        for example in made:
            if not example.has_target:
                faults.add("the answer is empty", example.origin, "fill it in, or remove the row")
            yield normalized(example)


def _missing(row: Row, names: Sequence[str]) -> str:
    what = "missing column:" if any(name not in row.columns for name in names) else "empty column:"
    return f"{what} {listed_names(names)} (the columns are {listed_names(row.columns) or 'none'})"


def normalized(example: Example) -> Example:
    """Return the example with line ends as ``\\n``, and without blanks at the end of an answer, which are learned."""
    if isinstance(example, ClassExample) and "\r" in example.label:
        return replace(example, label=example.label.replace("\r\n", "\n"))
    if not isinstance(example, AnswerExample):
        return example
    completion = example.completion.replace("\r\n", "\n")
    completion = completion.rstrip() if isinstance(example.prompt, tuple) else completion
    return example if completion == example.completion else replace(example, completion=completion)


class Deduplicated(NamedTuple):
    """The examples that are kept, the number of rows that repeat an earlier one, and what is said of them."""

    kept: ExampleSet
    repeated: int
    said: list[str]


def without_duplicates(examples: ExampleSet, keep: bool = False) -> Deduplicated:
    """Leave out rows that are equal to an earlier one; ``keep`` counts them only."""
    found = find_duplicates(examples)
    count = len(found.repeated)
    if not count:
        return Deduplicated(examples, 0, [])
    origins = [examples[place].origin for place in found.repeated[:MOST_PLACES].tolist()]
    where, first = shown_places(origins, count), examples[int(found.firsts[0])].origin
    one = count == 1
    what = f"{count:,} duplicate {'row' if one else 'rows'}"
    same = f"{where} (equal to {first})" if one else f"{where} (the first is equal to {first})"
    if keep:
        return Deduplicated(examples, count, [f"{what} kept, as --keep_duplicates says: {same}"])
    said = f"{what} {'was' if one else 'were'} removed: {same}; --keep_duplicates trains on {'it' if one else 'them'}"
    return Deduplicated(examples.take(found.is_first), count, [said])


def summarize(train: ExampleSet, labels: Sequence[str] | None) -> dict[str, Any]:
    """Return label counts, and ``warnings`` as sentences; what checks find is not said here."""
    return {**({"labels": label_counts(train)} if labels else {}), "warnings": []}


def label_counts(examples: ExampleSet) -> dict[str, int]:
    """Return how often each label occurs, the most common first."""
    counts = Counter(example.reference for example in examples)
    return {label: counts[label] for label in sorted(counts, key=lambda label: (-counts[label], label))}
