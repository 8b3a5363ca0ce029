"""The rows that a run keeps in ``data/*.jsonl``: examples as they were trained on or held out."""

from __future__ import annotations

from collections.abc import Collection

from graft.data.columns.base import ColumnMapping, mapping_by_name
from graft.data.rows import BESIDE, answer_from_row

COLUMNS = ("prompt", "completion", "origin")


def own_rows(columns: Collection[str]) -> ColumnMapping | None:
    """Return how rows with these columns are read if they are the rows of a run's ``data/`` folder.

    Instruction, system message and templates are in their prompts already.
    """
    if not set(COLUMNS) <= set(columns) or not set(columns) <= {*COLUMNS, *BESIDE}:
        return None
    return mapping_by_name(
        "prompt/completion", COLUMNS, lambda row, origin: [answer_from_row(row, origin)], optional=BESIDE
    )
