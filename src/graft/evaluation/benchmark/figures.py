"""Scores of tasks with their intervals, and differences that are paired by row.

The harness gives each model's standard error by itself. Two models that answer the same questions differ less by chance
than that, so rows are resampled for all models together (``graft.evaluation.bootstrap``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np

from graft.evaluation.benchmark.judge import Sample
from graft.evaluation.bootstrap import Bootstrap, Interval
from graft.evaluation.metrics.base import Array

FEWER_SAMPLES = 100
"""For values that are computed from all rows anew for each resample, such as BLEU: as many as the harness takes."""
SAME = 1e-9
Aggregate = Callable[[Sequence[Any]], float]


@dataclass(frozen=True)
class Resampled:
    """A metric of a model in a task: its value, that of each resample (samples,), and the number of rows."""

    value: float
    samples: Array
    rows: int


Values = Mapping[str, Mapping[str, Resampled]]
"""By metric and model. A metric's name has its filter behind a comma where that is not ``none``."""


def task_values(name: str, task: Any, samples: Mapping[str, Sequence[Sample]], resamples: int) -> Values:
    """Compute the metrics of a task, and resample its rows for all models together.

    Args:
        name: The task's name, which is the seed of its resamples: those of two tasks are independent.
        task: The harness's task, which knows how a metric is made of its rows.
        samples: By model: the harness's record of each row.
        resamples: The number of bootstrap resamples.
    """
    found = {}
    for metric, kept in _columns(samples):
        by_model = _paired(samples, metric, kept)
        aggregate = task.aggregation().get(metric) or _mean
        if all(by_model.values()):
            key = metric if kept == "none" else f"{metric},{kept}"
            seed = crc32(name.encode("utf-8"))
            found[key] = {model: _resampled(rows, aggregate, resamples, seed) for model, rows in by_model.items()}
    return found


def group_values(tasks: Sequence[Values], known: Mapping[str, Mapping[str, float]]) -> Values:
    """Compute the metrics of a group from those of its tasks, each weighted by its rows or all alike.

    Args:
        tasks: The values of its tasks.
        known: By metric and model: the harness's values. One that is made in another way has no interval.
    """
    found: dict[str, dict[str, Resampled]] = {}
    for metric, by_model in known.items():
        parts = [values[metric] for values in tasks if metric in values]
        for model, value in by_model.items():
            own = [part[model] for part in parts]
            rows = sum(one.rows for one in own)
            made = next((each for each in _weighted(own) if abs(each[0] - value) < SAME), (value, np.empty(0)))
            found.setdefault(metric, {})[model] = Resampled(value, made[1], rows)
    return found


def _weighted(own: Sequence[Resampled]) -> list[tuple[float, Array]]:
    """The mean of all rows, and the mean of the tasks."""
    if not own or len({len(one.samples) for one in own}) > 1:
        return []
    weights = [[one.rows / sum(each.rows for each in own) for one in own], [1 / len(own)] * len(own)]
    return [
        (
            sum(w * one.value for w, one in zip(each, own, strict=True)),
            np.array(each) @ np.stack([one.samples for one in own]),
        )
        for each in weights
    ]


def figures(values: Values, pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return ``predictors`` and ``differences``, as in evaluation.json.

    Args:
        values: What was computed.
        pairs: The differences to compute.
    """
    found: dict[str, Any] = {"predictors": {}, "differences": []}
    plain = Bootstrap(1, 1, 0)
    for metric, by_model in values.items():
        for model, one in by_model.items():
            interval = plain.interval(one.value, one.samples) if len(one.samples) else None
            bounds = _rounded(interval) if interval else {"value": round(one.value, 6)}
            found["predictors"].setdefault(model, {})[metric] = {**bounds, "n": one.rows}
        for before, after in pairs:
            then, now = by_model[before], by_model[after]
            change = now.value - then.value
            known = len(then.samples) and len(now.samples)
            difference = _rounded(plain.difference(change, now.samples - then.samples)) if known else {"value": change}
            found["differences"].append({"metric": metric, "from": before, "to": after, **difference})
    return found


def directions(values: Values, task: Any) -> dict[str, dict[str, str]]:
    """Return by metric whether a higher or a lower value is better."""
    better = task.higher_is_better()
    return {name: {"direction": "lower" if better.get(name.split(",")[0]) is False else "higher"} for name in values}


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


def _resampled(values: Sequence[Any], aggregate: Aggregate, resamples: int, seed: int) -> Resampled:
    sums = _sums(values, aggregate)
    value = float(aggregate(values))
    if sums is not None:
        statistics, of_sums = sums
        known = float(of_sums(statistics.sum(axis=0, keepdims=True))[0])
        if math.isclose(value, known, rel_tol=1e-6, abs_tol=1e-9):  # another function may have the same name
            weights = Bootstrap(len(values), resamples, seed).weights
            return Resampled(value, of_sums(weights @ statistics), len(values))
    weights = Bootstrap(len(values), min(resamples, FEWER_SAMPLES), seed).weights
    chosen = ([value for value, times in zip(values, row, strict=True) for _ in range(int(times))] for row in weights)
    again = np.array([float(aggregate(rows)) for rows in chosen])
    return Resampled(value, again, len(values))


def _mean(values: Sequence[Any]) -> float:
    return float(sum(values) / len(values))


def _sums(values: Sequence[Any], aggregate: Aggregate) -> tuple[Array, Callable[[Array], Array]] | None:
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
