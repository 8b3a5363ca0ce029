"""The contract of a metric: numbers for each row, whose sums over any rows give the metric's value.

The bootstrap resamples rows by weighting these sums, so a corpus metric such as BLEU or macro-F1 costs no more than a
mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.errors import GraftError, Problem, Problems
from graft.evaluation.normalization import normalized
from graft.inference.predictor import CompletionScore
from graft.registry import place_in_extension
from graft.runs.metric_info import Direction, MetricInfo, Need

__all__ = ["Array", "Direction", "Metric", "MetricFailure", "Need", "Predictions", "mean_metric", "ratio"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Predictions:
    """The predictions for n rows. Fields that no metric needs are None.

    Attributes:
        references: The reference answers; of several right ones the first.
        answers: The generated answers.
        choices: The most likely label of each row; of a predictor that gives no likelihoods the label that it answered,
            or an empty text where it answered none.
        labels: The labels to choose from.
        scores: The likelihood of each reference.
        candidate_scores: The likelihood of each completion that was scored, row by row: of every label, or without
            labels of the reference alone.
        alternatives: The further right answers of each row; None where each row has one.
    """

    references: Sequence[str]
    answers: Sequence[str] | None = None
    choices: Sequence[str] | None = None
    labels: Sequence[str] | None = None
    scores: Sequence[CompletionScore] | None = None
    candidate_scores: Sequence[Sequence[CompletionScore]] | None = None
    alternatives: Sequence[Sequence[str]] | None = None

    @property
    def accepted(self) -> list[tuple[str, ...]]:
        """All right answers of each row, the reference first."""
        if self.alternatives is None:
            return [(reference,) for reference in self.references]
        pairs = zip(self.references, self.alternatives, strict=True)
        return [(reference, *others) for reference, others in pairs]

    def take(self, rows: Sequence[int]) -> Predictions:
        """Return the predictions for some rows, by their places."""
        every = {name: getattr(self, name) for name in BY_ROW}
        taken: dict[str, Any] = {name: all_ and [all_[row] for row in rows] for name, all_ in every.items()}
        return replace(self, **taken)

    def normalized(self, steps: Sequence[str]) -> Predictions:
        """Return the predictions with what ``steps`` name taken out of references and answers."""
        clean = partial(normalized, steps=steps)
        answers = None if self.answers is None else list(map(clean, self.answers))
        others = None if self.alternatives is None else [list(map(clean, row)) for row in self.alternatives]
        return replace(self, references=list(map(clean, self.references)), answers=answers, alternatives=others)


BY_ROW = ("references", "answers", "choices", "scores", "candidate_scores", "alternatives")
"""The fields of ``Predictions`` that have a value for each row."""


class MetricFailure(GraftError):
    """A metric of the user's own cannot be computed; what else was measured stays.

    Attributes:
        rows: The places of the rows that it fails on, from 0; empty where it is not for single rows.
    """

    def __init__(self, what: str, where: str = "", remedy: str = "", rows: Sequence[int] = ()) -> None:
        super().__init__(Problem(what, where, remedy))
        self.rows = tuple(rows)


@dataclass(frozen=True, kw_only=True)
class Metric(MetricInfo):
    """A metric: its description (``MetricInfo``), and how it is computed.

    Attributes:
        statistics: Predictions of n rows to an array of shape (n, k). Column sums over any rows are all that ``value``
            needs.
        value: Sums of shape (samples, k) to values of shape (samples,).
        by_class: Precision, recall, F1 and support of each class, for a metric that has classes.
        aliases: Other names that users may type.
        fitted: Makes the metric for the references of an evaluation, such as with the tokenizer for their script.
        reference: How a user's own metric was named: ``path/to/file.py:name`` or ``name=costs.csv``. Empty for those of
            graft.
        resample: For a metric that sums cannot give: statistics (n, k) and how often each resample has each row
            (samples, n), to values of shape (samples,). ``value`` is not used then.
        check_labels: Adds what does not fit the classes of an evaluation.
    """

    statistics: Callable[[Predictions], Array]
    value: Callable[[Array], Array]
    by_class: Callable[[Predictions], dict[str, dict[str, Any]]] | None = None
    aliases: tuple[str, ...] = ()
    fitted: Callable[[Sequence[str]], Metric] | None = None
    reference: str = ""
    resample: Callable[[Array, Array], Array] | None = None
    check_labels: Callable[[Sequence[str], Problems], None] | None = None

    def fit(self, references: Sequence[str], normalize: Sequence[str] = ()) -> Metric:
        """Return the metric for an evaluation with these references.

        Args:
            references: The reference answers.
            normalize: What does not count in texts that are compared (``graft.evaluation.normalization``).
        """
        metric = self if self.fitted is None else self.fitted(references)
        if not normalize or not metric.compares_text:
            return metric
        read = metric.statistics
        return replace(metric, normalize=tuple(normalize), statistics=lambda found: read(found.normalized(normalize)))

    def checked_statistics(self, predictions: Predictions) -> Array:
        """Return ``statistics``, (n, k), after a check of their shape.

        Raises:
            MetricFailure: If there is not one row of numbers for each row, or the code of an extension raises.
        """
        try:
            found = np.asarray(self.statistics(predictions), dtype=float)
        except GraftError:
            raise
        except Exception as error:  # whatever a user's metric may raise
            place = place_in_extension(error)
            if not place:
                raise
            what = f"the metric {self.name} cannot be computed: {type(error).__name__}: {error}"
            raise MetricFailure(what, place, "correct its statistics") from error
        rows = len(predictions.references)
        if found.ndim != 2 or len(found) != rows:
            what = f"the statistics of the metric {self.name} have the shape {found.shape} for {rows} rows"
            raise MetricFailure(what, "--metrics", "return an array of shape (rows, k)")
        return found

    def total(self, statistics: Array) -> float:
        """Return the value of all rows of ``statistics`` together."""
        if self.resample is not None:
            return float(self.resample(statistics, np.ones((1, len(statistics))))[0])
        return float(self.value(statistics.sum(axis=0, keepdims=True))[0])

    def resampled(self, statistics: Array, weights: Array) -> Array:
        """Return the value of each resample (samples,); ``weights`` (samples, n) is how often it has each row."""
        return self.value(weights @ statistics) if self.resample is None else self.resample(statistics, weights)

    def rows(self, predictions: Predictions) -> list[float | None]:
        """Return the value of each row by itself, with four decimals."""
        return self.row_values(self.checked_statistics(predictions))

    def row_values(self, statistics: Array) -> list[float | None]:
        """Return the value of each row of ``statistics``, with four decimals; None where a row alone has none."""
        values = (float(value) for value in self.value(statistics))
        return [round(value, 4) if math.isfinite(value) else None for value in values]


def ratio(sums: Array) -> Array:
    """Divide the first column by the second; 0 where the second is 0."""
    return np.divide(sums[:, 0], sums[:, 1], out=np.zeros(len(sums)), where=sums[:, 1] != 0)


def mean_metric(name: str, score: Callable[[str, str], float], **info: Any) -> Metric:
    """Make a metric that is the mean over rows of ``score(reference, answer)``; of several right answers the best.

    Args:
        name: The metric's name.
        score: The score of one row. With ``needs="choice"`` the answer is the most likely label.
        info: Further fields of ``Metric``.
    """

    def statistics(predictions: Predictions) -> Array:
        """Return (n, 2): each row's score, and 1 to count it."""
        answers = predictions.choices if info.get("needs") == "choice" else predictions.answers
        assert answers is not None
        pairs = zip(predictions.accepted, answers, strict=True)
        return np.array([[max(score(right, answer) for right in accepted), 1.0] for accepted, answer in pairs])

    return Metric(name=name, statistics=statistics, value=ratio, **info)
