"""What is wrong with rows, and what the data is like: for the plan, the manifest and the report."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from graft.data.columns import ColumnMapping
from graft.data.example import AnswerExample, ClassExample, Example
from graft.data.readers import Row
from graft.errors import GraftError, Problems, shorten

IMBALANCE = 10


def to_examples(rows: Sequence[Row], mapping: ColumnMapping) -> list[Example]:
    """The examples of all rows.

    Raises:
        InputError: naming by file and line the rows without a column the mapping reads, and those with an empty answer.
    """
    problems = Problems()
    examples: list[Example] = []
    for row in rows:
        missing = [name for name in mapping.columns if row.columns.get(name) is None and not _optional(mapping, name)]
        if missing:
            there = ", ".join(row.columns) or "none"
            what = "there is no" if any(name not in row.columns for name in missing) else "there is nothing in"
            problems.add(
                f"{what} {', '.join(missing)} (the columns are {there})", row.origin.file + f":{row.origin.line}"
            )
            continue
        try:
            made = mapping.convert(row.columns, row.origin)
        except GraftError as error:
            problems.found.extend(error.problems)
            continue
        for example in made:
            if not example.has_target:
                problems.add("the answer is empty", str(example.origin), "fill it in or remove the row")
        examples += [normalized(example) for example in made]
    shorten(problems, "rows like these")
    problems.raise_if_any()
    return examples


def _optional(mapping: ColumnMapping, name: str) -> bool:
    return name == "tools"


def normalized(example: Example) -> Example:
    """Line ends as ``\\n``, and no blanks at the end of the answer, which a model would learn."""
    if isinstance(example, ClassExample) and "\r" in example.label:
        return replace(example, label=example.label.replace("\r\n", "\n"))
    if not isinstance(example, AnswerExample):
        return example
    completion = example.completion.replace("\r\n", "\n")
    completion = completion.rstrip() if isinstance(example.prompt, tuple) else completion
    return example if completion == example.completion else replace(example, completion=completion)


def prompt_key(example: Example) -> str:
    """What makes two prompts the same text: letter case and white space don't."""
    if not isinstance(example, AnswerExample):
        text = example.input_text
    elif isinstance(example.prompt, str):
        text = example.prompt or example.completion
    else:
        text = "\n".join(str(message.get("content")) for message in example.prompt)
    return re.sub(r"\s+", " ", text).strip().casefold()


def without_duplicates(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """What is kept, and what stands a second time: the same prompt with the same answer."""
    seen: set[tuple[str, str]] = set()
    kept: list[Example] = []
    doubled: list[Example] = []
    for example in examples:
        key = (prompt_key(example), _target_key(example))
        (doubled if key in seen else kept).append(example)
        seen.add(key)
    return kept, doubled


def _target_key(example: Example) -> str:
    answer = example.answer if isinstance(example, AnswerExample) else None
    return str(answer or example.reference)


def summarize(
    train: Sequence[Example], held_out: Sequence[Example], doubled: Sequence[Example], labels: Sequence[str] | None
) -> dict[str, Any]:
    """Plain values: label counts, duplicates left out, and ``warnings`` in words."""
    warnings: list[str] = []
    if doubled:
        warnings.append(f"{len(doubled)} rows stand twice and count once, first {doubled[0].origin}")
    warnings += _conflicts(train) + _leaks(train, held_out)
    found: dict[str, Any] = {"duplicates": len(doubled)}
    if labels:
        counts = Counter(example.reference for example in train)
        found["labels"] = {label: counts.get(label, 0) for label in sorted(counts, key=lambda k: (-counts[k], k))}
        unknown = sorted({example.reference for example in held_out} - set(counts))
        if unknown:
            warnings.append(f"held-out labels that training has not: {', '.join(unknown)}")
        if counts and max(counts.values()) > IMBALANCE * min(counts.values()):
            rare = min(counts, key=lambda label: counts[label])
            warnings.append(f"the labels are unbalanced: {rare!r} has {counts[rare]} of {len(train)} rows")
    return {**found, "warnings": warnings}


def _conflicts(examples: Sequence[Example]) -> list[str]:
    answers: dict[str, dict[str, Example]] = defaultdict(dict)
    for example in examples:
        answers[prompt_key(example)].setdefault(example.reference, example)
    conflicts = [list(found.values()) for key, found in answers.items() if len(found) > 1 and key]
    if not conflicts:
        return []
    first, second = conflicts[0][:2]
    return [f"{len(conflicts)} prompts have different answers, first {first.origin} and {second.origin}"]


def _leaks(train: Sequence[Example], held_out: Sequence[Example]) -> list[str]:
    there = {prompt_key(example) for example in train}
    leaked = [example for example in held_out if prompt_key(example) in there and prompt_key(example)]
    if not leaked:
        return []
    return [f"{len(leaked)} held-out rows are in the training data, too, first {leaked[0].origin}: scores flatter"]
