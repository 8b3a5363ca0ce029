"""Columns with words and their tags, or a text with spans: for heads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

from graft.config import DataSettings
from graft.data.cells import decoded
from graft.data.classes import check_words, tag_names
from graft.data.columns.base import TEXTS, ColumnMapping, by_name, first_of
from graft.data.example import Example, Origin, TaggedExample, as_text
from graft.data.readers import Row
from graft.data.values import listed_names
from graft.data.words import tagged_pieces
from graft.errors import InputError

WORDS = ("tokens", "words")
TAGS = ("tags", "ner_tags", "tag", "labels")
SPANS = ("spans", "entities")
OUTSIDE = "O"
Read = Callable[[Any, Any, Origin], tuple[list[str], list[str]]]


def tagged_words(
    rows: Sequence[Row], settings: DataSettings, generation_prompt: str | None = None, labels: list[str] | None = None
) -> ColumnMapping:
    """Read ``tokens`` and ``tags``, or ``text`` and ``spans`` of ``start``, ``end`` (in characters) and ``label``.

    Raises:
        InputError: When there are no such columns.
    """
    columns = list(rows[0].columns)
    tokens, tagged = first_of(columns, WORDS), first_of(columns, TAGS)
    text, spans = first_of(columns, TEXTS), first_of(columns, SPANS)
    if tokens is not None and tagged is not None:
        used, read = (tokens, tagged), cast("Read", partial(_read_tags, settings.label_names))
    elif text is not None and spans is not None:
        used, read = (text, spans), partial(_read_spans, settings.label_names)
    else:
        raise InputError(
            f"token-classification needs tokens with tags, or text with spans; the columns are {listed_names(columns)}",
            where=str(rows[0].origin),
            remedy='{"tokens": ["in", "Rome"], "tags": ["O", "B-city"]}, or {"text": "in Rome", '
            '"spans": [{"start": 3, "end": 7, "label": "city"}]}',
        )

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        words, tags = read(row[used[0]], row[used[1]], origin)
        return [TaggedExample(tuple(words), tuple(tags), origin)]

    kind = "/".join(used)
    return ColumnMapping(kind, used, convert, None, [by_name(kind, *used)], [], exhaustive=True)


def _read_tags(names: Sequence[str] | None, words: Any, tags: Any, origin: Origin) -> tuple[list[str], list[str]]:
    found, tagged = words_and_tags(words, tags, names, origin)
    return found, [tag_name(tag) for tag in tagged]


def words_and_tags(words: Any, tags: Any, names: Sequence[str] | None, origin: Origin) -> tuple[list[str], list[Any]]:
    """Return the words and their tags, numbers by their names.

    Raises:
        InputError: If they are no lists of the same length, or a word or a tag has no text.
    """
    words, tags = decoded(words), decoded(tags)
    if not isinstance(words, list) or not isinstance(tags, list) or len(words) != len(tags) or not words:
        lengths = f"; they have {len(words)} and {len(tags)} items" if _are_lists(words, tags) else ""
        cut = any(isinstance(value, str) and "..." in value for value in (words, tags))
        remedy = "NumPy shortened the cell when the file was written: write lists, not arrays" if cut else ""
        raise InputError(f"tokens and tags must be lists of the same length{lengths}", where=str(origin), remedy=remedy)
    return check_words(words, origin), tag_names(tags, names, origin)


def _are_lists(*values: Any) -> bool:
    return all(isinstance(value, list) for value in values)


def tag_name(value: Any) -> str:
    """Return a tag without blanks, which separate tags."""
    name = "_".join(as_text(value).split())
    return name or OUTSIDE


def _read_spans(names: Sequence[str] | None, text: Any, spans: Any, origin: Origin) -> tuple[list[str], list[str]]:
    """Return words and punctuation marks, with B- where a span begins and I- within it.

    Raises:
        InputError: For a span that is none, lies outside the text, or holds no whole word.
    """
    text, spans = as_text(text), decoded(spans)
    if not isinstance(spans, list):
        raise InputError("spans must be a list", where=str(origin))
    pieces = tagged_pieces(text)
    tags = [OUTSIDE] * len(pieces)
    for span in spans:
        start, end, name = _span(span, text, origin, names)
        inside = [i for i, (first, last) in enumerate(pieces) if first < end and last > start]
        if not inside or any(tags[i] != OUTSIDE for i in inside):
            what = "covers no word" if not inside else "overlaps another"
            raise InputError(f"the span {text[start:end]!r} ({name}) {what}", where=str(origin))
        for place, index in enumerate(inside):
            tags[index] = f"{'I' if place else 'B'}-{name}"
    return [text[first:last] for first, last in pieces], tags


class Span(NamedTuple):
    """A tag for the characters from ``start`` to ``end``."""

    start: int
    end: int
    tag: str


def _span(span: Any, text: str, origin: Origin, names: Sequence[str] | None) -> Span:
    if isinstance(span, dict):
        label = next((span[name] for name in ("label", "tag", "type", "entity") if name in span), None)
        values: list[Any] = [span.get("start"), span.get("end"), label]
    else:
        values = list(span) if isinstance(span, (list, tuple)) else []
    if len(values) != 3 or not all(isinstance(value, int) for value in values[:2]) or values[2] is None:
        raise InputError(f"a span needs start, end and label, not {span!r}", where=str(origin))
    start, end = values[:2]
    if not 0 <= start < end <= len(text):
        raise InputError(f"the span {start}–{end} is not within the {len(text)} characters", where=str(origin))
    return Span(start, end, tag_name(tag_names([values[2]], names, origin)[0]))
