"""The binomial distribution, exactly."""

from __future__ import annotations

import math

import numpy as np

from graft.evaluation.metrics.base import Array


def probabilities(count: int, share: float = 0.5) -> Array:
    """Return the probability of 0 … ``count`` successes (count + 1,), each with probability ``share``.

    Args:
        count: The number of trials.
        share: The probability of a success, between 0 and 1.
    """
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])
    successes = np.arange(count + 1)
    ways = logs[count] - logs - logs[::-1]
    found: Array = np.exp(ways + successes * math.log(share) + (count - successes) * math.log1p(-share))
    return found


def two_sided(successes: int, count: int) -> float:
    """Return the two-sided p-value of ``successes`` of ``count`` where both outcomes are equally likely."""
    tail = float(probabilities(count)[: min(successes, count - successes) + 1].sum())
    return min(1.0, 2 * tail)
