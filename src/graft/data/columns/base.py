"""How the columns of rows become examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from graft.data.columns.names import ANSWERS, DOCUMENTS, LABELS, SUMMARIES, TEXTS
from graft.data.columns.notes import Notes
from graft.data.example import Example, Origin
from graft.data.inferred import InferredSetting
from graft.data.values import listed_names

__all__ = [
    "ANSWERS",
    "DOCUMENTS",
    "LABELS",
    "SUMMARIES",
    "TEXTS",
    "ColumnMapping",
    "Convert",
    "by_name",
    "first_of",
    "mapping_by_name",
]

Convert: TypeAlias = Callable[[Mapping[str, Any], Origin], Sequence[Example]]
"""The columns of a row and where it came from -> its examples."""


@dataclass(frozen=True)
class ColumnMapping:
    """How rows become examples.

    Attributes:
        kind: What the columns were recognized as, such as ``prompt/completion``.
        columns: The columns that are read; each row must have them.
        convert: Makes the examples of a row; none where nothing of it is to be trained.
        labels: The classes, where answers are such.
        inferred: What was decided from the columns.
        names: What answers are made of, where they are no classes: tags or several labels; or nothing.
        optional: The columns that are read where a row has them. What is in neither is said not to be read.
        exhaustive: Whether ``columns`` and ``optional`` are all that is read for certain: then a column besides them
            that is known to matter, such as ``system``, is an error.
        notes: Counts what is worth a line in the plan while rows are converted.
        kept: Columns whose values the origins of examples keep, for an evaluation by them.
    """

    kind: str
    columns: tuple[str, ...]
    convert: Convert
    labels: list[str] | None = None
    inferred: list[InferredSetting] = field(default_factory=list)
    names: list[str] | None = None
    optional: tuple[str, ...] = ()
    exhaustive: bool = False
    notes: Notes = field(default_factory=Notes, compare=False)
    kept: tuple[str, ...] = ()


def mapping_by_name(
    kind: str,
    columns: tuple[str, ...],
    convert: Convert,
    *inferred: InferredSetting,
    optional: tuple[str, ...] = (),
    notes: Notes | None = None,
) -> ColumnMapping:
    """Return the mapping of columns that were recognized by their names."""
    said = [by_name(kind, *columns), *inferred]
    return ColumnMapping(kind, columns, convert, None, said, None, optional, True, notes or Notes())


def by_name(kind: str, *columns: str) -> InferredSetting:
    """Return what is said of columns that were recognized by their names."""
    return InferredSetting("columns", kind, f"recognized by the columns {listed_names(columns)}")


def first_of(columns: Sequence[str], names: Sequence[str]) -> str | None:
    """Return the first of ``names`` that is a column."""
    return next((name for name in names if name in columns), None)
