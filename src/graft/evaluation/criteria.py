"""By what answers are judged, so that the same model is judged twice in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graft.evaluation.bootstrap import Bootstrap
from graft.evaluation.rows import SEED


@dataclass(frozen=True)
class Criteria:
    """What an evaluation computes.

    Attributes:
        metrics: The metrics by name; None for those that fit the rows.
        normalize: The differences to ignore between answers and references (``graft.evaluation.normalization``).
        max_new_tokens: The maximum number of tokens in an answer; None derives it from the references.
        bootstrap_samples: The number of resamples for the intervals.
        seed: Seed of the resamples.
    """

    metrics: Sequence[str] | None = None
    normalize: Sequence[str] = ()
    max_new_tokens: int | None = None
    bootstrap_samples: int = 1000
    seed: int = SEED

    def bootstrap(self, rows: int) -> Bootstrap:
        """Return the resamples of so many rows."""
        return Bootstrap(rows, self.bootstrap_samples, self.seed)
