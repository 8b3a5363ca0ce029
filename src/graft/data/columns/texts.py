"""Columns with a text, and what is said of it: for models that write the answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from graft.config import DataSettings
from graft.data.classes import Classes
from graft.data.columns.base import DOCUMENTS, LABELS, SUMMARIES, TEXTS, ColumnMapping, first_of, mapping_by_name
from graft.data.columns.rendered import common_marker
from graft.data.columns.several import SeveralLabels, one_label, several_labels, written_labels
from graft.data.columns.shape import PromptShape
from graft.data.columns.tagged import words_and_tags
from graft.data.example import AnswerExample, Example, Origin, as_text, labels_text
from graft.data.inferred import InferredSetting
from graft.data.readers import Row
from graft.data.values import Unreadable

MOST_LABELS_NAMED = 40


def text_label(
    columns: Sequence[str], rows: Sequence[Row], settings: DataSettings, labels: Sequence[str] | None = None
) -> ColumnMapping | None:
    """A text and its class, or its answer where there are too many different ones."""
    shape = PromptShape(settings)
    text, label = first_of(columns, TEXTS), first_of(columns, LABELS)
    form = several_labels(columns, rows, settings, labels)
    if form is None and text is not None and label is not None:
        form = SeveralLabels(text, (label,), one_each=True)
    if form is None or text is None:
        return None
    if form.separator is not None and settings.label_separator is None:  # a model that writes answers as the file does
        form = SeveralLabels(text, form.columns, one_each=True)
    if not form.one_each:
        return _all_labels(rows, form, settings)
    values = [row.columns.get(form.columns[0]) for row in rows] if not form.one_hot else list(form.columns)
    answer = form.columns[0]
    different = {as_text(value) for value in values if value is not None and not isinstance(value, Unreadable)}
    if not labels and len(different) > MOST_LABELS_NAMED and 2 * len(different) > len(rows):  # no classes, but answers
        return mapping_by_name(
            f"{text}/{answer}",
            (text, answer),
            lambda row, origin: [
                AnswerExample(shape.prompt(as_text(row[text])), as_text(row[form.columns[0]]), origin)
            ],
        )
    classes = Classes.of(values, settings.label_names, labels)
    known = list(labels or classes.labels)
    instruction = settings.instruction or _classify(known)

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        value = one_label(form, row, origin) if form.one_hot else row[form.columns[0]]
        name = classes.name(value, origin)
        return [AnswerExample(shape.prompt(as_text(row[text]), instruction), name, origin, label=name)]

    said = [*form.said, *classes.said, *_instruction(settings, instruction)]
    return replace(mapping_by_name("text/label", (text, *form.columns), convert, *said), labels=known)


def _all_labels(rows: Sequence[Row], form: SeveralLabels, settings: DataSettings) -> ColumnMapping:
    """A text and any number of labels, which are written as a JSON list."""
    shape = PromptShape(settings)
    written = form.columns if form.one_hot else written_labels(rows, form)
    classes = Classes.of(written, settings.label_names)
    names = classes.labels
    among = f": {', '.join(names)}" if len(names) <= MOST_LABELS_NAMED else ""
    instruction = settings.instruction or f"Name all labels that apply to the text{among}. Answer with a JSON list."

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        found = list(dict.fromkeys(classes.name(label, origin) for label in form.labels(row, origin)))
        return [AnswerExample(shape.prompt(as_text(row[form.text]), instruction), labels_text(found), origin)]

    said = [*form.said, *classes.said, *_instruction(settings, instruction)]
    return replace(mapping_by_name("text/label list", (form.text, *form.columns), convert, *said), names=names)


def _instruction(settings: DataSettings, instruction: str) -> list[InferredSetting]:
    if settings.instruction:
        return []
    return [InferredSetting("instruction", instruction, "labeled texts need an instruction")]


def _classify(labels: Sequence[str]) -> str:
    if len(labels) > MOST_LABELS_NAMED:
        return "Classify the text. Answer with the class only."
    return f"Classify the text as one of: {', '.join(labels)}. Answer with one of these only."


def text_summary(
    columns: Sequence[str], rows: Sequence[Row], settings: DataSettings, labels: Sequence[str] | None = None
) -> ColumnMapping | None:
    """A text and its summary."""
    shape = PromptShape(settings)
    text, summary = first_of(columns, DOCUMENTS), first_of(columns, SUMMARIES)
    if text is None or summary is None:
        return None
    instruction = settings.instruction or "Summarize the text."

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        return [AnswerExample(shape.prompt(as_text(row[text]), instruction), as_text(row[summary]), origin)]

    said = (
        []
        if settings.instruction
        else [InferredSetting("instruction", instruction, "texts with summaries need an instruction")]
    )
    return mapping_by_name("text/summary", (text, summary), convert, *said)


def tokens_tags(
    columns: Sequence[str], rows: Sequence[Row], settings: DataSettings, labels: Sequence[str] | None = None
) -> ColumnMapping | None:
    """Words and their tags, which are written as JSON."""
    shape = PromptShape(settings)
    tags = first_of(columns, ("tags", "ner_tags", "labels"))
    if "tokens" not in columns or tags is None:
        return None
    instruction = settings.instruction or "Extract the parts as JSON."

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        """Make an example whose answer is the JSON of ``join_tags``.

        Raises:
            InputError: If words and tags are not lists of the same length, or tags are numbers without names.
        """
        words, names = words_and_tags(row["tokens"], row[tags], settings.label_names, origin)
        answer = json.dumps(join_tags(words, names), ensure_ascii=False)
        return [AnswerExample(shape.prompt(" ".join(words), instruction), answer, origin)]

    said = (
        []
        if settings.instruction
        else [InferredSetting("instruction", instruction, "tokens with tags need an instruction")]
    )
    return mapping_by_name("tokens/tags", ("tokens", tags), convert, *said)


def join_tags(words: Sequence[Any], tags: Sequence[Any]) -> dict[str, str | list[str]]:
    """Return the words of each tag, joined, or a list if a tag occurs several times; ``O`` is no tag.

    In the BIO scheme (Ramshaw & Marcus 1995) ``B-`` begins another entity; equal tags without a prefix are joined.
    """
    parts: dict[str, list[str]] = {}
    for word, tag in zip(words, tags, strict=True):
        prefix, name = (str(tag)[:1], str(tag)[2:]) if str(tag)[:2] in {"B-", "I-"} else ("", str(tag))
        if name == "O":
            continue
        found = parts.setdefault(name, [])
        if found and prefix != "B":
            found[-1] += f" {word}"
        else:
            found.append(str(word))
    return {name: found[0] if len(found) == 1 else found for name, found in parts.items()}


def plain_text(
    columns: Sequence[str], rows: Sequence[Row], settings: DataSettings, labels: Sequence[str] | None = None
) -> ColumnMapping | None:
    """``text`` alone, which is all trained on."""
    if "text" not in columns:
        return None
    marker = common_marker([as_text(row.columns["text"]) for row in rows if row.columns.get("text") is not None])
    why = f'most rows contain {marker!r}: --response_template "{marker}" trains only the answers after it'
    said = [InferredSetting("trained_text", "all of it", why)] if marker and settings.loss_on == "completion" else []
    return mapping_by_name(
        "text", ("text",), lambda row, origin: [AnswerExample("", as_text(row["text"]), origin)], *said
    )
