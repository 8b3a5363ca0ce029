"""Rows for heads: texts with a class or several, words with tags, pairs of texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from graft.config import DataSettings
from graft.data.chat_formats import decoded
from graft.data.columns import LABELS, TEXTS, ColumnMapping, first_of, recognize
from graft.data.example import ClassExample, Example, MultiLabelExample, Origin, PairExample, TaggedExample, as_text
from graft.data.inferred import InferredSetting
from graft.data.readers import Row
from graft.errors import InputError

WORDS = ("tokens", "words")
TAGS = ("tags", "ner_tags", "tag", "labels")
SPANS = ("spans", "entities")
PAIRS = (
    ("sentence1", "sentence2"),
    ("text1", "text2"),
    ("question1", "question2"),
    ("sentence_A", "sentence_B"),
    ("sentence_a", "sentence_b"),
    ("text_a", "text_b"),
    ("first", "second"),
)
SIMILARITY = ("label", "similarity", "score", "similarity_score", "relatedness_score", "is_duplicate", "similar")
OUTSIDE = "O"
Read = Callable[[Any, Any, Origin], tuple[list[str], list[str]]]
_PIECE = re.compile(r"\w+|[^\w\s]")


def labeled_texts(
    rows: Sequence[Row], settings: DataSettings, generation_prompt: str | None = None, labels: list[str] | None = None
) -> ColumnMapping:
    """A text and its class, or a list of classes; of other columns, the prompt as it is and the answer as the class.

    Raises:
        InputError: as ``columns.recognize``.
    """
    columns = list(rows[0].columns)
    text, label = first_of(columns, TEXTS), first_of(columns, LABELS)
    if settings.text_template or settings.prompt_template or text is None or label is None:
        return _flat(recognize(rows, settings, generation_prompt, labels))
    if any(isinstance(decoded(row.columns.get(label)), list) for row in rows):
        return _several(rows, text, label)
    values = {as_text(row.columns[label]).strip() for row in rows if row.columns.get(label) is not None}

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        answer = as_text(row[label]).strip()
        return [ClassExample(as_text(row[text]), answer, origin)]

    return ColumnMapping(
        "text/label", (text, label), convert, labels or sorted(values), [_roles("text/label", text, label)]
    )


def _flat(mapping: ColumnMapping) -> ColumnMapping:
    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        return [
            ClassExample(made.input_text, made.reference.strip(), made.origin) for made in mapping.convert(row, origin)
        ]

    said = [inference for inference in mapping.inferred if inference.name != "instruction"]
    return ColumnMapping(mapping.kind, mapping.columns, convert, mapping.labels, said)


def _several(rows: Sequence[Row], text: str, label: str) -> ColumnMapping:
    names = sorted({name for row in rows for name in _names(row.columns.get(label))})

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        return [MultiLabelExample(as_text(row[text]), tuple(sorted(set(_names(row[label])))), origin)]

    said = InferredSetting("labels", names, f"{len(names)} labels, any number of them a row")
    return ColumnMapping("text/labels", (text, label), convert, None, [_roles("text/labels", text, label), said], names)


def _names(value: Any) -> list[str]:
    listed = decoded(value)
    if listed is None:
        return []
    return [as_text(name) for name in (listed if isinstance(listed, list) else [listed])]


def tagged_words(
    rows: Sequence[Row], settings: DataSettings, generation_prompt: str | None = None, labels: list[str] | None = None
) -> ColumnMapping:
    """``tokens`` and ``tags``, or ``text`` and ``spans`` of ``start``, ``end`` (in characters) and ``label``.

    Raises:
        InputError: when there are no such columns.
    """
    columns = list(rows[0].columns)
    words, tags = first_of(columns, WORDS), first_of(columns, TAGS)
    text, spans = first_of(columns, TEXTS), first_of(columns, SPANS)
    if words is not None and tags is not None:
        used, read = (words, tags), cast("Read", _read_tags)
    elif text is not None and spans is not None:
        used, read = (text, spans), _read_spans
    else:
        raise InputError(
            f"token-classification needs tokens with tags, or text with spans; the columns are {', '.join(columns)}",
            where=str(rows[0].origin),
            remedy='{"tokens": ["in", "Rome"], "tags": ["O", "B-city"]}, or {"text": "in Rome", '
            '"spans": [{"start": 3, "end": 7, "label": "city"}]}',
        )

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        found, named = read(row[used[0]], row[used[1]], origin)
        return [TaggedExample(tuple(found), tuple(named), origin)]

    kind = "/".join(used)
    return ColumnMapping(kind, used, convert, None, [_roles(kind, *used)], [])


def _read_tags(words: Any, tags: Any, origin: Origin) -> tuple[list[str], list[str]]:
    words, tags = decoded(words), decoded(tags)
    if not isinstance(words, list) or not isinstance(tags, list) or len(words) != len(tags) or not words:
        raise InputError("tokens and tags are not lists of one length", where=str(origin))
    return [str(word) for word in words], [tag_name(tag) for tag in tags]


def tag_name(value: Any) -> str:
    """A tag without blanks, which stand between tags."""
    name = "_".join(as_text(value).split())
    return name or OUTSIDE


def _read_spans(text: Any, spans: Any, origin: Origin) -> tuple[list[str], list[str]]:
    """Words and punctuation marks, with B- where a span begins and I- within it.

    Raises:
        InputError: for a span that is none, lies outside the text, or holds no whole word.
    """
    text, spans = as_text(text), decoded(spans)
    if not isinstance(spans, list):
        raise InputError("spans is not a list", where=str(origin))
    pieces = list(_PIECE.finditer(text))
    tags = [OUTSIDE] * len(pieces)
    for span in spans:
        start, end, name = _span(span, text, origin)
        inside = [i for i, piece in enumerate(pieces) if piece.start() < end and piece.end() > start]
        if not inside or any(tags[i] != OUTSIDE for i in inside):
            what = "covers no word" if not inside else "overlaps another"
            raise InputError(f"the span {text[start:end]!r} ({name}) {what}", where=str(origin))
        for place, index in enumerate(inside):
            tags[index] = f"{'I' if place else 'B'}-{name}"
    return [piece.group() for piece in pieces], tags


def _span(span: Any, text: str, origin: Origin) -> tuple[int, int, str]:
    if isinstance(span, dict):
        label = next((span[name] for name in ("label", "tag", "type", "entity") if name in span), None)
        values: list[Any] = [span.get("start"), span.get("end"), label]
    else:
        values = list(span) if isinstance(span, (list, tuple)) else []
    if len(values) != 3 or not all(isinstance(value, int) for value in values[:2]) or values[2] is None:
        raise InputError(f"a span has start, end and label, not {span!r}", where=str(origin))
    start, end = values[:2]
    if not 0 <= start < end <= len(text):
        raise InputError(f"the span {start}–{end} is not within the {len(text)} characters", where=str(origin))
    return start, end, tag_name(values[2])


def pair_columns(columns: Sequence[str]) -> tuple[str, str, str] | None:
    """The two texts' columns and that of the label."""
    label = first_of(columns, SIMILARITY)
    pair = next((pair for pair in PAIRS if set(pair) <= set(columns)), None)
    return (*pair, label) if pair is not None and label is not None else None


