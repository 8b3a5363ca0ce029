"""Rows of any reader with plain values, and names without the blanks around them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from graft.data.readers.base import Row
from graft.data.values import plain
from graft.errors import Problems

BYTE_ORDER_MARK = "\ufeff"


def plain_rows(rows: Iterable[Row], problems: Problems) -> Iterator[Row]:
    """Yield the rows with values as ``plain`` gives them, and the names of columns as ``bare_name`` does.

    Names that are the same without their blanks are a problem.
    """
    known: dict[tuple[str, ...], tuple[str, ...]] = {}
    for row in rows:
        names = tuple(row.columns)
        if names not in known:
            known[names] = tuple(bare_name(name) for name in names)
            _check_names(known[names], row, problems)
        yield Row(dict(zip(known[names], map(plain, row.columns.values()), strict=True)), row.origin)


def bare_name(name: object) -> str:
    """Return the name of a column without blanks and a byte-order mark around it."""
    return str(name).strip().strip(BYTE_ORDER_MARK).strip()


def _check_names(names: tuple[str, ...], row: Row, problems: Problems) -> None:
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        what = f"two columns have the same name but for the blanks around it: {', '.join(doubled)}"
        problems.add(what, str(row.origin), "rename one of them")
