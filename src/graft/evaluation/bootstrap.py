"""Intervals and paired differences by resampling rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graft.evaluation.metrics.base import Array, Metric


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval.

    Attributes:
        value: The value on all rows.
        low: The lower bound.
        high: The upper bound.
        p: The two-sided p-value of the difference from 0; None of a value that is no difference.
    """

    value: float
    low: float
    high: float
    p: float | None = None


class Bootstrap:
    """The percentile bootstrap over rows (Efron & Tibshirani 1993, "An Introduction to the Bootstrap", section 13.3).

    All predictors and metrics are computed on the same resamples, so differences are paired (Koehn 2004, "Statistical
    Significance Tests for Machine Translation Evaluation").

    Args:
        rows: The number of rows.
        samples: The number of resamples.
        seed: Seed of the resamples.
    """

    def __init__(self, rows: int, samples: int, seed: int) -> None:
        generator = np.random.default_rng(seed)
        self.weights: Array = generator.multinomial(rows, np.full(rows, 1 / rows), size=samples).astype(float)

    def values(self, metric: Metric, statistics: Array) -> tuple[float, Array]:
        """Return the metric on all rows, and on each resample (samples,)."""
        return metric.total(statistics), metric.resampled(statistics, self.weights)

    def interval(self, value: float, samples: Array) -> Interval:
        """Return the 95 % percentile interval.

        Args:
            value: The value on all rows.
            samples: The value on each resample (samples,).
        """
        known = samples[np.isfinite(samples)]  # a metric of a user's own may have no value on some resamples
        low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (value, value)
        return Interval(value, float(low), float(high))

    def difference(self, value: float, samples: Array) -> Interval:
        """Return the 95 % percentile interval of a difference, and its p-value.

        p is twice the share of the resamples on the other side of 0 or at it, where 1 is added to both counts, so that
        it is never 0 (Davison & Hinkley 1997, "Bootstrap Methods and their Application", equation 4.11).

        Args:
            value: The difference on all rows.
            samples: The difference on each resample (samples,).
        """
        below, above = int((samples <= 0).sum()), int((samples >= 0).sum())
        p = min(1.0, 2 * (1 + min(below, above)) / (1 + len(samples)))
        found = self.interval(value, samples)
        return Interval(found.value, found.low, found.high, p)
