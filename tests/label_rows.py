"""Rows with classes that words tell apart, and some wrong labels among them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

WORDS = {
    "fruit": ["apple", "pear", "plum", "fig", "grape", "peach"],
    "tool": ["hammer", "saw", "drill", "file", "chisel", "pliers"],
    "animal": ["dog", "cat", "horse", "cow", "sheep", "goat"],
}


def labeled_rows(count: int = 300, flips: int = 0, seed: int = 0) -> tuple[list[dict[str, Any]], set[int]]:
    """Return rows with text and label, and the lines of those whose label was replaced by another."""
    draw = random.Random(seed)
    names = sorted(WORDS)
    rows = []
    for number in range(count):
        label = names[number % 3]
        words = [*draw.choices(WORDS[label], k=4), *draw.choices(["the", "a", "of", "and", "with"], k=3)]
        draw.shuffle(words)
        rows.append({"text": " ".join(words) + f" {number}", "label": label})
    flipped = set(draw.sample(range(count), flips))
    for number in flipped:
        rows[number]["label"] = draw.choice([name for name in names if name != rows[number]["label"]])
    return rows, {number + 1 for number in flipped}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as JSON Lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path
