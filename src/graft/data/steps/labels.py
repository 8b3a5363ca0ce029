"""Labels in one form: spellings that mean the same, and those that a mapping names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias, overload

from pydantic import BeforeValidator

from graft.config import Settings, setting
from graft.data.classes import folded_label
from graft.data.columns import ColumnMapping
from graft.data.example import Example
from graft.data.label_column import LabelColumn, find_label_column
from graft.data.personal import shown_text
from graft.data.pipeline import find_labels
from graft.data.readers import Row
from graft.data.steps.base import Change, Sides, StepContext, each_row
from graft.documents import is_deep, parse_yaml, read_text, shown
from graft.errors import InputError, Problems, did_you_mean


def _as_mapping(value: Any) -> Any:
    """Read ``old=new,…`` as a mapping; the name of a file stays as it is."""
    if not isinstance(value, str) or "=" not in value:
        return value
    parts = [part.partition("=") for part in value.split(",") if part.strip()]
    return {old.strip(): new.strip() for old, _, new in parts}


Written: TypeAlias = dict[str, tuple[str, Any]]
"""By folded label: the label, and the value of its column."""
LabelMapping = Annotated[dict[str, str] | str, BeforeValidator(_as_mapping)]


class Labels:
    """Labels that differ in letter case, blanks or the form of Unicode are written in one way, others as mapped."""

    name = "labels"
    title = "unify the spelling of each label"
    safe = True

    class Config(Settings):
        """Which labels become others."""

        label_mapping: LabelMapping | None = setting(
            None, "labels to rename, as OLD=NEW,… or a JSON or YAML file with a mapping"
        )

    def check(self, config: Config) -> None:
        """Check the mapping.

        Raises:
            InputError: If its file cannot be read, or it is none.
        """
        read_mapping(config.label_mapping)

    def apply(self, sides: Sides, context: StepContext) -> Sides:
        """Return the rows with labels as most rows write them, or as the mapping says.

        Raises:
            InputError: If the mapping names labels that no row has, or rows have no labels.
        """
        given = read_mapping(context.config.label_mapping)
        column = label_column_of(sides, context)
        if column is None:
            if given:
                raise InputError("--label_mapping: these rows have no labels", remedy="omit it")
            return sides
        counts = Counter(label for rows in sides.values() for row in rows for label in column.labels(row.columns))
        names = _names(counts, given)
        unmatched = sorted(set(given) - set(map(folded_label, counts)))
        if unmatched:
            listed = ", ".join(_with_nearest(old, given[old], counts) for old in unmatched)
            context.reporter.note(f"--label_mapping: no row has these labels: {listed}")

        def change(row: Row, side: str) -> Row:
            columns = column.changed(row.columns, lambda label: names.get(label, label))
            if columns == row.columns:
                return row
            before, after = (", ".join(column.labels(each)) for each in (row.columns, columns))
            mapped = any(folded_label(label) in given for label in column.labels(row.columns))
            why = "as the label mapping says" if mapped else "the label as most rows write it"
            context.log.add(Change(self.name, "changed", row.origin, side, why, column.name, before, after))
            return Row(columns, row.origin)

        return each_row(sides, change)


def label_column_of(sides: Sides, context: StepContext) -> LabelColumn | None:
    """Return the column with the labels of the training rows; None where answers are no classes, labels, or tags."""
    rows = sides["train"]
    if not len(rows):
        return None
    try:
        mapping = context.mapping(rows)
        examples = _Converted(rows, mapping)
        column = find_label_column(rows, mapping)
        if column is None or column.kind != "class":
            return column
        return column if mapping.labels or find_labels(examples) else None
    except InputError:  # what cannot be read as examples has no labels that are known
        return None


class _Converted(Sequence[Example]):
    """The examples of rows, made while they are looked at."""

    def __init__(self, rows: Sequence[Row], mapping: ColumnMapping) -> None:
        self._rows, self._mapping = rows, mapping

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Example]:
        needed = self._mapping.columns
        rows = (row for row in self._rows if all(row.columns.get(name) is not None for name in needed))
        return (example for row in rows for example in self._mapping.convert(row.columns, row.origin))

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | Sequence[Example]:
        if isinstance(index, slice):
            raise TypeError("examples of rows are made one by one")
        return self._mapping.convert(self._rows[index].columns, self._rows[index].origin)[0]


def read_mapping(given: Mapping[str, str] | str | None) -> dict[str, str]:
    """Return a mapping of folded labels to names.

    Args:
        given: The mapping, or a JSON or YAML file that holds it.

    Raises:
        InputError: If the file cannot be read, or holds something else.
    """
    if given is None:
        return {}
    found: Any = given
    if isinstance(given, str):
        found = parse_yaml(read_text(Path(given).expanduser()), given, "write a line for each: OLD: NEW")
    if not isinstance(found, Mapping) or is_deep(found, 1) or not all(isinstance(new, str) for new in found.values()):
        what = f"expected a mapping of labels to labels, not {shown(found)}"
        raise InputError(what, where="--label_mapping", remedy="--label_mapping positve=positive,pos=positive")
    return {folded_label(str(old)): new for old, new in found.items()}


def _names(counts: Counter[str], given: Mapping[str, str]) -> dict[str, str]:
    """The name of each label as it is written.

    Raises:
        InputError: Naming the labels of the mapping that no row has.
    """
    spelled: dict[str, str] = {}
    for label, _ in sorted(counts.items(), key=lambda item: -item[1]):
        spelled.setdefault(folded_label(label), label)
    _check_known(given, spelled)
    names = {label: spelled[folded_label(label)] for label in counts}
    return {label: given.get(folded_label(label), name) for label, name in names.items()}


def _with_nearest(old: str, new: str, labels: Iterable[str]) -> str:
    """A label that no row has, with the nearest one that rows have, besides the one that it would become."""
    near = did_you_mean(old, [label for label in labels if folded_label(label) != folded_label(new)])
    return f"{shown_text(old)} ({shown_text(near)})" if near else shown_text(old)


def _check_known(given: Mapping[str, str], spelled: Mapping[str, str]) -> None:
    problems = Problems()
    for old, new in given.items():
        if old not in spelled and folded_label(new) not in spelled:  # after it has run, only the new one is there
            problems.add(f"no row has the label {shown_text(old)!r}", "--label_mapping", did_you_mean(old, spelled))
    problems.raise_if_any()


def relabeled(column: LabelColumn, columns: Mapping[str, Any], new: str, written: Written) -> dict[str, Any]:
    """Return the columns of a row with another label, written as the rows that have it write it.

    Args:
        column: The column with the label.
        columns: The columns of the row.
        new: The name of the class.
        written: What ``written_values`` returns.
    """
    _, value = written.get(folded_label(new), (new, new))
    if isinstance(value, (str, int, float)) and not isinstance(columns.get(column.name), (list, tuple)):
        return {**columns, column.name: value}
    return column.changed(columns, lambda _: new)


def written_values(column: LabelColumn, rows: Iterable[Row]) -> Written:
    """Return the label and the value of the first row that has it, by the folded label."""
    found: Written = {}
    for row in rows:
        for label in column.labels(row.columns)[:1]:
            found.setdefault(folded_label(label), (label, row.columns[column.name]))
    return found
