"""Rows that a program added: where they came from. They are trained on, and no model is judged by them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PROVENANCE = "graft_provenance"
"""The column of rows that ``graft prepare`` added: ``{"step": …, "source": "rows.jsonl:12", "of": …}``.

``of`` is the ``graft.data.example_set.source_key`` of the row that it was made from: it finds that in other files, too.
"""


def was_added(columns: Mapping[str, Any]) -> bool:
    """Return whether a program added the row with these columns."""
    found = columns.get(PROVENANCE)
    return isinstance(found, Mapping) and "step" in found


def source_of(columns: Mapping[str, Any]) -> str:
    """Return the ``source_key`` of the row that an added row was made from; empty where it was made from none."""
    found = columns.get(PROVENANCE)
    return str(found.get("of") or "") if isinstance(found, Mapping) else ""
