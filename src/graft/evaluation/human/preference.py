"""How often people prefer one model to another: win, tie, loss, a sign test, and intervals by row and rater."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graft.evaluation.human.binomial import two_sided
from graft.evaluation.human.student import quantile_975
from graft.evaluation.human.votes import Vote, numbered
from graft.evaluation.metrics.base import Array

SAMPLES = 1000
SEED = 42
FEWEST_RATERS = 5
"""With fewer raters nothing is said of others: how much people differ cannot be seen."""


@dataclass(frozen=True)
class Preference:
    """The judgments of two models.

    Attributes:
        wins: How often the first was called better.
        losses: How often the second was.
        ties: How often they were called equally good.
        both_bad: How often both were called bad.
        share: wins / (wins + losses); None without either.
        low: The lower bound of its 95 % interval, over other rows judged by these raters.
        high: The upper bound.
        rater_low: The lower bound over other rows judged by other raters; None with fewer than ``FEWEST_RATERS``.
        rater_high: The upper bound.
        rows_for: The rows on which more raters preferred the first.
        rows_against: The rows on which more preferred the second.
        p: The two-sided p-value of the sign test over rows.
    """

    wins: int
    losses: int
    ties: int
    both_bad: int
    share: float | None
    low: float | None
    high: float | None
    rater_low: float | None
    rater_high: float | None
    rows_for: int
    rows_against: int
    p: float


def sign_test(votes: Sequence[Vote]) -> tuple[int, int, float]:
    """Return the rows for the first model, those against it, and the two-sided p-value of the exact sign test.

    Several judgments of a row are not independent, so a row counts once: for the side that more raters preferred.
    """
    balance: Counter[str] = Counter()
    for vote in votes:
        balance[vote.row] += {"first": 1, "second": -1}.get(vote.outcome, 0)
    above = sum(value > 0 for value in balance.values())
    below = sum(value < 0 for value in balance.values())
    return above, below, two_sided(above, above + below)


def preference(votes: Sequence[Vote], samples: int = SAMPLES) -> Preference:
    """Return what the votes on one pair of models say; all have the same ``first``.

    Args:
        votes: The judgments, at least one.
        samples: The number of resamples.
    """
    outcomes = Counter(vote.outcome for vote in votes)
    decided = [vote for vote in votes if vote.is_decided]
    counted = (outcomes["first"], outcomes["second"], outcomes["tie"], outcomes["both_bad"])
    if not decided:
        return Preference(*counted, None, None, None, None, None, *sign_test(votes))
    raters = numbered(vote.rater for vote in decided)
    bootstrap = PreferenceBootstrap(numbered(vote.row for vote in decided), raters, samples)
    wins = np.array([[vote.outcome == "first"] for vote in decided], dtype=float)
    share, low, high = (float(value[0]) for value in bootstrap.by_row(wins))
    rater_low: float | None = None
    rater_high: float | None = None
    if raters.max() + 1 >= FEWEST_RATERS:
        _, rater_low, rater_high = (float(value[0]) for value in bootstrap.by_row_and_rater(wins))
    return Preference(*counted, share, low, high, rater_low, rater_high, *sign_test(votes))


class PreferenceBootstrap:
    """Intervals of the share of wins, from resampled rows and resampled raters.

    The variance is that of the bootstrap over whole rows; with raters, that over rows plus that over raters less that
    over single judgments, which both contain (Cameron, Gelbach & Miller 2011, "Robust Inference With Multiway
    Clustering", equation 2.11). The interval is Wilson's at the number of judgments that would have this variance
    (Korn & Graubard 1998), so that it stays within 0 and 1 where all agree, too.

    Args:
        rows: The number of each judgment's row (judgments,).
        raters: The number of each judgment's rater (judgments,).
        samples: The number of resamples.
    """

    def __init__(
        self,
        rows: np.ndarray[Any, np.dtype[np.int64]],
        raters: np.ndarray[Any, np.dtype[np.int64]],
        samples: int = SAMPLES,
    ) -> None:
        generator = np.random.default_rng(SEED)
        self.rows, self.raters = rows, raters
        self._by_row = _weights(generator, rows, samples)
        self._by_rater = _weights(generator, raters, samples)
        self._by_one = _weights(generator, np.arange(len(rows)), samples)

    def by_row(self, wins: Array) -> tuple[Array, Array, Array]:
        """Return the share, and its bounds over other rows judged by these raters.

        Args:
            wins: Whether the first model won (judgments, cases); cases are independent, such as simulations.

        Returns:
            Three arrays (cases,).
        """
        share = wins.mean(axis=0)
        variance = _variance(self._by_row, wins) * _small(self.rows)
        return _wilson(share, variance, len(wins), np.full(share.shape, float(self.rows.max())))

    def by_row_and_rater(self, wins: Array) -> tuple[Array, Array, Array]:
        """Return the share, and its bounds over other rows judged by other raters; see ``by_row``."""
        share = wins.mean(axis=0)
        of_rows = _variance(self._by_row, wins) * _small(self.rows)
        of_raters = _variance(self._by_rater, wins) * _small(self.raters)
        of_ones = _variance(self._by_one, wins) * _small(np.arange(len(wins)))
        total = np.maximum(of_rows + of_raters - of_ones, np.maximum(of_rows, of_ones))
        # Satterthwaite 1946: degrees of freedom of a sum of variances.
        between = np.minimum(of_raters, total)
        rest = total - between
        freedom = total**2 / (rest**2 / max(1, self.rows.max()) + between**2 / max(1, self.raters.max()) + 1e-300)
        return _wilson(share, total, len(wins), freedom)


def _small(groups: np.ndarray[Any, np.dtype[np.int64]]) -> float:
    """Resampling G groups sees a variance that is (G - 1) / G of it."""
    count = int(groups.max()) + 1
    return count / (count - 1) if count > 1 else 1.0


def _weights(generator: np.random.Generator, groups: np.ndarray[Any, np.dtype[np.int64]], samples: int) -> Array:
    """How often each judgment is drawn (samples, judgments) where whole groups are drawn."""
    count = int(groups.max()) + 1
    drawn: Array = generator.multinomial(count, np.full(count, 1 / count), size=samples)[:, groups].astype(float)
    return drawn


def _variance(weights: Array, wins: Array) -> Array:
    """The variance of the share over the resamples (cases,)."""
    totals = weights.sum(axis=1, keepdims=True)
    held = totals[:, 0] > 0
    variance: Array = (weights[held] @ wins / totals[held]).var(axis=0)
    return variance


def _wilson(share: Array, variance: Array, count: int, freedom: Array) -> tuple[Array, Array, Array]:
    """Wilson's interval (Wilson 1927) at the effective number of judgments, with Student's t.

    Where all judgments agree, the variance is not known, and the number is that of all judgments.
    """
    spread = share * (1 - share)
    effective = np.where((variance > 0) & (spread > 0), spread / np.maximum(variance, 1e-300), count)
    effective = np.minimum(effective, 4.0 * count)
    t2 = quantile_975(freedom) ** 2
    middle = (share + t2 / (2 * effective)) / (1 + t2 / effective)
    half = np.sqrt(t2 * (spread / effective + t2 / (4 * effective**2))) / (1 + t2 / effective)
    return share, np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)
