"""How the columns of rows become examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from graft.data.example import Example, Origin
from graft.data.inferred import InferredSetting

Convert: TypeAlias = Callable[[Mapping[str, Any], Origin], Sequence[Example]]
"""The columns of a row and where it came from -> its examples."""

TEXTS = ("text", "sentence", "review", "tweet", "content")
LABELS = ("label", "labels", "class", "category", "sentiment", "tone", "intent")
ANSWERS = ("completion", "response", "answer", "output", "chosen", "target")
DOCUMENTS = ("text", "document", "article", "dialogue")
SUMMARIES = ("summary", "highlights", "abstract")


@dataclass(frozen=True)
class ColumnMapping:
    """How rows become examples.

    Attributes:
        kind: What the columns were recognized as, such as ``prompt/completion``.
        columns: The columns that are read; each row must have them.
        convert: Makes the examples of a row.
        labels: The classes, where answers are such.
        inferred: What was decided from the columns.
        names: What answers are made of, where they are no classes: tags or several labels; or nothing.
    """

    kind: str
    columns: tuple[str, ...]
    convert: Convert
    labels: list[str] | None = None
    inferred: list[InferredSetting] = field(default_factory=list)
    names: list[str] | None = None


def mapping_by_name(kind: str, columns: tuple[str, ...], convert: Convert, *inferred: InferredSetting) -> ColumnMapping:
    """Return the mapping of columns that were recognized by their names."""
    return ColumnMapping(kind, columns, convert, None, [by_name(kind, *columns), *inferred])


def by_name(kind: str, *columns: str) -> InferredSetting:
    """Return what is said of columns that were recognized by their names."""
    return InferredSetting("columns", kind, f"recognized by the columns {', '.join(columns)}")


def first_of(columns: Sequence[str], names: Sequence[str]) -> str | None:
    """Return the first of ``names`` that is a column."""
    return next((name for name in names if name in columns), None)
