"""JSON answers: whether they parse, and how many of their fields are right."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from graft.data.spelling import composed
from graft.evaluation.metrics.base import Array, Metric, Predictions, mean_metric


def parsed(text: str) -> Any:
    """Return the JSON value, or None when the text is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def fields(value: Any, path: str = "") -> Counter[tuple[str, str]]:
    """Return every leaf as (path, value), in NFC. The order of a list does not count, its values do."""
    if isinstance(value, dict):
        return sum((fields(item, f"{path}.{key}") for key, item in value.items()), Counter())
    if isinstance(value, list):
        return sum((fields(item, f"{path}[]") for item in value), Counter())
    if value is None and not path:
        return Counter()
    return Counter([(composed(path), composed(json.dumps(value, ensure_ascii=False)))])


def _field_statistics(predictions: Predictions) -> Array:
    """Return counts (n, 3): fields that are right, fields of the answer, fields of the reference.

    Of several right answers the one that fits best counts.
    """
    assert predictions.answers is not None
    pairs = zip(predictions.accepted, predictions.answers, strict=True)
    return np.array([_best_counts(accepted, fields(parsed(answer))) for accepted, answer in pairs], dtype=float)


def _best_counts(accepted: Sequence[str], given: Counter[tuple[str, str]]) -> list[int]:
    counts = [
        [(wanted & given).total(), given.total(), wanted.total()]
        for wanted in (fields(parsed(reference)) for reference in accepted)
    ]
    return max(counts, key=lambda found: float(_field_f1(np.array([found], dtype=float))[0]))


def _field_f1(sums: Array) -> Array:
    """Return 2 right / (answered + reference) over all rows (micro-F1). An answer that is not JSON has no fields."""
    below = sums[:, 1] + sums[:, 2]
    return np.asarray(np.divide(2 * sums[:, 0], below, out=np.zeros(len(sums)), where=below > 0))


JSON_VALID = mean_metric(
    "json_valid",
    lambda _, answer: float(parsed(answer) is not None),
    title="valid JSON",
    meaning="share of answers that parse as JSON",
)
FIELD_F1 = Metric(
    name="field_f1",
    title="field F1",
    meaning="F1 of the fields; a field counts if its value is correct",
    hub_name="f1",
    statistics=_field_statistics,
    value=_field_f1,
)
LABEL_F1 = Metric(
    name="label_f1",
    title="label F1",
    meaning="F1 of the predicted labels",
    hub_name="f1",
    statistics=_field_statistics,
    value=_field_f1,
)
"""Field F1 of JSON lists of labels: their items are the fields."""
