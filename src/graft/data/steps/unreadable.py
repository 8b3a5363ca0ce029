"""Rows that cannot be read, or that nothing can be trained on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from graft.data.columns import ColumnMapping
from graft.data.example import Origin
from graft.data.faults import Faults
from graft.data.quality import to_examples
from graft.data.readers import Row
from graft.data.spool import Spool
from graft.data.steps.base import Change, ChangeLog, Sides, StepContext
from graft.errors import InputError, Problem

NAME = "unreadable"
_PLACE = re.compile(r"\A(.+):(\d+)(?:: .*)?", re.DOTALL)


class DroppedRows(Faults):
    """What is wrong with rows, which are dropped for it: a change for each. What is not about a row is kept.

    Args:
        log: Takes the changes.
        side: The side of the rows; empty while files are read.
    """

    def __init__(self, log: ChangeLog, side: str = "") -> None:
        super().__init__()
        self.places: set[Origin] = set()
        self._log, self._side = log, side

    def take(self, problems: Iterable[Problem], where: str = "") -> None:
        """Log the rows that the problems are about, and keep the problems that are about none."""
        for problem in problems:
            place = _PLACE.fullmatch(problem.where or where)
            if place is None:
                super().take([problem], where)
                continue
            origin = Origin(place[1], int(place[2]))
            if origin not in self.places:
                self.places.add(origin)
                self._log.add(Change(NAME, "dropped", origin, self._side, problem.what))


def is_of_a_row(problem: Problem) -> bool:
    """Return whether a problem is about a row, and not about a file or the settings."""
    return _PLACE.fullmatch(problem.where) is not None


class Unreadable:
    """Rows that make no example are dropped; those that cannot even be parsed are, while the files are read."""

    name = NAME
    title = "drop rows that cannot be read, lack a column that is read, or have no answer"

    def apply(self, sides: Sides, context: StepContext) -> Sides:
        """Return the rows that can be trained on or judged.

        Raises:
            InputError: If the columns are not recognized, or something is wrong with the rows as a whole.
        """
        mapping = context.mapping(sides["train"])
        return {side: _readable(rows, side, mapping, context.log) for side, rows in sides.items()}


def _readable(rows: Sequence[Row], side: str, mapping: ColumnMapping, log: ChangeLog) -> Sequence[Row]:
    faults = DroppedRows(log, side)
    to_examples(rows, mapping, faults)
    if faults.places and len(faults.places) == len(rows):
        raise InputError(f"no row of the side {side!r} can be read", remedy="graft doctor says what is wrong with them")
    faults.raise_if_any()
    return Spool(row for row in rows if row.origin not in faults.places) if faults.places else rows
