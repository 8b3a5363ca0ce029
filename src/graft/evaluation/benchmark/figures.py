"""Scores of tasks with their intervals, and differences that are paired by row.

The harness gives each model's standard error by itself. Two models that answer the same questions differ less by chance
than that, so rows are resampled for all models together (``graft.evaluation.bootstrap``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from graft.evaluation.benchmark.judge import Sample
from graft.evaluation.bootstrap import Bootstrap, Interval
from graft.evaluation.metrics.base import Array

SEED = 0
FEWER_SAMPLES = 100
"""For values that are computed from all rows anew for each resample, such as BLEU: as many as the harness takes."""
Values = Sequence[Any]
Aggregate = Callable[[Values], float]


def task_figures(
    task: Any, samples: Mapping[str, Sequence[Sample]], pairs: Sequence[tuple[str, str]], resamples: int
) -> dict[str, Any]:
    """Return the figures of a task.

    Args:
        task: The harness's task, which knows how a metric is made of its rows.
        samples: By model: the harness's record of each row.
        pairs: The differences to compute.
        resamples: The number of bootstrap resamples.

    Returns:
        ``metrics`` with their direction, ``predictors`` and ``differences``, as in evaluation.json. A metric's name has
        its filter behind a comma where that is not ``none``.
    """
    found: dict[str, Any] = {"metrics": {}, "predictors": {}, "differences": []}
    better = task.higher_is_better()
    for metric, kept in _columns(samples):
        by_model = _paired(samples, metric, kept)
        count = len(next(iter(by_model.values())))
        if not count:
            continue
        name = metric if kept == "none" else f"{metric},{kept}"
        found["metrics"][name] = {"direction": "lower" if better.get(metric) is False else "higher"}
        aggregate = task.aggregation().get(metric) or _mean
        values = {model: _resampled(rows, aggregate, resamples) for model, rows in by_model.items()}
        shared = Bootstrap(count, 1, SEED)
        for model, (value, again) in values.items():
            figures = _rounded(shared.interval(value, again))
            found["predictors"].setdefault(model, {})[name] = {**figures, "n": count}
        for before, after in pairs:
            (then, earlier), (now, later) = values[before], values[after]
            difference = _rounded(shared.difference(now - then, later - earlier))
            found["differences"].append({"metric": name, "from": before, "to": after, **difference})
    return found


def _columns(samples: Mapping[str, Sequence[Sample]]) -> list[tuple[str, str]]:
    """The metrics, each with its filter, that every model has rows of."""
    listed = [
        dict.fromkeys((metric, str(sample["filter"])) for sample in rows for metric in sample["metrics"])
        for rows in samples.values()
    ]
    return [each for each in listed[0] if all(each in other for other in listed)]


def _paired(samples: Mapping[str, Sequence[Sample]], metric: str, kept: str) -> dict[str, list[Any]]:
    """By model the values of the rows that all have, in order of the rows."""
    by_row = {
        model: {sample["doc_id"]: sample[metric] for sample in rows if sample["filter"] == kept and metric in sample}
        for model, rows in samples.items()
    }
    rows = sorted(set.intersection(*(set(values) for values in by_row.values())))
    return {model: [values[row] for row in rows] for model, values in by_row.items()}


def _resampled(values: Values, aggregate: Aggregate, resamples: int) -> tuple[float, Array]:
    """The value of all rows, and of each resample; equal numbers of rows get equal resamples."""
    sums = _sums(values, aggregate)
    if sums is not None:
        statistics, of_sums = sums
        weights = Bootstrap(len(values), resamples, SEED).weights
        return float(of_sums(statistics.sum(axis=0, keepdims=True))[0]), of_sums(weights @ statistics)
    weights = Bootstrap(len(values), min(resamples, FEWER_SAMPLES), SEED).weights
    chosen = ([value for value, times in zip(values, row, strict=True) for _ in range(int(times))] for row in weights)
    return float(aggregate(values)), np.array([float(aggregate(rows)) for rows in chosen])


def _mean(values: Values) -> float:
    return float(sum(values) / len(values))


def _sums(values: Values, aggregate: Aggregate) -> tuple[Array, Callable[[Array], Array]] | None:
    """A value as a function of sums over rows, as ``Metric`` has it; None for one that is no such function."""
    name = getattr(aggregate, "__name__", "")
    if name in ("mean", "_mean", "perplexity") and all(isinstance(value, (int, float, np.number)) for value in values):
        statistics = np.array([[float(value), 1.0] for value in values])
    elif name in ("weighted_perplexity", "bits_per_byte") and all(len(value) == 2 for value in values):
        statistics = np.array([[float(value), float(weight)] for value, weight in values])
    else:
        return None
    return statistics, {"bits_per_byte": _bits, "mean": _ratio, "_mean": _ratio}.get(name, _perplexity)


def _ratio(sums: Array) -> Array:
    found: Array = sums[:, 0] / sums[:, 1]
    return found


def _perplexity(sums: Array) -> Array:
    return np.exp(-_ratio(sums))


def _bits(sums: Array) -> Array:
    return -_ratio(sums) / math.log(2)


def _rounded(interval: Interval) -> dict[str, float]:
    found = {name: round(getattr(interval, name), 6) for name in ("value", "low", "high")}
    return found if interval.p is None else {**found, "p": round(interval.p, 6)}
