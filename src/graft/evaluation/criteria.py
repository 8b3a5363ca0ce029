"""By what answers are judged, so that the same model is judged twice in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graft.evaluation.bootstrap import Bootstrap
from graft.evaluation.rows import SEED
from graft.runs.metric_info import Need


@dataclass(frozen=True)
class Criteria:
    """What an evaluation computes.

    Attributes:
        metrics: The metrics by name; None for those that fit the rows.
        normalize: The differences to ignore between answers and references (``graft.evaluation.normalization``).
        max_new_tokens: The maximum number of tokens in an answer; None derives it from the references.
        bootstrap_samples: The number of resamples for the intervals.
        seed: Seed of the resamples.
        by: Columns whose values are slices.
        temperature_scaling: Whether confidences are scaled by a temperature that other rows give.
        abstain_below: The confidence below which a row is not answered; None for all rows.
    """

    metrics: Sequence[str] | None = None
    normalize: Sequence[str] = ()
    max_new_tokens: int | None = None
    bootstrap_samples: int = 1000
    seed: int = SEED
    by: Sequence[str] = ()
    temperature_scaling: bool = False
    abstain_below: float | None = None

    @property
    def further_needs(self) -> frozenset[Need]:
        """What predictors must give besides what the metrics need."""
        asked = self.temperature_scaling or self.abstain_below is not None
        return frozenset({"choice"} if asked else ())

    def bootstrap(self, rows: int, stream: int = 0) -> Bootstrap:
        """Return the resamples of so many rows; those of another ``stream`` are independent of the usual ones."""
        return Bootstrap(rows, self.bootstrap_samples, self.seed + stream)