def text_pairs(
    rows: Sequence[Row], settings: DataSettings, generation_prompt: str | None = None, labels: list[str] | None = None
) -> ColumnMapping:
    """Two texts and a number that says how alike they are: 0 or 1, or any scale from 0, which is brought to 0–1.

    Raises:
        InputError: when there are no such columns.
    """
    columns = list(rows[0].columns)
    used = pair_columns(columns)
    if used is None:
        known = ", ".join("/".join(pair) for pair in PAIRS)
        raise InputError(
            f"feature-extraction needs two texts and a label; the columns are {', '.join(columns)}",
            where=str(rows[0].origin),
            remedy=f"columns named {known}, and one of {', '.join(SIMILARITY)}",
        )
    first, second, label = used
    scale = max([1.0, *(number for row in rows if (number := _as_number(row.columns.get(label))) is not None)])

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        similarity = _number(row[label], origin) / scale
        similarity = 1 - similarity if settings.pair_label == "different" else similarity
        rounded = float(f"{min(similarity, 1.0):g}")  # so that the row reads the same in the run folder
        return [PairExample(as_text(row[first]), as_text(row[second]), rounded, origin)]

    kind = "/".join(used)
    said = [_roles(kind, *used)]
    if scale > 1:
        said.append(InferredSetting("label_scale", scale, "the largest label, which counts as 1"))
    return ColumnMapping(kind, used, convert, None, said, [])


def _number(value: Any, origin: Origin) -> float:
    number = _as_number(value)
    if number is None:
        raise InputError(f"the label of a pair is a number from 0, not {value!r}", where=str(origin))
    return number


def _as_number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 <= number < float("inf") else None


def _roles(kind: str, *columns: str) -> InferredSetting:
    return InferredSetting("column_mapping", kind, f"by the columns {', '.join(columns)}")
