"""All that is wrong with the rows of some files, by kind: the first faults, and the places of all."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from graft.data.example import Origin
from graft.data.located import Located
from graft.data.personal import masked
from graft.errors import MOST_SAID, InputError, Problem, Problems

MOST_KINDS = 20
FEWEST_SAID = 3
"""Of a kind, when there are many."""
LONGEST_NUMBER = 12
"""Digits of the number of a line."""
_VALUES = re.compile(r", got .*|[:(‹«\"'`…].*|\d[\d,.]*", re.DOTALL)
"""What differs between faults of one kind: numbers, and what follows a colon, a bracket, a quotation mark or "got"."""


@dataclass
class FaultKind:
    """Faults that differ in their values only.

    Attributes:
        name: What is wrong, without values; empty for what belongs to no other kind.
        count: The number of faults.
        first: The first of them.
        rows: The places of all that name a file and a line.
    """

    name: str
    count: int = 0
    first: list[Problem] = field(default_factory=list)
    rows: Located = field(default_factory=Located)

    @property
    def said(self) -> str:
        """What is wrong, in words: the name where it is a clause by itself, else the first fault as it is."""
        first = self.first[0].what
        is_clause = first.startswith(self.name) and len(self.name.split()) > 2
        return self.name if is_clause or not self.name else first


class Faults(Problems):
    """What is wrong with rows while they are read and converted; of each kind only the first are kept in full."""

    def __init__(self) -> None:
        super().__init__()
        self._kinds: dict[str, FaultKind] = {}

    @property
    def kinds(self) -> list[FaultKind]:
        """The faults by kind, in the order in which they were found."""
        return list(self._kinds.values())

    def add(self, what: str, where: object = "", remedy: str = "") -> None:
        """Count a fault, and keep it if it is one of the first of its kind; the arguments are those of ``Problem``."""
        self.take([Problem(what, str(where), remedy)])

    def take(self, problems: Iterable[Problem], where: str = "") -> None:
        """Count problems, and keep the first of each kind, with personal data in the values of rows masked.

        Args:
            problems: What was found.
            where: The row, for those that name no place.
        """
        for problem in problems:
            placed = replace(problem, what=masked(problem.what), where=problem.where or where)
            kind = self._kind(problem)
            kind.count += 1
            origin = _origin(placed.where)
            if origin is not None:
                kind.rows.add(origin)
            if len(kind.first) < MOST_SAID:
                kind.first.append(placed)
                self.found.append(placed)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, InputError):
            return False
        self.take(error.problems)
        return True

    def raise_if_any(self) -> None:
        """End with the faults that were found, if any were.

        Raises:
            InputError: with the first faults of each kind, and how many there are besides, when there are any.
        """
        if self.found:
            raise InputError(*self.said())

    def said(self) -> list[Problem]:
        """Return the faults that are named, kind by kind, each with the number of those that are not."""
        most = max(FEWEST_SAID, MOST_SAID // max(1, len(self._kinds)))
        return [said for kind in self._kinds.values() for said in self._shortened(kind, most)]

    def _shortened(self, kind: FaultKind, most: int) -> list[Problem]:
        problems = kind.first[:most]
        more = kind.count - len(problems)
        of_kind = f" of this kind: {kind.said}" if len(self._kinds) > 1 and kind.name else " like these"
        return [*problems, Problem(f"and {more:,} more{of_kind}")] if more else problems

    def _kind(self, problem: Problem) -> FaultKind:
        name = _VALUES.sub("", problem.what).strip()
        name = name if name in self._kinds or len(self._kinds) < MOST_KINDS else ""
        return self._kinds.setdefault(name, FaultKind(name))


def _origin(where: str) -> Origin | None:
    """The place that ``rows.jsonl:12`` names."""
    file, _, line = where.rpartition(":")
    return (
        Origin(file, int(line)) if file and line.isascii() and line.isdigit() and len(line) < LONGEST_NUMBER else None
    )
