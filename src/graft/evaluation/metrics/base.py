"""A metric as sufficient statistics: numbers a row, whose sums over any rows give the value.

So the bootstrap resamples rows by weighting them, and a corpus metric such as BLEU or macro-F1 costs no more than a
mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from graft.inference.predictor import CompletionScore

Array = NDArray[np.float64]
Need = Literal["generation", "choice", "likelihood"]


@dataclass(frozen=True)
class Outcome:
    """What a predictor made of n rows; what no metric needs is None."""

    references: Sequence[str]
    answers: Sequence[str] | None = None
    choices: Sequence[str] | None = None
    labels: Sequence[str] | None = None
    scores: Sequence[CompletionScore] | None = None


@dataclass(frozen=True)
class Metric:
    """``statistics``: an outcome -> (n, k); ``value``: sums (samples, k) -> values (samples)."""

    name: str
    needs: Need
    statistics: Callable[[Outcome], Array]
    value: Callable[[Array], Array]
    higher_is_better: bool = True
    by_class: Callable[[Outcome], dict[str, dict[str, Any]]] | None = None
    """Precision, recall, F1 and support of each class, where the metric has any."""

    def rows(self, outcome: Outcome) -> list[float]:
        """The value of each row by itself."""
        return [round(float(value), 4) for value in self.value(self.statistics(outcome))]


def ratio(sums: Array) -> Array:
    """First column over second; 0 where there is nothing."""
    return np.divide(sums[:, 0], sums[:, 1], out=np.zeros(len(sums)), where=sums[:, 1] != 0)


def mean_metric(name: str, needs: Need, score: Callable[[str, str], float]) -> Metric:
    """The mean over rows of ``score(reference, answer)``."""

    def statistics(outcome: Outcome) -> Array:
        answers = outcome.choices if needs == "choice" else outcome.answers
        assert answers is not None
        pairs = zip(outcome.references, answers, strict=True)
        return np.array([[score(reference, answer), 1.0] for reference, answer in pairs])

    return Metric(name, needs, statistics, ratio)


def own_metric(name: str, function: Callable[[Sequence[str], Sequence[str]], Any]) -> Metric:
    """A user's function of references and answers that gives a number a row."""
    from graft.errors import InputError

    def statistics(outcome: Outcome) -> Array:
        assert outcome.answers is not None
        numbers = np.asarray(function(list(outcome.references), list(outcome.answers)), dtype=float)
        if numbers.shape != (len(outcome.references),):
            raise InputError(
                f"the metric {name} gave {numbers.shape} numbers for {len(outcome.references)} rows",
                remedy="it takes (references, answers) and returns a list with one number for each row",
            )
        return np.stack([numbers, np.ones(len(numbers))], axis=1)

    return Metric(name, "generation", statistics, ratio)
