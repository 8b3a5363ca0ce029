"""Rows that a program added: where they came from. They are trained on, and no model is judged by them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PROVENANCE = "graft_provenance"
"""The column of rows that ``graft prepare`` added: ``{"step": …, "source": "rows.jsonl:12", "of": …}``."""


@dataclass(frozen=True)
class Provenance:
    """Where a row that was added came from.

    Attributes:
        step: The step that added it.
        of: The ``graft.data.example_set.source_key`` of the row that it was made from, which finds that in other files,
            too; empty where it was made from none.
        copy: Its number among the copies of that row.
    """

    step: str
    of: str = ""
    copy: int = 0


def provenance_of(columns: Mapping[str, Any]) -> Provenance | None:
    """Return where the row with these columns came from; None where no program added it.

    A value of this name that has another form is somebody else's, and says nothing.
    """
    found = columns.get(PROVENANCE)
    if not isinstance(found, Mapping):
        return None
    step, of, copy = found.get("step"), found.get("of", ""), found.get("copy", 0)
    is_ours = isinstance(step, str) and isinstance(of, str) and type(copy) is int
    return Provenance(step, of, copy) if is_ours and step else None


def was_added(columns: Mapping[str, Any]) -> bool:
    """Return whether a program added the row with these columns."""
    return provenance_of(columns) is not None
