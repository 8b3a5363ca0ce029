"""How likely the reference is."""

from __future__ import annotations

import numpy as np

from graft.evaluation.metrics.base import Array, Metric, Outcome, ratio

MOST_NATS = 50.0
"""Beyond it a perplexity says no more, and would overflow."""


def _statistics(outcome: Outcome) -> Array:
    assert outcome.scores is not None
    return np.array([[-score.log_likelihood, score.tokens] for score in outcome.scores], dtype=float)


def _perplexity(sums: Array) -> Array:
    """exp of the mean negative log-likelihood of a reference token, the end token included."""
    return np.asarray(np.exp(np.minimum(ratio(sums), MOST_NATS)))


PERPLEXITY = Metric("perplexity", "likelihood", _statistics, _perplexity, higher_is_better=False)
