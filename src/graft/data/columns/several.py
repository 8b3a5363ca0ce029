"""Several labels a row: as a list, in one cell with a sign between them, or as a column of 0 and 1 for each label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple

from graft.config import DataSettings
from graft.data.cells import decoded
from graft.data.chat_formats import WEIGHTS
from graft.data.classes import folded_label
from graft.data.columns.base import LABELS, SUMMARIES, TEXTS, ColumnMapping, first_of
from graft.data.example import AnswerExample, Example, Origin, as_text
from graft.data.inferred import InferredSetting
from graft.data.readers import Row
from graft.data.values import listed_names
from graft.errors import InputError

SEPARATORS = ("|", ";", ",")
LOOKED_AT = 20_000
"""Rows that tell how labels are written."""
LONGEST_LABEL = 60
REPEATED = 0.8
MIN_ROWS = 3
"""Fewer rows don't tell columns of labels from others."""
_YES, _NO = {"1", "true", "yes"}, {"0", "false", "no"}


class SeveralLabels(NamedTuple):
    """How a row has its labels.

    Attributes:
        text: The column with the text.
        columns: The column with the labels, or one for each label.
        separator: What stands between the labels of a cell; None in other forms.
        one_each: Whether each row has exactly one label, so that labels are classes.
        said: What was decided.
    """

    text: str
    columns: tuple[str, ...]
    separator: str | None = None
    one_each: bool = False
    said: tuple[InferredSetting, ...] = ()

    @property
    def one_hot(self) -> bool:
        """Whether each label has a column."""
        return len(self.columns) > 1

    def labels(self, row: Mapping[str, Any], origin: Origin) -> list[Any]:
        """Return the labels of a row as they are written.

        Raises:
            InputError: For a cell that is neither 0 nor 1, where each label has a column.
        """
        if self.one_hot:
            return [name for name in self.columns if _holds(row.get(name), name, origin)]
        value = decoded(row.get(self.columns[0]))
        if isinstance(value, str) and self.separator is not None:
            return _parts(value, self.separator)
        listed = value if isinstance(value, list) else [value]
        return [label for label in listed if label is not None and label != ""]


def several_labels(
    columns: Sequence[str], rows: Sequence[Row], settings: DataSettings, labels: Sequence[str] | None = None
) -> SeveralLabels | None:
    """Return how rows have several labels each; None where they have one class each, or none.

    Args:
        columns: The names of the columns.
        rows: The rows.
        settings: The separator and the columns of labels, where they are given.
        labels: The classes, where they are known already.
    """
    text, label = first_of(columns, TEXTS), first_of(columns, LABELS)
    first = list(islice(rows, LOOKED_AT))
    if text is None or _by_template(settings):
        return None
    if settings.label_columns is not None:
        return _given_columns(text, columns, settings.label_columns)
    if label is None:
        return _one_hot(text, columns, first, labels)
    values = [decoded(row.columns.get(label)) for row in first]
    if any(isinstance(value, list) for value in values):
        return SeveralLabels(text, (label,))
    if settings.label_separator is not None:
        separator = None if settings.label_separator == "none" else settings.label_separator
        return SeveralLabels(text, (label,), separator) if separator else None
    separator = _separator([value for value in values if isinstance(value, str)])
    if separator is None:
        return None
    why = "the same parts occur in several cells, so these are lists; --label_separator none if each is a class"
    return SeveralLabels(text, (label,), separator, False, (InferredSetting("label_separator", separator, why),))


def one_label(form: SeveralLabels, row: Mapping[str, Any], origin: Origin) -> Any:
    """Return the one label of a row.

    Raises:
        InputError: When it has none or several.
    """
    found = form.labels(row, origin)
    if len(found) != 1:
        what = f"has {listed_names(found)}" if found else "has none of the labels"
        raise InputError(f"this row {what}, and other rows have exactly one", where=str(origin))
    return found[0]


def written_labels(rows: Iterable[Row], form: SeveralLabels) -> Iterator[Any]:
    """Yield the labels of all rows that can be read."""
    for row in rows:
        with suppress(InputError):
            yield from form.labels(row.columns, row.origin)


