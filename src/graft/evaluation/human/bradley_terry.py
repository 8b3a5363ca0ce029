"""The Bradley–Terry model: strengths of more than two models from comparisons of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graft.evaluation.human.votes import Vote, numbered
from graft.evaluation.metrics.base import Array

ITERATIONS = 2_000
TOLERANCE = 1e-9
SEED = 42


@dataclass(frozen=True)
class Strength:
    """The strength of a model.

    Attributes:
        model: Its name.
        strength: In logits, where the mean of all models is 0: of two models, the one with a strength that is d higher
            wins with probability 1 / (1 + exp(-d)).
        low: The lower bound of its 95 % interval.
        high: The upper bound.
    """

    model: str
    strength: float
    low: float
    high: float


def bradley_terry(votes: Sequence[Vote], models: Sequence[str], samples: int = 1000) -> tuple[list[Strength], bool]:
    """Return the strength of each model, the strongest first.

    A tie counts as half a win for each. The intervals are percentiles over resampled rows; each row's judgments stay
    together.

    Args:
        votes: The judgments of any pairs of models.
        models: The models.
        samples: The number of resamples.

    Returns:
        The strengths, and whether each compared pair was given one tie more: without it, a model that never lost, or
        never won, would be infinitely strong or weak.
    """
    place = {model: index for index, model in enumerate(models)}
    per_row = _wins_by_row(votes, place)
    wins = per_row.sum(axis=0)
    prior = np.zeros_like(wins) if _is_connected(wins) else 0.5 * ((wins + wins.T) > 0)
    found = _strengths((wins + prior)[None])[0]
    generator = np.random.default_rng(SEED)
    weights = generator.multinomial(len(per_row), np.full(len(per_row), 1 / len(per_row)), size=samples)
    drawn = np.tensordot(weights.astype(float), per_row, axes=1)
    # A resample may lack the one win that kept a strength finite: half a win more for each pair keeps it so.
    spread = _strengths(drawn + (prior if prior.any() else 0.05 * ((wins + wins.T) > 0)))
    low, high = np.percentile(spread, [2.5, 97.5], axis=0)
    order = np.argsort(-found, kind="stable")
    result = [Strength(models[i], float(found[i]), float(low[i]), float(high[i])) for i in order]
    return result, bool(prior.any())


def _wins_by_row(votes: Sequence[Vote], place: dict[str, int]) -> Array:
    """How often each model won against each other (rows, models, models)."""
    rows = numbered(vote.row for vote in votes)
    wins = np.zeros((int(rows.max()) + 1, len(place), len(place)))
    for row, vote in zip(rows, votes, strict=True):
        first, second = place[vote.first], place[vote.second]
        won = {"first": 1.0, "second": 0.0}.get(vote.outcome, 0.5)
        wins[row, first, second] += won
        wins[row, second, first] += 1 - won
    return wins


def _strengths(wins: Array) -> Array:
    """Return the maximum-likelihood strengths (samples, models) in logits.

    By the MM algorithm (Hunter 2004, "MM algorithms for generalized Bradley-Terry models", equation 3).

    Args:
        wins: How often each model won against each other (samples, models, models).
    """
    games, won = wins + wins.transpose(0, 2, 1), wins.sum(axis=2)
    abilities = np.ones(won.shape)
    for _ in range(ITERATIONS):
        parts = games / (abilities[:, :, None] + abilities[:, None, :])
        raised = np.maximum(won, 1e-12) / np.maximum(parts.sum(axis=2), 1e-12)
        raised /= np.exp(np.log(raised).mean(axis=1, keepdims=True))
        moved = float(np.abs(np.log(raised / abilities)).max())
        abilities = raised
        if moved < TOLERANCE:
            break
    logits: Array = np.log(abilities)
    return logits


def _is_connected(wins: Array) -> bool:
    """Whether each model has beaten each other at least by way of others, so that all strengths are finite."""
    reached = (wins > 0) | np.eye(len(wins), dtype=bool)
    for _ in range(len(wins)):
        reached = (reached.astype(int) @ reached.astype(int)) > 0
    return bool(reached.all())
