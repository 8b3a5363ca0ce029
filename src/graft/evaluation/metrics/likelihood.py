"""Perplexity: how likely the model finds the reference."""

from __future__ import annotations

import numpy as np

from graft.evaluation.metrics.base import Array, Metric, Predictions, ratio

MOST_NATS = 50.0
"""The largest mean loss that counts: beyond it a perplexity says nothing, and would overflow."""


def _statistics(predictions: Predictions) -> Array:
    assert predictions.scores is not None
    return np.array([[-score.log_likelihood, score.tokens] for score in predictions.scores], dtype=float)


def _perplexity(sums: Array) -> Array:
    """Return exp of the mean negative log-likelihood of a reference token, end token included (Jelinek et al. 1977)."""
    return np.asarray(np.exp(np.minimum(ratio(sums), MOST_NATS)))


PERPLEXITY = Metric(
    name="perplexity",
    meaning="how surprised the model is by the reference; lower is better",
    direction="lower",
    digits=2,
    scale=None,
    needs="likelihood",
    statistics=_statistics,
    value=_perplexity,
    aliases=("ppl",),
)
