"""Lines of a run's ``data/*.jsonl``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from graft.data.example import (
    AnswerExample,
    ClassExample,
    Example,
    MultiLabelExample,
    Origin,
    PairExample,
    TaggedExample,
    expect,
)

OPTIONAL = ("label", "tools", "answer", "template_kwargs")
REFERENCES = "references"
COLUMNS = "columns"
"""The further columns by which a row is evaluated (``--by``)."""
BESIDE = (*OPTIONAL, REFERENCES, COLUMNS)
"""What an answer may have besides prompt and completion."""


def as_row(example: Example) -> dict[str, Any]:
    """Return an example as a line of ``data/*.jsonl``; ``from_row`` reads it back."""
    if isinstance(example, ClassExample):
        row: dict[str, Any] = {"text": example.text, "label": example.label}
    elif isinstance(example, MultiLabelExample):
        row = {"text": example.text, "labels": list(example.labels)}
    elif isinstance(example, TaggedExample):
        row = {"tokens": list(example.words), "tags": list(example.tags)}
    elif isinstance(example, PairExample):
        row = {"first": example.first, "second": example.second, "similarity": example.similarity}
    else:
        row = _answer_row(expect(example, AnswerExample))
    kept = {COLUMNS: dict(example.origin.columns)} if example.origin.columns else {}
    return {**row, "origin": str(example.origin), **kept}


def _answer_row(example: AnswerExample) -> dict[str, Any]:
    prompt = example.prompt if isinstance(example.prompt, str) else [dict(message) for message in example.prompt]
    optional = {name: getattr(example, name) for name in OPTIONAL}
    given = {name: value for name, value in optional.items() if value is not None}
    if example.alternatives:
        given[REFERENCES] = [example.reference, *example.alternatives]
    return {"prompt": prompt, "completion": example.completion, **given}


def from_row(row: dict[str, Any], kind: str = "") -> Example:
    """Return a line of ``data/*.jsonl`` as an example.

    Args:
        row: The line.
        kind: What the run recognized the columns as. Version 0.1 wrote every example with a prompt and a completion,
            and a JSON list of labels can be told from an answer only by this.
    """
    file, _, line = str(row.get("origin", ":0")).rpartition(":")
    origin = Origin(file, int(line), columns=dict(row.get(COLUMNS) or {}))
    if "prompt" in row:
        return _with_completion(row, origin, kind)
    if "tokens" in row:
        return TaggedExample(tuple(row["tokens"]), tuple(row["tags"]), origin)
    if "first" in row:
        return PairExample(row["first"], row["second"], float(row["similarity"]), origin)
    if "labels" in row:
        return MultiLabelExample(row["text"], tuple(row["labels"]), origin)
    return ClassExample(row["text"], row["label"], origin)


def _with_completion(row: dict[str, Any], origin: Origin, kind: str) -> Example:
    """Return an answer, or what version 0.1 wrote as one."""
    prompt, completion = row["prompt"], row["completion"]
    if row.get("words") is not None:
        return TaggedExample(tuple(row["words"]), tuple(completion.split()), origin)
    if row.get("second") is not None:
        return PairExample(prompt, row["second"], float(completion), origin)
    if kind == "text/labels":
        return MultiLabelExample(prompt, tuple(json.loads(completion)), origin)
    if isinstance(prompt, str) and row.get("label") is not None:
        return ClassExample(prompt, completion, origin)
    return answer_from_row(row, origin)


def answer_from_row(row: Mapping[str, Any], origin: Origin) -> AnswerExample:
    """Return a line with a prompt and a completion as an example of ``origin``."""
    prompt = row["prompt"] if isinstance(row["prompt"], str) else tuple(row["prompt"])
    optional: dict[str, Any] = {name: row.get(name) for name in OPTIONAL}
    example = AnswerExample(prompt, row["completion"], origin, **optional)
    references = row.get(REFERENCES)
    listed = references if isinstance(references, (list, tuple)) else ()  # a text would be read letter by letter
    others = tuple(text for text in listed if isinstance(text, str) and text != example.reference)
    return replace(example, alternatives=others) if others else example
