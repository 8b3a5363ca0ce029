"""Rows without the fixed parts that most rows have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from graft.data.checks.base import Finding
from graft.data.checks.spotted import Spotted, counted_rows
from graft.data.checks.view import CheckedData
from graft.data.frames import Frame, frames, slots
from graft.data.personal import shown_text

_FEWEST = 20
"""Rows in which a part can be usual."""


class Templates:
    """Prompts and answers that were written with another template than most."""

    name = "templates"
    title = "Inconsistent templates"

    def examine(self, data: CheckedData, config: Any) -> Iterator[Finding]:
        """Yield a finding for each column, or role, of each side; what is usual is what the training rows have."""
        usual = frames(data.train.rows, data.read_columns()) if len(data.train.rows) >= _FEWEST else {}
        for side in data.own_sides if usual else ():
            spotted = {slot: Spotted() for slot in usual}
            for row in side.rows:
                texts = dict(slots(row.columns, data.read_columns()))
                for slot, frame in usual.items():
                    text = texts.get(slot, "")
                    lacking = frame.lacking(text) if text else _without(slot, frame, texts)
                    if lacking is not None:
                        spotted[slot].add(row.origin, ": ".join(map(shown_text, filter(None, (lacking, text)))))
            for slot, found in spotted.items():
                if len(found):
                    yield _finding(slot, usual[slot], found, len(side.rows), side.name)


def _without(slot: str, frame: Frame, texts: Mapping[str, str]) -> str | None:
    """What is said of a row, or a conversation, without the instruction or the system message that most have."""
    if frame.expected:
        return f"has no {slot}"
    column, _, role = slot.rpartition(".")
    others = any(other.startswith(f"{column}.") for other in texts)
    return f"has no {role} message" if column and others and role in {"system", "developer"} else None


def _finding(slot: str, frame: Frame, spotted: Spotted, rows: int, side: str) -> Finding:
    parts = (frame.prefix, frame.suffix, *sorted(frame.markers))
    shown = ", ".join(dict.fromkeys(shown_text(part) for part in parts if part)) or (
        "one" if frame.expected else "no template"
    )
    return Finding(
        "templates",
        "warning",
        f"{counted_rows(len(spotted), 'differs', 'differ')} from the template of most in {shown_text(slot)}",
        spotted.rows,
        why=f"{rows - len(spotted):,} rows have {shown}; a model that is asked in one form learns little from another",
        remedy="write these rows as the others are, or use --prompt_template for all",
        evidence=tuple(spotted.evidence),
        figures={"column": shown_text(slot), "share": round(len(spotted) / rows, 4)},
        side=side,
    )
