"""Columns that no prompt and no answer comes from, kept so that rows can be evaluated by them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from graft.data.example import as_text
from graft.data.readers import Row
from graft.data.rows import COLUMNS
from graft.data.values import listed_names, nothing
from graft.errors import InputError, Problem, did_you_mean

LONGEST = 80
"""Characters of a value; slices by longer texts would be of one row each."""


def kept_values(columns: Mapping[str, Any], names: Sequence[str]) -> dict[str, str | None]:
    """Return the values of these columns as texts; None where a row has none."""
    found = all_columns(columns)
    return {name: None if nothing(found.get(name)) else _short(as_text(found[name]).strip()) for name in names}


def all_columns(columns: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the columns of a row, with those that a run kept beside its prompt and completion."""
    kept = columns.get(COLUMNS)
    return {**kept, **columns} if isinstance(kept, Mapping) else columns


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def check_kept(rows: Sequence[Row], names: Sequence[str]) -> None:
    """Check that some row has each of these columns.

    Raises:
        InputError: For each that no row has, with the nearest that there is.
    """
    if not names:
        return
    left, there = dict.fromkeys(names), dict[str, None]()
    for row in rows:
        columns = all_columns(row.columns)
        there.update(dict.fromkeys(columns))
        left = {name: None for name in left if name not in columns}
        if not left:
            return
    raise missing_columns(left, there)


def missing_columns(names: Iterable[str], there: Iterable[str], where: str = "--by", remedy: str = "") -> InputError:
    """Return the error for columns to evaluate by that no row has.

    Args:
        names: The columns.
        there: Those that rows have.
        where: The option, or where the rows are.
        remedy: What to do where no column has a similar name.
    """
    known = list(there)
    said = listed_names(known) or "none"
    return InputError(
        *[
            Problem(f"no row has the column {name!r}; there are: {said}", where, did_you_mean(name, known) or remedy)
            for name in names
        ]
    )
