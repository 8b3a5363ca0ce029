"""Lines of ``data/*.jsonl``."""

from __future__ import annotations

from typing import Any

from graft.data.example import Example, Origin


def as_row(example: Example) -> dict[str, Any]:
    """An example as a line of ``data/*.jsonl``; ``from_row`` reads it back."""
    prompt = example.prompt if isinstance(example.prompt, str) else [dict(message) for message in example.prompt]
    row: dict[str, Any] = {"prompt": prompt, "completion": example.completion, "origin": str(example.origin)}
    for name in ("label", "tools", "answer", "words", "second"):
        value = getattr(example, name)
        if value is not None:
            row[name] = value
    return row


def from_row(row: dict[str, Any]) -> Example:
    """A line of ``data/*.jsonl`` as an example."""
    file, _, line = str(row.get("origin", ":0")).rpartition(":")
    prompt = row["prompt"] if isinstance(row["prompt"], str) else tuple(row["prompt"])
    optional: dict[str, Any] = {name: row.get(name) for name in ("label", "tools", "answer", "second")}
    if row.get("words") is not None:
        optional["words"] = tuple(row["words"])
    return Example(prompt, row["completion"], Origin(file, int(line)), **optional)
