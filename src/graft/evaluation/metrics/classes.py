"""Classification: the predicted class is the most likely label after the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graft.evaluation.metrics.base import Array, Metric, Predictions, mean_metric

ACCURACY = mean_metric(
    "accuracy",
    lambda reference, choice: float(reference == choice),
    needs="choice",
    meaning="share of rows whose most likely label is correct",
    has_majority_baseline=True,
)


def _counts(predictions: Predictions) -> Array:
    """Return one-hot rows (n, 3 * labels): the label if it was right, the predicted label, the reference.

    An answer that is no label is predicted for none of them.
    """
    assert predictions.labels is not None and predictions.choices is not None
    place = {label: index for index, label in enumerate(predictions.labels)}
    size = len(place)
    found = np.zeros((len(predictions.references), 3 * size))
    for row, (reference, choice) in enumerate(zip(predictions.references, predictions.choices, strict=True)):
        if choice in place:
            found[row, size + place[choice]] = 1
        if reference in place:
            found[row, 2 * size + place[reference]] = 1
            found[row, place[reference]] = float(reference == choice)
    return found


def _macro_f1(sums: Array) -> Array:
    """Return the mean of 2 hits / (predicted + reference) over the classes that occur on either side, as scikit-learn.

    A resample without a rare class thus averages over the others (Opitz & Burst 2019, "Macro F1 and Macro F1").
    """
    hits, chosen, wanted = np.split(sums, 3, axis=1)
    below = chosen + wanted
    f1 = np.divide(2 * hits, below, out=np.zeros_like(hits), where=below > 0)
    return np.asarray(f1.sum(axis=1) / np.maximum((below > 0).sum(axis=1), 1))


MACRO_F1 = Metric(
    name="macro_f1",
    title="macro-F1",
    meaning="F1 of each label, averaged: rare labels count as much as common ones",
    hub_name="f1",
    needs="choice",
    statistics=_counts,
    value=_macro_f1,
    aliases=("f1",),
)


def confusion(references: Sequence[str], choices: Sequence[str], labels: Sequence[str]) -> list[list[int]]:
    """Return the confusion matrix: rows are references, columns predictions, both in the order of ``labels``.

    A last column counts the answers that are no label, if there are any.
    """
    place = {label: index for index, label in enumerate(labels)}
    columns = len(labels) + any(choice not in place for choice in choices)
    matrix = [[0] * columns for _ in labels]
    for reference, choice in zip(references, choices, strict=True):
        if reference in place:
            matrix[place[reference]][place.get(choice, len(labels))] += 1
    return matrix


def per_class(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return precision, recall, F1 and support of each class; 0 for a ratio without a denominator."""
    found = {}
    for index, label in enumerate(labels):
        hits = matrix[index][index]
        chosen = sum(row[index] for row in matrix)
        support = sum(matrix[index])
        precision = hits / chosen if chosen else 0.0
        recall = hits / support if support else 0.0
        f1 = 2 * hits / (chosen + support) if chosen + support else 0.0
        found[label] = {"precision": precision, "recall": recall, "f1": f1, "support": support}
    return found
