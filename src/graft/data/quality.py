"""Data checks and statistics for the plan, the manifest and the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from graft.data.columns import ColumnMapping
from graft.data.example import AnswerExample, ClassExample, Example
from graft.data.example_set import ExampleSet, first_places, pair_hashes
from graft.data.readers import Row
from graft.data.values import refuse_unreadable
from graft.errors import GraftError, Problems, shorten

IMBALANCE = 10
"""A class with so many times the rows of another is worth a warning."""


def to_examples(rows: Iterable[Row], mapping: ColumnMapping) -> ExampleSet:
    """Return the examples of all rows.

    Raises:
        InputError: Naming by file and line the rows without a column that is read, and those with an empty answer.
    """
    problems = Problems()
    examples = ExampleSet.of(_converted(rows, mapping, problems))
    shorten(problems, "rows like these")
    problems.raise_if_any()
    return examples


def _converted(rows: Iterable[Row], mapping: ColumnMapping, problems: Problems) -> Iterator[Example]:
    for row in rows:
        missing = [name for name in mapping.columns if row.columns.get(name) is None and name != "tools"]
        if missing:
            problems.add(_missing(row, missing), str(row.origin))
            continue
        try:
            for name in mapping.columns:
                refuse_unreadable(row.columns.get(name), f"{row.origin}: column {name!r}")
            made = mapping.convert(row.columns, row.origin)
        except GraftError as error:
            problems.found += [
                found if found.where else replace(found, where=str(row.origin)) for found in error.problems
            ]
            continue
        for example in made:
            if not example.has_target:
                problems.add("the answer is empty", str(example.origin), "fill it in, or remove the row")
            yield normalized(example)


def _missing(row: Row, names: Sequence[str]) -> str:
    what = "missing column:" if any(name not in row.columns for name in names) else "empty column:"
    return f"{what} {', '.join(names)} (the columns are {', '.join(row.columns) or 'none'})"


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
    """The examples that are kept, and those that repeat an earlier one."""

    kept: ExampleSet
    repeated: ExampleSet


def without_duplicates(examples: ExampleSet) -> Deduplicated:
    """Keep the first of those with the same prompt and the same answer."""
    first = first_places(pair_hashes(examples.prompts, examples.targets))
    is_first = first == np.arange(len(examples))
    return Deduplicated(examples.take(is_first), examples.take(~is_first))


def summarize(
    train: ExampleSet, held_out: ExampleSet, repeated: ExampleSet, labels: Sequence[str] | None
) -> dict[str, Any]:
    """Return label counts, the number of duplicates that were left out, and ``warnings`` as sentences."""
    warnings: list[str] = []
    if len(repeated):
        warnings.append(f"{len(repeated)} duplicate rows were removed, the first at {repeated[0].origin}")
    warnings += _conflicts(train) + _leaks(train, held_out)
    found: dict[str, Any] = {"duplicates": len(repeated)}
    if labels:
        counts = Counter(example.reference for example in train)
        found["labels"] = {label: counts.get(label, 0) for label in sorted(counts, key=lambda k: (-counts[k], k))}
        unknown = sorted({example.reference for example in held_out} - set(counts))
        if unknown:
            warnings.append(f"held-out labels that are missing from the training rows: {', '.join(unknown)}")
        if counts and max(counts.values()) > IMBALANCE * min(counts.values()):
            rare = min(counts, key=lambda label: counts[label])
            warnings.append(f"the labels are unbalanced: {rare!r} has {counts[rare]} of {len(train)} rows")
    return {**found, "warnings": warnings}


def _conflicts(examples: ExampleSet) -> list[str]:
    """Prompts with different answers."""
    answers = examples.take(np.unique(first_places(pair_hashes(examples.prompts, examples.references))))
    prompts, first, counts = np.unique(answers.prompts, return_index=True, return_counts=True)
    several = first[(counts > 1) & (prompts != 0)]
    if not len(several):
        return []
    one, other = np.flatnonzero(answers.prompts == answers.prompts[several.min()])[:2].tolist()
    return [
        f"{len(several)} prompts have different answers, such as at {answers[one].origin} and {answers[other].origin}"
    ]


def _leaks(train: ExampleSet, held_out: ExampleSet) -> list[str]:
    """Held-out prompts that training has, too."""
    leaked = np.flatnonzero(np.isin(held_out.prompts, train.prompts) & (held_out.prompts != 0)).tolist()
    if not leaked:
        return []
    first = held_out[leaked[0]].origin
    return [f"{len(leaked)} held-out rows are also in the training data, the first at {first}: scores will be too high"]
