"""The rows that a run keeps in ``data/*.jsonl``: examples as they were trained on or held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graft.config import DataSettings
from graft.data.columns.base import ColumnMapping, mapping_by_name
from graft.data.example import AnswerExample, Example, Origin
from graft.data.readers import Row

COLUMNS = ("prompt", "completion", "origin")
OPTIONAL = ("label", "tools", "answer", "template_kwargs")


def own_rows(
    columns: Sequence[str], rows: Sequence[Row], settings: DataSettings, labels: Sequence[str] | None = None
) -> ColumnMapping | None:
    """The rows of a run's ``data/`` folder; instruction and system message are in their prompts already."""
    if not set(COLUMNS) <= set(columns) or not set(columns) <= {*COLUMNS, *OPTIONAL}:
        return None
    return mapping_by_name("prompt/completion", COLUMNS, _convert, optional=OPTIONAL)


def _convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
    prompt = row["prompt"] if isinstance(row["prompt"], str) else tuple(row["prompt"])
    return [AnswerExample(prompt, row["completion"], origin, **{name: row.get(name) for name in OPTIONAL})]
