"""Columns with a text and its class, or with several labels: for heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from graft.config import DataSettings
from graft.data.cells import decoded
from graft.data.columns import recognize
from graft.data.columns.base import LABELS, TEXTS, ColumnMapping, by_name, first_of
from graft.data.example import ClassExample, Example, MultiLabelExample, Origin, as_text
from graft.data.inferred import InferredSetting
from graft.data.readers import Row


def labeled_texts(
    rows: Sequence[Row], settings: DataSettings, generation_prompt: str | None = None, labels: list[str] | None = None
) -> ColumnMapping:
    """Read a text and its class, or a list of classes; other columns as ``recognize`` does, the answer as the class.

    Raises:
        InputError: As ``recognize``.
    """
    columns = list(rows[0].columns)
    text, label = first_of(columns, TEXTS), first_of(columns, LABELS)
    named = settings.text_template or settings.prompt_template or settings.column_mapping
    if named or text is None or label is None:
        return _flat(recognize(rows, settings, generation_prompt, labels))
    if any(isinstance(decoded(row.columns.get(label)), list) for row in rows):
        return _several(rows, text, label)
    values = {as_text(row.columns[label]).strip() for row in rows if row.columns.get(label) is not None}

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        answer = as_text(row[label]).strip()
        return [ClassExample(as_text(row[text]), answer, origin)]

    said = [by_name("text/label", text, label)]
    return ColumnMapping("text/label", (text, label), convert, labels or sorted(values), said, exhaustive=True)


def _flat(mapping: ColumnMapping) -> ColumnMapping:
    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        return [
            ClassExample(made.input_text, made.reference.strip(), made.origin) for made in mapping.convert(row, origin)
        ]

    said = [inference for inference in mapping.inferred if inference.name != "instruction"]
    return replace(mapping, convert=convert, inferred=said)


def _several(rows: Sequence[Row], text: str, label: str) -> ColumnMapping:
    names = sorted({name for row in rows for name in _names(row.columns.get(label))})

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        """Make an example with the labels sorted and each once."""
        return [MultiLabelExample(as_text(row[text]), tuple(sorted(set(_names(row[label])))), origin)]

    said = InferredSetting("labels", names, f"{len(names)} labels; a row can have any number of them")
    return ColumnMapping(
        "text/labels", (text, label), convert, None, [by_name("text/labels", text, label), said], names, exhaustive=True
    )


def _names(value: Any) -> list[str]:
    listed = decoded(value)
    if listed is None:
        return []
    return [as_text(name) for name in (listed if isinstance(listed, list) else [listed])]
