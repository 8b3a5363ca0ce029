"""The changed rows as the page lists them: the first of each kind, and the others folded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graft.report.format import signed
from graft.report.row_changes import Change, Changes

FIRST = 20
"""Rows of a kind that are shown; the others are folded."""
MOST = 200
"""Maximum number of rows of a kind on the page; predictions.jsonl has all."""
TONES = {"fixed": "good", "improved": "good", "broken": "bad", "worsened": "bad"}


@dataclass(frozen=True)
class ChangeList:
    """A kind of change: its title in the tally, the verb in a sentence, the style, and how many rows there are."""

    title: str
    name: str
    kind: str
    tone: str
    total: int
    rest: int


@dataclass(frozen=True)
class ChangedRow:
    """A row: its place in the file and among the changes, its kind and style, and by how much its metric changed."""

    change: Change
    rank: int
    kind: str
    tone: str
    gain: str

    @property
    def place(self) -> int:
        """Where it is among the evaluated rows."""
        return self.change.place


@dataclass(frozen=True)
class ChangedRows:
    """All changed rows: those shown at once, those folded, and the number of those that are not on the page."""

    total: int
    first: Sequence[ChangedRow]
    rest: Sequence[ChangedRow]
    missing: int


def change_lists(changes: Changes) -> list[ChangeList]:
    """Return the two kinds of changes, the good one first."""
    kinds = (("Fixed", "fixed", "fixed"), ("Broken", "broke", "broken"))
    if not changes.binary:
        kinds = (("Improved", "improved", "improved"), ("Worsened", "worsened", "worsened"))
    return [
        ChangeList(title, name, kind, TONES[kind], len(rows), len(rows[FIRST:MOST]))
        for (title, name, kind), rows in zip(kinds, (changes.fixed, changes.broken), strict=True)
    ]


def changed_rows(changes: Changes) -> ChangedRows:
    """Return the rows of both kinds in one order: the largest change first, and rows that changed alike by place."""
    kinds = ("fixed", "broken") if changes.binary else ("improved", "worsened")
    marked = [
        (change, kind)
        for kind, rows in zip(kinds, (changes.fixed, changes.broken), strict=True)
        for change in rows[:MOST]
    ]
    marked.sort(key=lambda pair: (-abs(pair[0].gain), pair[0].place))
    found = [_row(change, kind, rank, changes) for rank, (change, kind) in enumerate(marked)]
    seen = dict.fromkeys(kinds, 0)
    first: list[ChangedRow] = []
    rest: list[ChangedRow] = []
    for row in found:
        seen[row.kind] += 1
        (first if seen[row.kind] <= FIRST else rest).append(row)
    total = len(changes.fixed) + len(changes.broken)
    return ChangedRows(total, first, rest, total - len(found))


def _row(change: Change, kind: str, rank: int, changes: Changes) -> ChangedRow:
    value = -change.gain if changes.metric.lower_is_better else change.gain
    return ChangedRow(change, rank, kind, TONES[kind], "" if changes.binary else signed(changes.metric, value))
