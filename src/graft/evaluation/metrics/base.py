"""The contract of a metric: numbers for each row, whose sums over any rows give the metric's value.

The bootstrap resamples rows by weighting these sums, so a corpus metric such as BLEU or macro-F1 costs no more than a
mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.errors import GraftError, InputError
from graft.evaluation.normalization import normalized
from graft.inference.predictor import CompletionScore
from graft.registry import place_in_extension
from graft.runs.metric_info import Direction, MetricInfo, Need

__all__ = ["Array", "Direction", "Metric", "Need", "Predictions", "from_function", "mean_metric", "ratio"]

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

    def normalized(self, steps: Sequence[str]) -> Predictions:
        """Return the predictions with what ``steps`` name taken out of references and answers."""
        clean = partial(normalized, steps=steps)
        answers = None if self.answers is None else list(map(clean, self.answers))
        others = None if self.alternatives is None else [list(map(clean, row)) for row in self.alternatives]
        return replace(self, references=list(map(clean, self.references)), answers=answers, alternatives=others)


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
        reference: How a user's own metric was named: ``path/to/file.py:name``. Empty for those of graft.
    """

    statistics: Callable[[Predictions], Array]
    value: Callable[[Array], Array]
    by_class: Callable[[Predictions], dict[str, dict[str, Any]]] | None = None
    aliases: tuple[str, ...] = ()
    fitted: Callable[[Sequence[str]], Metric] | None = None
    reference: str = ""

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
            InputError: If there is not one row of numbers for each row.
        """
        found = np.asarray(self.statistics(predictions), dtype=float)
        rows = len(predictions.references)
        if found.ndim != 2 or len(found) != rows:
            what = f"the statistics of the metric {self.name} have the shape {found.shape} for {rows} rows"
            raise InputError(what, where="--metrics", remedy="return an array of shape (rows, k)")
        return found

    def rows(self, predictions: Predictions) -> list[float]:
        """Return the value of each row by itself, with four decimals."""
        return self.row_values(self.checked_statistics(predictions))

    def row_values(self, statistics: Array) -> list[float]:
        """Return the value of each row of ``statistics``, with four decimals."""
        return [round(float(value), 4) for value in self.value(statistics)]


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


def _constructed(name: str, cls: type[Any]) -> Any:
    try:
        return cls()
    except Exception as error:  # whatever a user's constructor may raise
        what = f"the metric {name} cannot be constructed: {type(error).__name__}: {error}"
        raise InputError(what, remedy="name an object, or a class that takes no arguments") from error


def from_function(name: str, function: Callable[[Sequence[str], Sequence[str]], Any]) -> Metric:
    """Make a metric of a user's function, or of a class whose instances are called like one.

    Args:
        name: The metric's name.
        function: Takes all references and all answers, and returns a number for each row; the metric is their mean.
            Of several right answers to a row it gets the first.
            Its attributes ``title``, ``direction``, ``digits``, … describe the metric as those of ``MetricInfo`` do.

    Raises:
        InputError: If an attribute has a value that no metric can have.
    """
    if isinstance(function, type):
        function = _constructed(name, function)
    described = {field.name for field in fields(MetricInfo)} - {"name", "needs"}
    info = {key: getattr(function, key) for key in described if hasattr(function, key)}

    def statistics(predictions: Predictions) -> Array:
        """Return (n, 2): each row's number, and 1 to count it.

        Raises:
            InputError: If the function does not return one number for each row.
            GraftError: If it raises, with the line of the user's file.
        """
        assert predictions.answers is not None
        try:
            numbers = np.asarray(function(list(predictions.references), list(predictions.answers)), dtype=float)
        except Exception as error:  # whatever a user's function may raise
            what = f"the metric {name} cannot be computed: {type(error).__name__}: {error}"
            raise GraftError(what, where=place_in_extension(error), remedy="correct its function") from error
        if numbers.shape != (len(predictions.references),):
            raise InputError(
                f"the metric {name} returned an array of shape {numbers.shape} for {len(predictions.references)} rows",
                remedy="a metric takes (references, answers) and returns a list with one number for each row",
            )
        return np.stack([numbers, np.ones(len(numbers))], axis=1)

    try:
        return Metric(name=name, statistics=statistics, value=ratio, **info)
    except (TypeError, ValueError) as error:
        raise InputError(f"the metric {name} has an invalid description: {error}", where="--metrics") from None
