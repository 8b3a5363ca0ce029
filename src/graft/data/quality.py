"""What the data is like: numbers and warnings for the plan, the manifest and the report."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from graft.data.clean import prompt_key
from graft.data.example import Example
from graft.data.tokenize import Encoded

IMBALANCE = 10


def summarise(
    train: Sequence[Example], held_out: Sequence[Example], doubled: Sequence[Example], labels: Sequence[str] | None
) -> dict[str, Any]:
    """Plain values: label counts, duplicates left out, and ``warnings`` in words."""
    warnings: list[str] = []
    if doubled:
        warnings.append(f"{len(doubled)} rows stand twice and count once, first {doubled[0].origin}")
    warnings += _conflicts(train) + _leaks(train, held_out)
    found: dict[str, Any] = {"duplicates": len(doubled)}
    if labels:
        counts = Counter(example.completion for example in train)
        found["labels"] = {label: counts.get(label, 0) for label in sorted(counts, key=lambda k: (-counts[k], k))}
        unknown = sorted({example.completion for example in held_out} - set(counts))
        if unknown:
            warnings.append(f"held-out labels that training has not: {', '.join(unknown)}")
        if counts and max(counts.values()) > IMBALANCE * min(counts.values()):
            rare = min(counts, key=lambda label: counts[label])
            warnings.append(f"the labels are unbalanced: {rare!r} has {counts[rare]} of {len(train)} rows")
    return {**found, "warnings": warnings}


def _conflicts(examples: Sequence[Example]) -> list[str]:
    answers: dict[str, dict[str, Example]] = defaultdict(dict)
    for example in examples:
        answers[prompt_key(example)].setdefault(example.completion, example)
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


def summarise_tokens(rows: Sequence[Encoded]) -> dict[str, Any]:
    """Lengths in tokens, and how many rows were cut."""
    cut = [row for row in rows if row.cut]
    found: dict[str, Any] = {
        "prompt_tokens": _lengths([row.prompt_length for row in rows]),
        "completion_tokens": _lengths([len(row.input_ids) - row.prompt_length for row in rows]),
        "truncated": len(cut),
    }
    if cut:
        found["warnings"] = [f"{len(cut)} rows were cut at the longest length, first {cut[0].origin}"]
    return found


def _lengths(values: Sequence[int]) -> dict[str, int]:
    ordered = sorted(values)
    return {
        "median": ordered[len(ordered) // 2],
        "p95": ordered[int(0.95 * (len(ordered) - 1))],
        "max": ordered[-1],
    }
