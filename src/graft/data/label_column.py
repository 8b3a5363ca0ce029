"""Where rows have their labels, as they are written in the file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from graft.data.cells import decoded
from graft.data.classes import folded_label
from graft.data.columns import ColumnMapping
from graft.data.example import Example, MultiLabelExample, Origin, TaggedExample, as_text
from graft.data.readers import Row
from graft.errors import GraftError

if TYPE_CHECKING:
    from graft.data.checks.view import CheckedData, Side

Kind: TypeAlias = Literal["class", "several", "tags"]
LOOKED_AT = 200
"""Rows that tell the column."""
AGREEING = 0.95
SEPARATORS = ("|", ";", ",")


@dataclass(frozen=True)
class LabelColumn:
    """A column with a label, a list of labels or tags, or messages whose last one is a label.

    Attributes:
        name: The column.
        separator: What stands between the labels of a cell; empty where a cell has one, or a list.
        kind: Whether a row has one class, several labels, or tags of its words.
    """

    name: str
    separator: str = ""
    kind: Kind = "class"

    def labels(self, columns: Mapping[str, Any]) -> list[str]:
        """Return the labels of a row, without blanks around them."""
        return [label.strip() for label in self.written(columns)]

    def written(self, columns: Mapping[str, Any]) -> list[str]:
        """Return the labels of a row as they are written; those between separators without blanks around them."""
        return list(_labels(columns.get(self.name), self.separator))

    def changed(self, columns: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
        """Return the columns of a row with each label as ``change`` gives it; what it does not change stays as it is.

        Args:
            columns: The columns of the row.
            change: A label as it is written -> the label that is to be.
        """
        if self.name not in columns:
            return dict(columns)
        return {**columns, self.name: _changed(columns[self.name], self.separator, change)}

    def without(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Return the columns of a row without its labels: of messages, all but the last one."""
        value = columns.get(self.name)
        left = {self.name: value[:-1]} if value is not None and _is_messages(value) else {}
        return {name: each for name, each in columns.items() if name != self.name} | left


def _labels(value: Any, separator: str) -> Iterator[str]:
    if _is_messages(value):
        yield as_text(value[-1][_content(value[-1])])
        return
    listed = decoded(value) if isinstance(value, str) else value
    if isinstance(listed, (list, tuple)):
        yield from (as_text(each) for each in listed if isinstance(each, (str, int, float)))
    elif isinstance(value, str) and separator:
        yield from (part.strip() for part in value.split(separator) if part.strip())
    elif isinstance(value, (str, int, float)):
        yield as_text(value)


def _changed(value: Any, separator: str, change: Callable[[str], str]) -> Any:
    if _is_messages(value):
        last = value[-1]
        return [*value[:-1], {**last, _content(last): _one_changed(last[_content(last)], change)}]
    if isinstance(value, (list, tuple)):
        return [_one_changed(each, change) for each in value]
    if isinstance(value, str) and separator:
        parts = [part.strip() for part in value.split(separator)]
        renamed = [change(part) for part in parts]
        return value if renamed == parts else separator.join(renamed)
    listed = decoded(value) if isinstance(value, str) else None
    if isinstance(listed, list):
        new = [_one_changed(each, change) for each in listed]
        return value if new == listed else json.dumps(new, ensure_ascii=False)
    return _one_changed(value, change)


def _one_changed(value: Any, change: Callable[[str], str]) -> Any:
    """A label as it is to be; what is none, and a number that keeps its name, stay as they are."""
    if not isinstance(value, (str, int, float)):
        return value
    written = as_text(value).strip()
    new = change(written)
    return new if isinstance(value, str) or new != written else value


def _is_messages(value: Any) -> bool:
    if not isinstance(value, (list, tuple)) or not value:
        return False
    return isinstance(value[-1], Mapping) and bool(_content(value[-1]))


def _content(message: Mapping[str, Any]) -> str:
    return next((name for name in ("content", "value") if isinstance(message.get(name), str)), "")


def find_label_column(rows: Sequence[Row], mapping: ColumnMapping) -> LabelColumn | None:
    """Return the column whose values are the labels of the examples that ``mapping`` makes; None where there is none.

    Args:
        rows: The rows.
        mapping: How they are read, for a head or for a model that writes.
    """
    names = (*mapping.columns, *mapping.optional)
    candidates = [LabelColumn(name, sign) for name in names for sign in ("", *SEPARATORS)]
    hits: Counter[LabelColumn] = Counter()
    total = several = tagged = 0
    for row in islice(rows, LOOKED_AT):
        try:
            made = mapping.convert(row.columns, row.origin)
        except (GraftError, KeyError):
            continue
        if not made:
            continue
        total += 1
        tagged += _has_tags(row, mapping)
        right = given_labels(made[-1])
        several += isinstance(made[-1], MultiLabelExample) or _is_list(made[-1].reference)
        folded = sorted(map(folded_label, right))
        hits.update(column for column in candidates if sorted(map(folded_label, column.labels(row.columns))) == folded)
    if total and tagged >= AGREEING * total:
        return LabelColumn(mapping.columns[1], kind="tags")
    best = max(candidates, key=lambda column: (hits[column], not column.separator), default=None)
    if best is None or not total or hits[best] < AGREEING * total:
        return None
    return replace(best, kind="several" if several == total else "class")


def _has_tags(row: Row, mapping: ColumnMapping) -> bool:
    """Whether a row has two lists, of words and of a tag for each."""
    if len(mapping.columns) != 2:
        return False
    words, tags = (decoded(row.columns.get(name)) for name in mapping.columns)
    lists = isinstance(words, list) and isinstance(tags, list)
    return lists and len(words) == len(tags) and not any(isinstance(tag, (list, dict)) for tag in tags)


def _is_list(text: str) -> bool:
    return text.startswith("[") and isinstance(decoded(text), list)


def given_labels(example: Example) -> Sequence[str]:
    """Return the class, the labels, or the tags of an example."""
    if isinstance(example, MultiLabelExample):
        return example.labels
    if isinstance(example, TaggedExample):
        return example.tags
    if _is_list(example.reference):  # as a model writes several labels
        return [as_text(each) for each in decoded(example.reference)]
    return (example.reference.strip(),)


def label_column(data: CheckedData) -> LabelColumn | None:
    """Return where the rows have their classes, labels or tags; None where answers are free text, or have no column."""
    if data.mapping is None or not len(data.train.rows):
        return None
    found = find_label_column(data.train.rows, data.mapping)
    return found if found is not None and (found.kind != "class" or data.labels is not None) else None


def label_kind(data: CheckedData, column: LabelColumn | None) -> Kind | None:
    """Return what the labels of data are; None where answers are free text."""
    first = data.train.examples[0] if len(data.train.examples) else None
    if column is not None or first is None:
        return None if column is None else column.kind
    if isinstance(first, TaggedExample):
        return "tags"
    if isinstance(first, MultiLabelExample):
        return "several"
    return "class" if data.labels is not None else None


def labels_by_row(side: Side, column: LabelColumn | None) -> Iterator[tuple[Origin, Sequence[str]]]:
    """Yield the labels of each row of a side: as it has them where these are several, else its class.

    Args:
        side: The rows, and the examples made of them.
        column: Where the labels are, if that is known.
    """
    if column is not None and column.kind != "class" and len(side.rows):
        for row in side.rows:
            yield row.origin, column.labels(row.columns)
        return
    for example in side.examples:
        yield example.origin, given_labels(example)
