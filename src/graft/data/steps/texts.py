"""Steps that change the texts of rows, at any depth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

from graft.data.cells import decoded
from graft.data.readers import Row
from graft.data.steps.base import Change, Sides, StepContext, each_row

Rewrite: TypeAlias = Callable[[str], str]


def each_text(
    sides: Sides, context: StepContext, step: str, why: str, rewrite: Callable[[Row], Rewrite | None]
) -> Sides:
    """Return the sides with the texts changed in the columns that are read, and log each change.

    Args:
        sides: The rows.
        context: How rows are read, and the log.
        step: The name of the step.
        why: The reason, in one clause.
        rewrite: The row -> what makes the new text of each of its texts; None leaves the row as it is.

    Raises:
        InputError: If the columns are not recognized.
    """
    mapping = context.mapping(sides["train"])
    read = sorted({*mapping.columns, *mapping.optional})

    def change(row: Row, side: str) -> Row:
        made = rewrite(row)
        if made is None:
            return row
        columns = dict(row.columns)
        for name in filter(row.columns.__contains__, read):
            changed = _changed(columns[name], name, made)
            for place, before, after in changed:
                context.log.add(Change(step, "changed", row.origin, side, why, place, before, after))
            if changed:
                columns[name] = _rewritten(columns[name], made)
        return replace(row, columns=columns)

    return each_row(sides, change)


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
