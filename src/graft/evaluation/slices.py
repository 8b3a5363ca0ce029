"""Scores by the values of a column of the data, each slice compared with all other rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.data.example import Example
from graft.evaluation.criteria import Criteria
from graft.evaluation.figures import Statistics, figures_of, rounded
from graft.evaluation.metrics import Metric, Predictions, get_metric

FEW_ROWS = 30
"""Slices with fewer rows are shown, and neither tested nor named as the worst."""
MOST_VALUES = 12
"""The most frequent values of a column that are slices; all others are one."""
MOST_NUMBERS = 8
"""Different numbers up to which each is a slice; more are cut into quarters."""
MISSING, OTHERS = "(none)", "(all others)"
Pairs = Sequence[tuple[str, str]] | None


@dataclass(frozen=True)
class Slice:
    """The rows with a value in a column.

    Attributes:
        column: The column.
        value: The value, a range of numbers, or a sign for rows without a value and those with a rare one.
        rows: A mask of the rows (n,).
    """

    column: str
    value: str
    rows: NDArray[np.bool_]


def slices_by(column: str, examples: Sequence[Example]) -> list[Slice]:
    """Return the slices of a column; none where nearly each row has a value of its own."""
    values = [example.origin.columns.get(column) for example in examples]
    known = [value for value in values if value is not None]
    counts = Counter(known)
    numbers = _numbers(known) if len(counts) > MOST_NUMBERS else None
    if numbers is not None:
        named = _quarters(values, numbers)
    elif len(counts) > MOST_VALUES and counts.most_common(1)[0][1] < 2:
        return []
    else:
        common = {value for value, _ in counts.most_common(MOST_VALUES)}
        named = [MISSING if value is None else value if value in common else OTHERS for value in values]
    order = list(dict.fromkeys(sorted(named, key=_order(named, numbers is not None))))
    array = np.array(named, dtype=object)
    return [Slice(column, name, array == name) for name in order]


def _order(named: Sequence[str], ranges: bool) -> Any:
    """Ranges in their order, values by the number of their rows; what has no value of its own comes last."""
    counts = Counter(named)
    last = {MISSING: 2, OTHERS: 1}
    if ranges:
        return lambda name: (last.get(name, 0), float(name.split(" to ")[0]) if name not in last else 0.0)
    return lambda name: (last.get(name, 0), -counts[name], name)


def _numbers(values: Sequence[str]) -> list[float] | None:
    try:
        found = [float(value) for value in values]
    except ValueError:
        return None
    return found if np.isfinite(found).all() else None


def _quarters(values: Sequence[str | None], numbers: Sequence[float]) -> list[str]:
    """Return the range of each value: four with about as many rows, fewer where many values are equal."""
    edges = np.unique(np.quantile(numbers, [0.25, 0.5, 0.75]))
    places = np.searchsorted(edges, numbers, side="left")
    ranges = {}
    for place in np.unique(places).tolist():
        inside = np.array(numbers)[places == place]
        ranges[place] = f"{inside.min():g} to {inside.max():g}"
    named = iter([ranges[place] for place in places.tolist()])
    return [MISSING if value is None else next(named) for value in values]


def slices_of(
    examples: Sequence[Example],
    metrics: Sequence[Metric],
    predictions: Mapping[str, Predictions],
    statistics: Statistics,
    criteria: Criteria,
    pairs: Pairs,
) -> dict[str, Any]:
    """Return ``slices`` of evaluation.json.

    Args:
        examples: The rows, whose origins have the columns of ``criteria``.
        metrics: The metrics, the headline first.
        predictions: What was predicted.
        statistics: The statistics of each metric.
        criteria: The columns, and how intervals are computed.
        pairs: The differences to compute.
    """
    subject = pairs[0][1] if pairs else list(statistics[metrics[0].name])[-1]
    found = [part for column in criteria.by for part in slices_by(column, examples)]
    groups = []
    for part in found:
        own, inside = _of_script(part, metrics, predictions, statistics, criteria)
        group = _group(part, own, inside, criteria, pairs)
        rest = own[0].tokenizer == metrics[0].tokenizer and _has_rest(part)
        everyone = statistics[metrics[0].name][subject]
        groups.append({**group, "rest": _against_rest(metrics[0], everyone, part.rows, criteria) if rest else None})
    _adjust([group["rest"] for group in groups if group["rest"] is not None])
    unsliced = [column for column in criteria.by if not any(part.column == column for part in found)]
    return {"predictor": subject, "metric": metrics[0].name, "groups": groups, "unsliced": unsliced}


def _has_rest(part: Slice) -> bool:
    count = int(part.rows.sum())
    return count >= FEW_ROWS and len(part.rows) - count >= FEW_ROWS


def _of_script(
    part: Slice,
    metrics: Sequence[Metric],
    predictions: Mapping[str, Predictions],
    statistics: Statistics,
    criteria: Criteria,
) -> tuple[list[Metric], dict[str, dict[str, NDArray[np.float64]]]]:
    """Return the metrics and statistics of a slice; those that cut texts by their script do so by that of the slice."""
    own, found = [], {}
    places = np.flatnonzero(part.rows).tolist()
    for metric in metrics:
        fitted = metric
        if metric.tokenizer and not metric.reference:
            references = next(iter(predictions.values())).take(places).references
            fitted = get_metric(metric.name).fit(references, criteria.normalize)
        own.append(fitted)
        if fitted.tokenizer != metric.tokenizer:
            found[metric.name] = {n: fitted.checked_statistics(all_.take(places)) for n, all_ in predictions.items()}
        else:
            found[metric.name] = {name: all_[part.rows] for name, all_ in statistics[metric.name].items()}
    return own, found


def _group(
    part: Slice, metrics: Sequence[Metric], statistics: Statistics, criteria: Criteria, pairs: Pairs
) -> dict[str, Any]:
    """The figures of a slice."""
    count = int(part.rows.sum())
    tokenizers = {metric.name: metric.tokenizer for metric in metrics if metric.tokenizer}
    figures = figures_of(metrics, statistics, criteria.bootstrap(count), pairs)
    return {"column": part.column, "value": part.value, "rows": count, "tokenizers": tokenizers, **figures}


def _against_rest(
    metric: Metric, statistics: NDArray[np.float64], rows: NDArray[np.bool_], criteria: Criteria
) -> dict[str, float] | None:
    """The difference between the rows and all others, which are resampled on their own."""
    inside, others = criteria.bootstrap(int(rows.sum())), criteria.bootstrap(int((~rows).sum()), 1)
    value, samples = inside.values(metric, statistics[rows])
    rest, rest_samples = others.values(metric, statistics[~rows])
    if not (np.isfinite(value) and np.isfinite(rest)):
        return None
    return rounded(inside.difference(value - rest, samples - rest_samples))


def _adjust(tests: Sequence[dict[str, float]]) -> None:
    """Add ``adjusted_p``: Holm's step-down correction for as many comparisons as there are (Holm 1979)."""
    largest = 0.0
    for place, test in enumerate(sorted(tests, key=lambda test: test["p"])):
        largest = max(largest, min(1.0, test["p"] * (len(tests) - place)))
        test["adjusted_p"] = round(largest, 6)


def worst_group(slices: Mapping[str, Any], lower_is_better: bool) -> Mapping[str, Any] | None:
    """Return the tested slice with the worst headline; None where no slice has enough rows."""
    tested = [group for group in slices["groups"] if group.get("rest")]
    sign = -1 if lower_is_better else 1

    def value(group: Mapping[str, Any]) -> float:
        return sign * float(group["predictors"][slices["predictor"]][slices["metric"]]["value"])

    return min(tested, key=value, default=None)
