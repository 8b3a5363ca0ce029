"""The figures of an evaluation: values with their intervals, and paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from math import isfinite
from typing import Any

from graft.evaluation.bootstrap import Bootstrap, Interval
from graft.evaluation.metrics import Metric, Predictions
from graft.evaluation.metrics.base import Array, MetricFailure

Statistics = Mapping[str, Mapping[str, Array]]
"""By metric and predictor, the statistics of all rows."""


def statistics_of(
    metrics: Sequence[Metric], predictions: Mapping[str, Predictions]
) -> tuple[Statistics, dict[str, MetricFailure]]:
    """Return what each metric counts in the rows of each predictor; and why those of a user's own that fail do."""
    counted: dict[str, dict[str, Array]] = {}
    failed: dict[str, MetricFailure] = {}
    for metric in metrics:
        try:
            counted[metric.name] = {name: metric.checked_statistics(found) for name, found in predictions.items()}
        except MetricFailure as error:
            failed[metric.name] = error
    return counted, failed


def figures_of(
    metrics: Sequence[Metric],
    statistics: Statistics,
    bootstrap: Bootstrap,
    pairs: Sequence[tuple[str, str]] | None = None,
) -> dict[str, Any]:
    """Return ``predictors`` and ``differences`` of evaluation.json.

    Args:
        metrics: The metrics.
        statistics: The statistics of each.
        bootstrap: The resamples of these rows.
        pairs: The differences to compute, as names of predictors; None takes those from the first to each other.
    """
    predictors: dict[str, dict[str, Any]] = {}
    differences: list[dict[str, Any]] = []
    for metric in metrics:
        values = {name: bootstrap.values(metric, found) for name, found in statistics[metric.name].items()}
        if not all(isfinite(value) for value, _ in values.values()):
            continue  # a metric of a user's own that has no value on these rows alone
        for name, (value, samples) in values.items():
            figures = rounded(bootstrap.interval(value, samples))
            predictors.setdefault(name, {})[metric.name] = {**figures, "n": len(statistics[metric.name][name])}
        first, *others = values
        for before, after in [(first, name) for name in others] if pairs is None else pairs:
            found = _paired(values[before], values[after], bootstrap)
            differences.append({"metric": metric.name, "from": before, "to": after, **found})
    return {"predictors": predictors, "differences": differences}


def differences_from(
    metrics: Sequence[Metric], before: Statistics, after: Statistics, bootstrap: Bootstrap
) -> list[dict[str, Any]]:
    """Return the paired differences from each predictor of ``before`` to each of ``after``, as ``figures_of`` does.

    Args:
        metrics: The metrics.
        before: The statistics of some predictors.
        after: The statistics of others, on the same rows.
        bootstrap: The resamples of these rows.
    """
    found = []
    for metric in metrics:
        earlier, later = (
            {name: bootstrap.values(metric, rows) for name, rows in side[metric.name].items()}
            for side in (before, after)
        )
        for (a, then), (b, now) in product(earlier.items(), later.items()):
            if not (isfinite(then[0]) and isfinite(now[0])):
                continue
            found.append({"metric": metric.name, "from": a, "to": b, **_paired(then, now, bootstrap)})
    return found


def _paired(before: tuple[float, Array], after: tuple[float, Array], bootstrap: Bootstrap) -> dict[str, float]:
    (then, earlier), (now, later) = before, after
    return rounded(bootstrap.difference(now - then, later - earlier))


def rounded(interval: Interval) -> dict[str, float]:
    """Return an interval as evaluation.json has it."""
    found = {name: round(getattr(interval, name), 6) for name in ("value", "low", "high")}
    return found if interval.p is None else {**found, "p": round(interval.p, 6)}
