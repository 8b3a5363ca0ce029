"""Rows without the columns that the user left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

from graft.data.readers import Row
from graft.data.values import listed_names
from graft.errors import InputError, Problems, did_you_mean


class Without(Sequence[Row]):
    """Rows as if some columns were not there.

    Attributes:
        rows: The rows with all their columns.
    """

    def __init__(self, rows: Sequence[Row], columns: Sequence[str]) -> None:
        self.rows, self._columns = rows, frozenset(columns)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return map(self._less, self.rows)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        if isinstance(index, slice):
            return Without(self.rows[index], tuple(self._columns))
        return self._less(self.rows[index])

    def _less(self, row: Row) -> Row:
        return Row({name: value for name, value in row.columns.items() if name not in self._columns}, row.origin)


def without_columns(rows: Sequence[Row], columns: Sequence[str] | None) -> Sequence[Row]:
    """Return ``rows`` as if these columns were not there."""
    return Without(rows, columns) if columns else rows


def check_ignored(rows: Sequence[Row], columns: Sequence[str] | None) -> None:
    """Check that the ignored columns exist.

    Raises:
        InputError: For each of ``columns`` that no row has: the name is wrong.
    """
    whole = rows.rows if isinstance(rows, Without) else rows
    left, there = set(columns or ()), dict.fromkeys(whole[0].columns) if columns else {}
    for row in whole if left else ():
        left -= row.columns.keys()
        if not left:
            return
        there.update(dict.fromkeys(row.columns))
    problems = Problems()
    for name in sorted(left):
        problems.add(
            f"no row has the column {name!r}; there are: {listed_names(there)}",
            "--ignore_columns",
            did_you_mean(name, there),
        )
    if problems:
        raise InputError(*problems.found)
