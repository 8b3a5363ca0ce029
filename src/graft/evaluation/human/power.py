"""How many judgments a claim needs: the power of the sign test."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from graft.evaluation.human.binomial import probabilities

LEVEL = 0.05
"""The two-sided level of the sign test."""
POWER = 0.8
"""How often a preference that is there is to be proven."""
Z_LEVEL, Z_POWER = 1.959964, 0.841621
"""Quantiles of the normal distribution at 1 - LEVEL / 2 and at POWER."""
MOST_EXACT = 2_000
"""The largest number of judgments that is searched exactly."""


def power(decided: int, share: float) -> float:
    """Return how often the two-sided sign test at 5 % proves a preference.

    Args:
        decided: The number of judgments that call one answer better.
        share: The share of them that prefers one side, between 0 and 1.
    """
    lower = np.cumsum(probabilities(decided))
    rejected = int(np.searchsorted(lower, LEVEL / 2, side="right"))  # 0 … rejected - 1 wins are significant
    chances = probabilities(decided, share)
    return float(chances[:rejected].sum() + chances[decided + 1 - rejected :].sum()) if rejected else 0.0


@lru_cache(maxsize=256)
def decided_needed(share: float) -> int | None:
    """Return the number of decided judgments from which the sign test has a power of 80 %; None for no preference.

    The power of the exact test rises in steps and falls between them. The number returned is that from which it does
    not fall below 80 % again: 210 for 60:40, 54 for 70:30. Above ``MOST_EXACT`` it is the normal approximation with a
    continuity correction (Fleiss, Levin & Paik 2003, "Statistical Methods for Rates and Proportions", section 2.4).

    Args:
        share: The share that prefers one side, between 0 and 1; 0.4 is the same preference as 0.6.
    """
    share = max(share, 1 - share)
    if share <= 0.5 or math.isclose(share, 0.5):
        return None
    share = min(share, 0.999)
    about = _normal(share)
    if about > MOST_EXACT:
        return about
    first, last = int(0.8 * about), int(1.25 * about) + 20
    short = [count for count in range(max(1, first), last) if power(count, share) < POWER]
    return max(short, default=first) + 1


def _normal(share: float) -> int:
    away = share - 0.5
    plain = ((Z_LEVEL * 0.5 + Z_POWER * math.sqrt(share * (1 - share))) / away) ** 2
    return math.ceil(plain / 4 * (1 + math.sqrt(1 + 2 / (plain * away))) ** 2)


def detectable_share(decided: int) -> float | None:
    """Return the weakest preference that so many decided judgments prove with a power of 80 %; None if none.

    Args:
        decided: The number of judgments that call one answer better.

    Returns:
        A share above 0.5 in whole percents.
    """
    for percent in range(51, 100):
        needed = decided_needed(percent / 100)
        if needed is not None and needed <= decided:
            return percent / 100
    return None
