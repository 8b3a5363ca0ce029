"""All that is wrong with the rows of some files, said together: the first of each kind, and how many there are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from graft.errors import MOST_SAID, InputError, Problem, Problems

MOST_KINDS = 20
FEWEST_SAID = 3
"""Of a kind, when there are many."""
_VALUES = re.compile(r"[:(‹«\"'`…].*|\d[\d,.]*", re.DOTALL)
"""What differs between faults of one kind: numbers, and what stands behind a colon, a bracket or a quotation mark."""


class Faults(Problems):
    """What is wrong with rows while they are read and converted; of each kind only the first are kept."""

    def __init__(self) -> None:
        super().__init__()
        self._counts: Counter[str] = Counter()

    def add(self, what: str, where: object = "", remedy: str = "") -> None:
        """Count a fault, and keep it if it is one of the first of its kind; the arguments are those of ``Problem``."""
        self.take([Problem(what, str(where), remedy)])

    def take(self, problems: Iterable[Problem], where: str = "") -> None:
        """Count problems, and keep the first of each kind.

        Args:
            problems: What was found.
            where: The row, for those that name no place.
        """
        for problem in problems:
            kind = self._kind(problem)
            self._counts[kind] += 1
            if self._counts[kind] <= MOST_SAID:
                self.found.append(problem if problem.where else replace(problem, where=where))

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
        most = max(FEWEST_SAID, MOST_SAID // max(1, len(self._counts)))
        kept: dict[str, list[Problem]] = {}
        for problem in self.found:
            kept.setdefault(self._kind(problem), []).append(problem)
        return [said for kind, problems in kept.items() for said in self._shortened(problems[:most], kind)]

    def _shortened(self, problems: list[Problem], kind: str) -> list[Problem]:
        more = self._counts[kind] - len(problems)
        of_kind = f" of this kind: {kind}" if len(self._counts) > 1 and kind else " like these"
        return [*problems, Problem(f"and {more:,} more{of_kind}")] if more else problems

    def _kind(self, problem: Problem) -> str:
        kind = _VALUES.sub("", problem.what).strip()
        return kind if kind in self._counts or len(self._counts) < MOST_KINDS else ""
