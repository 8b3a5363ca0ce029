"""Which trials are stopped early: asynchronous successive halving (ASHA; Li et al. 2020, arXiv:1810.05934).

A trial is measured at rungs, at fixed shares of its training. It goes on where it is among the best 1/ETA of those
that were measured there before it. A trial is compared with trials of lower numbers alone, whatever runs beside it, so
that a study makes the same decisions in one process, in several, and when it is resumed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from graft.search.board import Board

ETA = 4
"""Of so many trials that reach a rung, one goes on."""
RUNGS = (1 / 16, 1 / 4)
"""The shares of a training after which it is measured. With ETA 4, 20 trials take about four times one training."""
SECONDS_BETWEEN = 0.2
"""How often a trial looks whether those that it waits for have reached its rung."""


def rung_steps(steps: int, warmup: int) -> dict[int, int]:
    """Return the rungs of a training by step; those within the warm-up come after it, and short trainings have fewer.

    Args:
        steps: The optimizer steps of the training.
        warmup: The steps in which the learning rate rises.
    """
    found: dict[int, int] = {}
    for rung, share in enumerate(RUNGS):
        step = max(math.ceil(share * steps), warmup + 1)
        if step < steps:
            found.setdefault(step, rung)
    return found


def falls_behind(score: float, others: Collection[float], greater_is_better: bool) -> bool:
    """Whether ``score`` is not among the best ``1 / ETA`` of itself and ``others``, nor the best; a tie goes to others.

    A score that is no number falls behind, and such others do not count.
    """
    if math.isnan(score):
        return True
    sign = -1.0 if greater_is_better else 1.0
    known = [other for other in others if not math.isnan(other)]
    before = sum(sign * other <= sign * score for other in known)
    return before >= max(1, (len(known) + 1) // ETA)


@dataclass
class Pruner:
    """Decides at each rung of one trial whether it is stopped; called with its steps and scores.

    Attributes:
        number: The trial's number.
        before: The trials with lower numbers that run.
        board: The scores of all trials.
        steps: The rungs by step.
        greater_is_better: Whether greater scores are better.
        prunes: Whether the trial may be stopped; its scores are posted in any case.
        history: The scores so far, by step.
    """

    number: int
    before: tuple[int, ...]
    board: Board
    steps: Mapping[int, int]
    greater_is_better: bool
    prunes: bool = True
    history: list[tuple[int, float]] = field(default_factory=list)

    def __call__(self, step: int, score: float) -> bool:
        """Note the score; at a rung, post it and return whether the trial falls behind."""
        self.history.append((step, score))
        rung = self.steps.get(step)
        if rung is None:
            return False
        self.board.post(self.number, rung, score)
        if not self.prunes:
            return False
        scores = self._awaited(rung)
        others = [scores[number] for number in self.before if number in scores]
        return falls_behind(score, others, self.greater_is_better)

    def _awaited(self, rung: int) -> Mapping[int, float]:
        """The scores at ``rung``, once every trial of a lower number has one there or ended without."""
        while True:
            ended = self.board.ended()  # before the scores: a trial posts its last one before it ends
            scores = self.board.scores(rung)
            if all(number in scores or number in ended for number in self.before):
                return scores
            time.sleep(SECONDS_BETWEEN)
