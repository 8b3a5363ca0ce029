"""Rows that a program added: where they came from. They are trained on, and no model is judged by them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PROVENANCE = "graft_provenance"
"""The column of rows that ``graft prepare`` added: ``{"step": …, "source": "rows.jsonl:12", …}``."""


def was_added(columns: Mapping[str, Any]) -> bool:
    """Return whether a program added the row with these columns."""
    found = columns.get(PROVENANCE)
    return isinstance(found, Mapping) and "step" in found
