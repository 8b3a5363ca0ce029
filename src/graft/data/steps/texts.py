"""Steps that change the texts of rows, at any depth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

from graft.data.cells import decoded
from graft.data.label_column import LabelColumn
from graft.data.personal import shown_text
from graft.data.readers import Row
from graft.data.steps.base import Change, Sides, StepContext, each_row
from graft.data.steps.labels import label_column_of
from graft.errors import Problems

Rewrite: TypeAlias = Callable[[str], str]


def each_text(
    sides: Sides,
    context: StepContext,
    step: str,
    why: str | Callable[[str], str],
    rewrite: Callable[[Row], Rewrite | None],
    keep_labels_apart: bool = False,
) -> Sides:
    """Return the sides with the texts changed in the columns that are read, and log each change.

    Args:
        sides: The rows.
        context: How rows are read, and the log.
        step: The name of the step.
        why: The reason, in one clause; or the text before -> the reason.
        rewrite: The row -> what makes the new text of each of its texts; None leaves the row as it is.
        keep_labels_apart: Whether labels that differ must not become one: the step hides what tells them apart, where
            one that repairs texts finds that they are the same.

    Raises:
        InputError: If the columns are not recognized, or labels that must stay apart become one.
    """
    mapping = context.mapping(sides["train"])
    read = sorted({*mapping.columns, *mapping.optional})
    column = label_column_of(sides, context) if keep_labels_apart else None
    renamed: dict[str, set[str]] = {}

    def change(row: Row, side: str) -> Row:
        made = rewrite(row)
        if made is None:
            return row
        columns = dict(row.columns)
        for name in filter(row.columns.__contains__, read):
            changed = _changed(columns[name], name, made)
            for place, before, after in changed:
                said = why if isinstance(why, str) else why(before)
                context.log.add(Change(step, "changed", row.origin, side, said, place, before, after))
            if changed:
                columns[name] = _rewritten(columns[name], made)
        if column is not None:
            new = column.labels(columns)
            for number, label in enumerate(column.labels(row.columns)):
                renamed.setdefault(new[number] if number < len(new) else "", set()).add(label)
        return replace(row, columns=columns)

    rewritten = each_row(sides, change)
    if column is not None:
        _check_apart(renamed, column, step)
    return rewritten


def _check_apart(renamed: dict[str, set[str]], column: LabelColumn, step: str) -> None:
    """Check that no two labels became one.

    Args:
        renamed: Each label as it is now, and those that became it.
        column: Where they are.
        step: The name of the step.

    Raises:
        InputError: Naming each label that several became.
    """
    problems = Problems()
    for new, labels in renamed.items():
        if len(labels) > 1:
            problems.add(
                f"the step {step!r} would make one label, {shown_text(new)!r}, of {len(labels):,} in the column "
                f"{shown_text(column.name)!r}",
                remedy="rename these labels first: graft prepare DATA -o OUT --label_mapping OLD=NEW,…",
            )
    problems.raise_if_any()


def _changed(value: Any, place: str, rewrite: Rewrite) -> list[tuple[str, str, str]]:
    """The texts within a value that become others: where they are, as they were, and as they are to be."""
    if isinstance(value, str):
        after = rewrite(value)
        return [(place, value, after)] if after != value else []
    if isinstance(value, (list, tuple)):
        return [found for number, each in enumerate(value) for found in _changed(each, f"{place}[{number}]", rewrite)]
    if isinstance(value, dict):
        return [found for name, each in value.items() for found in _changed(each, f"{place}.{name}", rewrite)]
    return []


def _rewritten(value: Any, rewrite: Rewrite) -> Any:
    if isinstance(value, str):
        return rewrite(value)
    if isinstance(value, (list, tuple)):
        return [_rewritten(each, rewrite) for each in value]
    return {name: _rewritten(each, rewrite) for name, each in value.items()} if isinstance(value, dict) else value


def is_data(text: str) -> bool:
    """Return whether a text is a list or an object in JSON or as Python writes it, such as messages in a CSV cell."""
    return not isinstance(decoded(text), str)
