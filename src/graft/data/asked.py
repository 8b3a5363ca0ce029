"""What rows ask: the columns of their prompts, and rows in which these are empty."""

from __future__ import annotations

from typing import Any

from graft.data.columns.base import ColumnMapping
from graft.data.readers import Row
from graft.data.values import nothing

PARTS = ("instruction", "input", "query", "context")
"""Optional columns that are part of the prompt."""


def prompt_columns(mapping: ColumnMapping) -> tuple[str, ...]:
    """Return the columns that make the prompt; none where one column holds prompt and answer.

    Columns that are recognized by their names begin with the prompt. Templates may name several, and the answer last.
    """
    if len(mapping.columns) < 2:
        return ()
    if not mapping.exhaustive:
        return mapping.columns[:-1]
    return mapping.columns[0], *(name for name in PARTS if name in mapping.optional and name != mapping.columns[0])


def lacks_prompt(row: Row, mapping: ColumnMapping) -> bool:
    """Return whether the prompt of a row is there, and empty or nothing but blanks."""
    values = [row.columns.get(name) for name in prompt_columns(mapping)]
    return bool(values) and values[0] is not None and all(map(_is_blank, values))


def _is_blank(value: Any) -> bool:
    return nothing(value) or (isinstance(value, str) and not value.strip())
