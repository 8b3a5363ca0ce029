"""A judgment as the statistics see it, and judgments as arrays."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Outcome = Literal["first", "second", "tie", "both_bad"]


@dataclass(frozen=True)
class Vote:
    """What a rater said of two answers to a row.

    Attributes:
        row: The row.
        rater: Who judged it.
        first: The model of one answer.
        second: The model of the other answer.
        outcome: Which is better, or that neither is: ``tie``, or ``both_bad``.
        first_was_left: Whether the answer of ``first`` stood on the left.
    """

    row: str
    rater: str
    first: str
    second: str
    outcome: Outcome
    first_was_left: bool = True

    def of(self, first: str) -> Vote:
        """Return the same vote with ``first`` as its first model, which is one of the two."""
        if first == self.first:
            return self
        swapped: dict[str, Outcome] = {"first": "second", "second": "first"}
        outcome = swapped.get(self.outcome, self.outcome)
        return Vote(self.row, self.rater, self.second, self.first, outcome, not self.first_was_left)

    @property
    def is_decided(self) -> bool:
        """Whether one answer was called better."""
        return self.outcome in ("first", "second")


def numbered(names: Iterable[Hashable]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return for each name the number of its first appearance among the distinct ones."""
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(name, len(known)) for name in names], dtype=np.int64)


def between(votes: Sequence[Vote], first: str, second: str) -> list[Vote]:
    """Return the votes on two models, all with ``first`` as the first of them."""
    return [vote.of(first) for vote in votes if {vote.first, vote.second} == {first, second}]


def pairs_of(votes: Sequence[Vote], models: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs of models that were compared, in the order of ``models``."""
    there = {frozenset((vote.first, vote.second)) for vote in votes}
    every = ((one, other) for place, one in enumerate(models) for other in models[place + 1 :])
    return [pair for pair in every if frozenset(pair) in there]
