"""Intervals and paired differences by resampling rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graft.evaluation.metrics.base import Array, Metric


@dataclass(frozen=True)
class Interval:
    """A value with the bounds of its 95 % interval; ``p`` is two-sided, for differences from 0."""

    value: float
    low: float
    high: float
    p: float | None = None


class Bootstrap:
    """The percentile bootstrap over rows (Efron & Tibshirani 1993, section 13.3).

    All predictors and metrics are valued on the same resamples, so differences are paired (Koehn 2004).
    """

    def __init__(self, rows: int, samples: int, seed: int) -> None:
        chance = np.random.default_rng(seed)
        self.weights: Array = chance.multinomial(rows, np.full(rows, 1 / rows), size=samples).astype(float)

    def values(self, metric: Metric, statistics: Array) -> tuple[float, Array]:
        """The metric on all rows, and on each resample."""
        value = float(metric.value(statistics.sum(axis=0, keepdims=True))[0])
        return value, metric.value(self.weights @ statistics)

    def interval(self, value: float, samples: Array) -> Interval:
        low, high = np.percentile(samples, [2.5, 97.5])
        return Interval(value, float(low), float(high))

    def difference(self, value: float, samples: Array) -> Interval:
        """``samples``: the difference on each resample. p counts those on the other side of 0 (or at it), twice."""
        below, above = int((samples <= 0).sum()), int((samples >= 0).sum())
        p = min(1.0, 2 * (1 + min(below, above)) / (1 + len(samples)))
        found = self.interval(value, samples)
        return Interval(found.value, found.low, found.high, p)
