"""Rows of any reader with plain values, and names without the blanks around them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from graft.data.features import Feature, named
from graft.data.readers.base import Row
from graft.data.values import listed_names, plain
from graft.errors import InputError, Problems

BYTE_ORDER_MARK = "\ufeff"


Naming: TypeAlias = Callable[[tuple[str, ...]], tuple[str, ...]]
"""The names of a row's columns in the file -> those by which they are read."""


MOST_COLUMNS = 10_000
NAMES_KEPT = 1000
"""Different sets of columns whose names are remembered."""


def bare_name(name: object) -> str:
    """Return the name of a column without blanks and a byte-order mark around it."""
    return str(name).strip().strip(BYTE_ORDER_MARK).strip()


def bare_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of columns as ``bare_name`` does."""
    return tuple(map(bare_name, names))


def plain_rows(rows: Iterable[Row], problems: Problems, naming: Naming = bare_names) -> Iterator[Row]:
    """Yield the rows with values as ``plain`` gives them, and their columns as ``naming`` calls them.

    Two columns of a row that are called the same are a problem, once for all rows with these columns.
    """
    known: dict[tuple[str, ...], tuple[str, ...]] = {}
    for row in rows:
        names = tuple(row.columns)
        try:
            if names not in known:
                if len(known) == NAMES_KEPT:
                    known.clear()
                check_count(names, str(row.origin))
                known[names] = naming(names)
                _check_names(names, known[names], str(row.origin), problems)
            columns = dict(zip(known[names], map(plain, row.columns.values()), strict=True))
        except InputError as error:
            for problem in error.problems:
                problems.add(problem.what, problem.where or str(row.origin), problem.remedy)
            continue
        yield Row(columns, row.origin, row.split)


def with_class_names(rows: Iterable[Row], features: Mapping[str, Feature]) -> Iterator[Row]:
    """Yield the rows with the names of classes in place of their numbers, as ``features`` has them by column."""
    for row in rows:
        columns = {name: named(value, features.get(name)) for name, value in row.columns.items()}
        yield Row(columns, row.origin, row.split)


def check_count(names: Sequence[str], where: str) -> None:
    """Check the number of columns.

    Raises:
        InputError: For more than ``MOST_COLUMNS``.
    """
    if len(names) > MOST_COLUMNS:
        what = f"{len(names):,} columns; at most {MOST_COLUMNS:,} are supported"
        raise InputError(what, where=where, remedy="store similar columns as one list, or remove columns")


def _check_names(written: tuple[str, ...], names: tuple[str, ...], where: str, problems: Problems) -> None:
    doubled = {name for name, count in Counter(names).items() if count > 1}
    if doubled:
        same = listed_names(repr(word) for word, name in zip(written, names, strict=True) if name in doubled)
        problems.add(f"these columns would have the same name: {same}", where, "rename or remove one of them")
