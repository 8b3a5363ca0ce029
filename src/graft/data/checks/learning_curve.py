"""Whether more rows would help: the accuracy of a cheap model with a quarter, half and all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.data.checks.base import Finding
from graft.data.checks.view import CheckedData
from graft.data.class_rows import ClassRows
from graft.data.suspects import FEWEST_ROWS, answered_right
from graft.data.text_classifier import splits

SHARES = (0.25, 0.5, 1.0)


class LearningCurve:
    """The accuracy of TF-IDF with logistic regression on growing parts of the rows."""

    name = "learning_curve"
    title = "Learning curve"

    def examine(self, data: CheckedData, config: Any) -> Iterator[Finding]:
        """Yield what more rows would bring, and the scores to beat."""
        rows = ClassRows.of(data.train.examples, data.seed) if data.labels is not None else None
        if rows is None or len(rows.texts) < FEWEST_ROWS:
            return
        curve = measure(rows, data.seed)
        common = rows.counts().max() / len(rows.labels)
        points = [f"{point.rows:,} rows: {point.accuracy:.3f} (± {point.error:.3f})" for point in curve]
        sampled = f" ({len(rows.texts):,} sampled of {rows.total:,} rows)" if rows.sampled else ""
        yield Finding(
            "learning_curve",
            "note",
            _said(curve, common),
            why=f"cross-validated accuracy of TF-IDF with logistic regression{sampled}; "
            f"the scores to beat are {curve[-1].accuracy:.3f}, and {common:.3f} of the most common class",
            remedy=_advice(curve, common),
            evidence=tuple(points),
            figures={
                "rows": [point.rows for point in curve],
                "accuracy": [point.accuracy for point in curve],
                "error": [point.error for point in curve],
                "most_common": float(common),
                "last_gain": curve[-1].gain,
                "last_gain_error": curve[-1].gain_error,
            },
        )


@dataclass(frozen=True)
class Point:
    """A point of the curve.

    Attributes:
        rows: The rows that were trained on.
        accuracy: The cross-validated accuracy.
        error: Its standard error.
        gain: How much it is above the point before.
        gain_error: The standard error of the gain, paired by row.
    """

    rows: int
    accuracy: float
    error: float
    gain: float = 0.0
    gain_error: float = 0.0


def measure(rows: ClassRows, seed: int) -> list[Point]:
    """Return the curve: in each fold, models of nested parts of the training rows answer the same other rows.

    Args:
        rows: The rows.
        seed: Decides folds and parts.
    """
    features, labels, classes = rows.features(), rows.labels, len(rows.names)
    right = np.zeros((len(SHARES), len(labels)))
    sizes = np.zeros(len(SHARES))
    generator = np.random.default_rng(seed)
    for train, test in splits(labels, seed):
        order = generator.permutation(train)
        for number, share in enumerate(SHARES):
            part = order[: max(1, round(share * len(order)))]
            sizes[number] += len(part) / 5
            right[number, test] = answered_right(features, labels, part, test, classes, seed)
    return [_point(right, round(float(size)), number) for number, size in enumerate(sizes)]


def _point(right: NDArray[np.float64], rows: int, number: int) -> Point:
    before = right[number] - right[number - 1] if number else np.zeros(right.shape[1])
    error, gain_error = (float(values.std(ddof=1) / np.sqrt(right.shape[1])) for values in (right[number], before))
    return Point(rows, float(right[number].mean()), error, float(before.mean()), gain_error)


def _beats_common(curve: Sequence[Point], common: float) -> bool:
    return curve[-1].accuracy - common > 2 * curve[-1].error


def _grows(curve: Sequence[Point]) -> bool:
    return curve[-1].gain > 2 * curve[-1].gain_error


def _said(curve: Sequence[Point], common: float) -> str:
    if not _beats_common(curve, common):
        return "the words of the texts tell nothing about their classes"
    figures = f"{curve[-2].accuracy:.3f} with {curve[-2].rows:,} rows, {curve[-1].accuracy:.3f} with {curve[-1].rows:,}"
    return f"more rows {'would likely help' if _grows(curve) else 'like these would hardly help'}: {figures}"


def _advice(curve: Sequence[Point], common: float) -> str:
    if not _beats_common(curve, common):
        return "a language model may still tell them apart; look at some rows and their labels first"
    if _grows(curve):
        return "label more rows; twice as many may bring about as much again"
    return "rather than more rows, try a better model, or correct labels"
