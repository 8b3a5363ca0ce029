"""The rows in a JSON document, whatever shape a program gave it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from graft.data.features import Feature, named
from graft.data.values import listed_names
from graft.errors import InputError

_SPLITS = {
    "train": {"train", "training"},
    "test": {"test"},
    "validation": {"validation", "valid", "val", "dev", "eval"},
}
_ONE_ROW = {"messages", "conversations", "conversation", "tokens", "words", "tools", "spans", "entities", "labels"}
"""Columns whose value is a list in a single row."""
_WRAPPERS = {"data", "rows", "examples", "records", "items", "instances", "dataset", "samples", "results"}


class Found(NamedTuple):
    """A row, which may be something else than an object, and its split."""

    row: Any
    split: str | None = None


def split_named(words: str) -> str | None:
    """Return the split that a name stands for: ``dev`` is ``validation``; None for other names."""
    parts = set(re.split(r"[^a-z]+", words.lower()))
    return next((name for name, spellings in _SPLITS.items() if spellings & parts), None)


def rows_in(document: Any) -> Iterator[Found]:
    """Yield the rows of a document.

    A list of objects, also within an object; an object of splits; columns as pandas writes them (orient ``columns``,
    ``index``, ``split``, ``table``) and as a list each; and what the datasets server sends. An object of another shape
    is one row.

    Raises:
        InputError: For a shape that is known and not read, such as SQuAD's.
    """
    if not isinstance(document, dict):
        yield from _listed(document)
        return
    read = _pandas(document) or _columns(document) or _index(document)
    if read is not None:
        yield from map(Found, read)
        return
    splits = _splits(document)
    if splits:
        for name, part in splits.items():
            yield from (Found(found.row, split_named(name)) for found in rows_in(part))
        return
    inner = _inner(document)
    yield from [Found(document)] if inner is None else rows_in(inner)


def is_one_row(document: dict[str, Any]) -> bool:
    """Return whether an object that stands alone in a file is a row, and no table in another shape."""
    return next((found.row for found in rows_in(document)), None) is document


def _listed(document: Any) -> Iterator[Found]:
    if not isinstance(document, list):
        raise InputError("expected a list of objects")
    if any(isinstance(row, dict) and isinstance(row.get("paragraphs"), list) for row in document[:1]):
        raise InputError(
            "this is the nested form of SQuAD: articles with paragraphs with questions",
            remedy='write a row for each question: {"context": …, "question": …, "answer": …}',
        )
    yield from map(Found, document)


def _pandas(document: dict[str, Any]) -> list[Any] | None:
    """Rows of orient ``split`` and ``table``, and of the datasets server."""
    data, columns = document.get("data"), document.get("columns")
    if isinstance(data, list) and isinstance(columns, list) and all(isinstance(row, list) for row in data):
        if any(len(row) != len(columns) for row in data):
            raise InputError(f"the rows in `data` must have {len(columns)} values each, as `columns` says")
        return [dict(zip(map(str, columns), row, strict=True)) for row in data]
    schema, rows = document.get("schema"), document.get("rows")
    if isinstance(data, list) and isinstance(schema, dict) and "fields" in schema:
        index = set(schema.get("primaryKey") or ())
        return [{k: v for k, v in row.items() if k not in index} if isinstance(row, dict) else row for row in data]
    if (
        isinstance(rows, list)
        and rows
        and all(isinstance(row, dict) and isinstance(row.get("row"), dict) for row in rows)
    ):
        return _served([row["row"] for row in rows], document.get("features"))
    return None


def _served(rows: list[dict[str, Any]], features: Any) -> list[Any]:
    """Rows of the datasets server, with names in place of class numbers."""
    of_column: dict[str, Feature] = {
        entry["name"]: entry.get("type")
        for entry in (features if isinstance(features, list) else [])
        if isinstance(entry, dict) and "name" in entry
    }
    return [{name: named(value, of_column.get(name)) for name, value in row.items()} for row in rows]


def _columns(document: dict[str, Any]) -> list[Any] | None:
    """Rows of an object with a list for each column, or with an object of the values by row (orient ``columns``).

    Raises:
        InputError: For lists of different lengths.
    """
    values = list(document.values())
    if values and all(isinstance(value, list) for value in values):
        return _of_lists(document)
    if values and _by_number(document):
        numbers = dict.fromkeys(number for value in values for number in value)
        return [{name: value.get(number) for name, value in document.items()} for number in numbers]
    return None


def _of_lists(document: dict[str, list[Any]]) -> list[Any] | None:
    of_a_row = _ONE_ROW & document.keys() - ({"labels"} if not {"tokens", "words"} & document.keys() else set())
    if any(not isinstance(item, list) for name in of_a_row for item in document[name]):
        return None
    if any(isinstance(item, dict) for value in document.values() for item in value[:1]):
        return None
    lengths = {name: len(value) for name, value in document.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} has {length:,}" for name, length in lengths.items())
        raise InputError(f"this object has a list for each column, and these differ in length: {shown}")
    return [dict(zip(document, row, strict=True)) for row in zip(*document.values(), strict=True)]


def _by_number(document: dict[str, Any]) -> bool:
    """Whether all values are objects whose keys are the numbers of rows, and the names are not."""
    numbered = all(isinstance(value, dict) and value and all(map(_is_number, value)) for value in document.values())
    return numbered and not all(map(_is_number, document))


def _index(document: dict[str, Any]) -> list[Any] | None:
    """Rows of an object that has each by its name (orient ``index``): a number, or else all have the same columns."""
    values = list(document.values())
    if not values or not all(isinstance(value, dict) and value for value in values):
        return None
    alike = len(values) > 1 and len({tuple(value) for value in values}) == 1 and not any(map(split_named, document))
    flat = not any(isinstance(item, (dict, list)) for value in values for item in value.values())
    return values if all(map(_is_number, document)) or (alike and flat) else None


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()


def _splits(document: dict[str, Any]) -> dict[str, Any]:
    """The tables by split, where what the object has besides are no tables."""
    tables = {name: value for name, value in document.items() if _is_table(value)}
    named_as_splits = [name for name in tables if split_named(name)]
    return tables if named_as_splits and len(named_as_splits) == len(tables) else {}


def _is_table(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(row, dict) and not {"role", "from"} & row.keys() for row in value)
    return isinstance(value, dict) and bool(value) and _columns(value) is not None


def _inner(document: dict[str, Any]) -> Any:
    """The one table in an object, None where the object is a row itself.

    Raises:
        InputError: For several tables, none of which is named as a split.
    """
    if _ONE_ROW & document.keys():
        return None
    lists = {name: value for name, value in document.items() if _is_table(value) and _may_wrap(name, value)}
    if len(lists) == 1:
        return next(iter(lists.values()))
    if len(lists) > 1:
        raise InputError(
            f"this object has several tables: {listed_names(lists)}",
            remedy="give a file with one list of rows, or name splits",
        )
    return None


def _may_wrap(name: str, value: Any) -> bool:
    """A value of a row may be an object of lists, as SQuAD's answers; a table of columns has a wrapper's name."""
    return isinstance(value, list) or name.lower() in _WRAPPERS
