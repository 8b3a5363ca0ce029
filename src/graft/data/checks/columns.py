"""Rows with other columns than most, and columns with values of several types."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from graft.data.checks.base import Finding
from graft.data.checks.spotted import Spotted, counted_rows
from graft.data.checks.view import CheckedData, Side
from graft.data.personal import shown_text
from graft.data.readers import Row
from graft.data.values import listed_names, plain

_MOST_SETS = 1000
"""Different sets of columns that are counted."""


class Columns:
    """Rows with other columns than most, and values of another type than most of their column."""

    name = "columns"
    title = "Columns and types"

    def examine(self, data: CheckedData, config: Any) -> Iterator[Finding]:
        """Yield a finding for rows with other columns, and one for each column with several types."""
        read = data.read_columns() or frozenset()
        for side in data.own_sides:
            usual = _usual(side.rows)
            yield from _other_columns(side, usual, read)
            yield from _other_types(side, read or frozenset(usual))


def _usual(rows: Iterable[Row]) -> tuple[str, ...]:
    """The columns that most rows have."""
    counts: Counter[tuple[str, ...]] = Counter()
    for row in rows:
        names = tuple(row.columns)
        if names in counts or len(counts) < _MOST_SETS:
            counts[names] += 1
    return max(counts, key=lambda names: counts[names], default=())


def _other_columns(side: Side, usual: tuple[str, ...], read: frozenset[str]) -> Iterator[Finding]:
    expected, spotted, differing = set(usual), Spotted(), Counter[str]()
    for row in side.rows:
        if row.columns.keys() != expected:
            lacking, more = expected - row.columns.keys(), row.columns.keys() - expected
            differing.update(chain(lacking, more))
            spotted.add(row.origin, _said(lacking, more))
    if len(spotted):
        touched = sorted(read & differing.keys())
        yield Finding(
            "mixed_columns",
            "warning" if touched else "note",
            f"{counted_rows(len(spotted), 'has', 'have')} other columns than most",
            spotted.rows,
            why=f"{listed_names(touched)} {'is' if len(touched) == 1 else 'are'} read, but some rows lack "
            f"{'it' if len(touched) == 1 else 'them'}"
            if touched
            else "none of the columns in which they differ is read",
            remedy="check that rows of several sources were not mixed; name the columns alike",
            evidence=tuple(spotted.evidence),
            figures={shown_text(name): count for name, count in differing.most_common(20)},
            side=side.name,
        )


def _said(lacking: Iterable[str], more: Iterable[str]) -> str:
    parts = {"lacks": sorted(lacking), "has": sorted(more)}
    return ", ".join(f"{verb} {shown_text(listed_names(names))}" for verb, names in parts.items() if names)


def _other_types(side: Side, read: frozenset[str]) -> Iterator[Finding]:
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in side.rows:
        for name in read & row.columns.keys():
            counts[name][_type(row.columns[name])] += 1
    usual = {}
    for name, found in counts.items():
        found.pop("nothing", None)
        if len(found) > 1:
            usual[name] = found.most_common(1)[0][0]
    spotted: defaultdict[str, Spotted] = defaultdict(Spotted)
    for row in side.rows if usual else ():
        for name, expected in usual.items():
            kind = _type(row.columns.get(name))
            if kind not in {expected, "nothing"}:
                spotted[name].add(row.origin, f"{kind}: {shown_text(str(row.columns[name]))}")
    for name, rows in sorted(spotted.items()):
        yield Finding(
            "mixed_types",
            "warning",
            f"{counted_rows(len(rows), 'has', 'have')} no {usual[name]} in the column {shown_text(name)}",
            rows.rows,
            why=f"the other rows have one: {', '.join(f'{count:,} × {kind}' for kind, count in counts[name].items())}",
            remedy="write these values as the others are, or remove these rows",
            evidence=tuple(rows.evidence),
            figures=dict(counts[name]),
            side=side.name,
        )


def _type(value: Any) -> str:
    """The type of a value in the words of JSON."""
    if isinstance(value, str):
        return "text"
    value = plain(value)
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "truth value"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, list):
        return "list"
    return "object" if isinstance(value, dict) else "other value"
