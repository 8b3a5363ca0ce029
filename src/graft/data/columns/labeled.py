"""Columns with a text and its class, or with several labels: for heads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from graft.config import DataSettings
from graft.data.classes import Classes
from graft.data.columns import recognize
from graft.data.columns.base import LABELS, TEXTS, ColumnMapping, by_name, first_of
from graft.data.columns.several import SeveralLabels, one_label, several_labels, written_labels
from graft.data.example import ClassExample, Example, MultiLabelExample, Origin, as_text
from graft.data.inferred import InferredSetting
from graft.data.readers import Row
from graft.errors import GraftError


def labeled_texts(
    rows: Sequence[Row], settings: DataSettings, generation_prompt: str | None = None, labels: list[str] | None = None
) -> ColumnMapping:
    """Read a text and its class, or a list of classes; other columns as ``recognize`` does, the answer as the class.

    Raises:
        InputError: As ``recognize``.
    """
    columns = list(rows[0].columns)
    several = several_labels(columns, rows, settings, labels)
    if several is not None:
        read = _classes if several.one_each else _several
        return read(rows, several, settings, labels)
    text, label = first_of(columns, TEXTS), first_of(columns, LABELS)
    named = settings.text_template or settings.prompt_template or settings.column_mapping
    if named or text is None or label is None:
        counted = recognize(rows, settings, generation_prompt, labels)
        return _flat(recognize(rows, settings, generation_prompt, labels), _answers(rows, counted), settings, labels)
    return _classes(rows, SeveralLabels(text, (label,), one_each=True), settings, labels)


def _classes(
    rows: Sequence[Row], form: SeveralLabels, settings: DataSettings, labels: Sequence[str] | None
) -> ColumnMapping:
    """A text and one class, in a column of classes or as the one column that has a 1."""
    values = (row.columns.get(form.columns[0]) for row in rows)
    classes = Classes.of(form.columns if form.one_hot else values, settings.label_names, labels)

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        value = one_label(form, row, origin) if form.one_hot else row[form.columns[0]]
        return [ClassExample(as_text(row[form.text]), classes.name(value, origin), origin)]

    used = (form.text, *form.columns)
    said = [by_name("text/label", *used), *form.said, *classes.said]
    known = list(labels or classes.labels)
    return ColumnMapping("text/label", used, convert, known, said, exhaustive=True)


def _answers(rows: Sequence[Row], mapping: ColumnMapping) -> Iterator[str]:
    """The answers of all rows that can be read; what is wrong with the others is said where they are converted."""
    for row in rows:
        with suppress(GraftError, KeyError):
            if all(row.columns.get(name) is not None for name in mapping.columns):
                yield from (made.reference for made in mapping.convert(row.columns, row.origin))


def _flat(
    mapping: ColumnMapping, answers: Iterable[str], settings: DataSettings, labels: Sequence[str] | None
) -> ColumnMapping:
    classes = Classes.of(answers, settings.label_names, labels or mapping.labels)

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        return [
            ClassExample(made.input_text, classes.name(made.reference, origin), made.origin)
            for made in mapping.convert(row, origin)
        ]

    said = [inference for inference in mapping.inferred if inference.name != "instruction"]
    known = {inference.name for inference in said}
    said += [inference for inference in classes.said if inference.name not in known]
    return replace(mapping, convert=convert, inferred=said)


def _several(
    rows: Sequence[Row], form: SeveralLabels, settings: DataSettings, labels: Sequence[str] | None
) -> ColumnMapping:
    values = form.columns if form.one_hot else written_labels(rows, form)
    classes = Classes.of(values, settings.label_names, labels)
    names = list(labels or classes.labels)

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        """Make an example with the labels sorted and each once."""
        found = {classes.name(label, origin) for label in form.labels(row, origin)}
        return [MultiLabelExample(as_text(row[form.text]), tuple(sorted(found)), origin)]

    used = (form.text, *form.columns)
    said = InferredSetting("labels", names, f"{len(names)} labels; a row can have any number of them")
    decided = [by_name("text/labels", *used), *form.said, *classes.said, said]
    return ColumnMapping("text/labels", used, convert, None, decided, names, exhaustive=True)
