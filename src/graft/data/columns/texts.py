"""Columns with a text, and what is said of it: for models that write the answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from graft.config import DataSettings
from graft.data.columns.base import DOCUMENTS, LABELS, SUMMARIES, TEXTS, ColumnMapping, first_of, mapping_by_name
from graft.data.columns.rendered import common_marker
from graft.data.columns.shape import PromptShape
from graft.data.example import AnswerExample, Example, Origin, as_text
from graft.data.inferred import InferredSetting
from graft.data.readers import Row
from graft.errors import InputError

MOST_LABELS_NAMED = 40


def text_label(
    columns: Sequence[str], rows: Sequence[Row], settings: DataSettings, labels: Sequence[str] | None = None
) -> ColumnMapping | None:
    """A text and its class, or its answer where there are too many different ones."""
    shape = PromptShape(settings)
    text, label = first_of(columns, TEXTS), first_of(columns, LABELS)
    if text is None or label is None:
        return None
    values = {as_text(row.columns[label]) for row in rows if row.columns.get(label) is not None}
    if not labels and len(values) > MOST_LABELS_NAMED and 2 * len(values) > len(rows):  # no classes, but answers
        return mapping_by_name(
            f"{text}/{label}",
            (text, label),
            lambda row, origin: [AnswerExample(shape.prompt(as_text(row[text])), as_text(row[label]), origin)],
        )
    known = list(labels or sorted(values))
    instruction = settings.instruction or _classify(known)

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        answer = as_text(row[label])
        return [AnswerExample(shape.prompt(as_text(row[text]), instruction), answer, origin, label=answer)]

    said = (
        []
        if settings.instruction
        else [InferredSetting("instruction", instruction, "labeled texts need an instruction")]
    )
    mapping = mapping_by_name("text/label", (text, label), convert, *said)
    return replace(mapping, labels=known)


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
            InputError: If words and tags are not lists of the same length, or tags are numbers.
        """
        words, names = row["tokens"], row[tags]
        if not isinstance(words, list) or not isinstance(names, list) or len(words) != len(names):
            raise InputError("tokens and tags must be lists of the same length", where=str(origin))
        if any(isinstance(name, int) for name in names):
            raise InputError(
                "the tags are numbers, and the data set has no names for them",
                where=str(origin),
                remedy="write the names of the tags instead of numbers",
            )
        answer = json.dumps(join_tags(words, names), ensure_ascii=False)
        return [AnswerExample(shape.prompt(" ".join(map(str, words)), instruction), answer, origin)]

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