def check_used(settings: DataSettings, mapping: ColumnMapping, example: Example) -> None:
    """Check that settings of labels are given only for rows with labels.

    Raises:
        InputError: When settings of labels are given, and the rows have no labels.
    """
    given = [
        name for name in ("label_names", "label_separator", "label_columns") if getattr(settings, name) is not None
    ]
    has_labels = mapping.labels is not None or mapping.names is not None or "tokens" in mapping.columns
    if given and isinstance(example, AnswerExample) and not has_labels:
        raise InputError(
            f"--{given[0]} is not used: rows of the form {mapping.kind} have no labels",
            remedy="omit it, or name the columns text and label",
        )


def _by_template(settings: DataSettings) -> bool:
    given = settings.text_template, settings.prompt_template, settings.column_mapping, settings.response_template
    return any(value is not None for value in given)


def _given_columns(text: str, columns: Sequence[str], given: Sequence[str]) -> SeveralLabels:
    absent = [name for name in given if name not in columns]
    if absent or len(given) < 2:
        what = f"no such columns: {listed_names(absent)}" if absent else "one column is a label column, not several"
        raise InputError(what, where="--label_columns", remedy=f"the columns are: {listed_names(columns)}")
    return SeveralLabels(text, tuple(given))


def _one_hot(
    text: str, columns: Sequence[str], rows: Sequence[Row], labels: Sequence[str] | None
) -> SeveralLabels | None:
    """Columns beside the text that have 0 and 1 alone; those of the classes, where these are known."""
    known = set(map(folded_label, labels or ()))
    if first_of(columns, SUMMARIES) is not None:
        return None
    found = tuple(name for name in columns if name != text and _is_label(name, rows, known))
    held = [sum(_flag(row.columns.get(name)) or 0 for name in found) for row in rows]
    if len(found) < 2 or (not known and (len(rows) < MIN_ROWS or not any(held))):
        return None
    if known or all(count == 1 for count in held):
        why = "columns of 0 and 1, one for each class: each row has exactly one"
        return SeveralLabels(text, found, None, True, (InferredSetting("class_columns", list(found), why),))
    why = "columns of 0 and 1, one for each label; a row can have any number of them"
    return SeveralLabels(text, found, None, False, (InferredSetting("label_columns", list(found), why),))


def _is_label(name: str, rows: Sequence[Row], known: Collection[str]) -> bool:
    if name in WEIGHTS:
        return False
    return folded_label(name) in known if known else _is_flags(row.columns.get(name) for row in rows)


def _is_flags(values: Iterable[Any]) -> bool:
    """Whether all values are 0 or 1, and not all 1, as weights may be."""
    flags = [_flag(value) for value in values]
    return None not in flags and 0 in flags


def _flag(value: Any) -> int | None:
    word = as_text(value).strip().casefold() if isinstance(value, (str, int, float)) else ""
    return 1 if word in _YES else 0 if word in _NO else None


def _holds(value: Any, name: str, origin: Origin) -> bool:
    flag = _flag(value)
    if flag is None:
        raise InputError(f"the column {name!r} of a label must be 0 or 1, not {value!r}", where=str(origin))
    return bool(flag)


def _separator(values: Sequence[str]) -> str | None:
    """The sign that clearly separates labels; None where it may belong to the names of classes."""
    return next((sign for sign in SEPARATORS if _separates(values, sign)), None)


def _separates(values: Sequence[str], sign: str) -> bool:
    """Whether the parts repeat as labels among the cells.

    There must be fewer different parts than different cells, and of the parts of cells with several, four in five must
    occur in another cell, too. So `Arts, Crafts` stays one class where neither `Arts` nor `Crafts` is in another.
    """
    cells = {frozenset(map(folded_label, _parts(value, sign))) for value in values} - {frozenset()}
    parts = Counter(part for cell in cells for part in cell)
    together = {part for cell in cells if len(cell) > 1 for part in cell}
    if not together or len(parts) >= len(cells) or any(len(part) > LONGEST_LABEL for part in parts):
        return False
    if sign == "," and not all(any(map(str.isalpha, part)) for part in parts):  # a decimal comma
        return False
    return sum(parts[part] > 1 for part in together) >= REPEATED * len(together)


def _parts(value: str, sign: str) -> list[str]:
    return [part.strip() for part in value.split(sign) if part.strip()]
