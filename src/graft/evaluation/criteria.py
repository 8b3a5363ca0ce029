"""By what answers are judged, so that the same model is judged twice in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graft.evaluation.compare import Evaluation, evaluate
from graft.evaluation.rows import EvaluationRows
from graft.inference.predictor import Predictor
from graft.progress import Reporter


@dataclass(frozen=True)
class Criteria:
    """What an evaluation computes.

    Attributes:
        metrics: The metrics by name; None for those that fit the rows.
        normalize: The differences to ignore between answers and references.
        max_new_tokens: The maximum number of tokens in an answer; None derives it from the references.
    """

    metrics: Sequence[str] | None = None
    normalize: Sequence[str] = ()
    max_new_tokens: int | None = None

    def evaluate(self, predictors: Sequence[Predictor], rows: EvaluationRows, reporter: Reporter) -> Evaluation:
        """Compare ``predictors`` on ``rows``.

        Raises:
            InputError: If a metric is unknown or does not fit the rows.
        """
        return evaluate(
            predictors,
            rows,
            metrics=self.metrics,
            normalize=self.normalize,
            max_new_tokens=self.max_new_tokens,
            reporter=reporter,
        )
