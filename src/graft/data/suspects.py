"""Rows whose label is likely wrong: a model that has not seen the row is sure of another class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.data.checks.view import Embed
from graft.data.class_rows import ClassRows
from graft.data.text_classifier import (
    Features,
    Labels,
    Probabilities,
    fitted,
    out_of_fold,
    probabilities,
    splits,
    with_letters,
)

FEWEST_ROWS = 100
FEWEST_OF_A_CLASS = 5
"""Rows of a rarer class are no suspects: nearly nothing is known of it."""
SHARES = (0.05, 0.1, 0.2)
"""Shares of the rows whose removal is tried."""
MOST_TRIED = 3_500
FEWEST_TRIED = 1_000
OF_CLASSES = 35_000
"""Rows with which it is tried: at most ``MOST_TRIED``, and of many classes so many over their number, as it takes
dozens of fits, and a fit takes as long as there are classes."""
HOPEFUL = 1.0
"""Standard errors of a first cross-validation that make a second one worth its time; both are averaged by row."""
REPEATED = 1_000
SURE = 2.4
"""Standard errors that a gain must exceed: 99.2 % of one of three shares, so 97.5 % of all (Bonferroni)."""


@dataclass(frozen=True)
class Suspects:
    """Rows by how likely their label is wrong.

    Attributes:
        places: The rows whose label is less likely than another, the most suspicious first.
        scores: For each, how much likelier the other class is: from 0 to 1.
        suggestions: For each, the likeliest class, as its place among the names.
        accuracy: The share of all rows whose label is the likeliest.
    """

    places: Labels
    scores: NDArray[np.float64]
    suggestions: Labels
    accuracy: float


def find_suspects(rows: ClassRows, seed: int, embed: Embed | None = None) -> Suspects | None:
    """Return the suspects; None where there is too little data, or texts tell nothing of the classes.

    The score is the margin p(likeliest other class) − p(given class) of a logistic regression on TF-IDF of words and
    letters that was trained on the other folds; with ``embed``, of the mean of this one and one on embeddings.

    Args:
        rows: The rows.
        seed: Decides the folds.
        embed: Makes embeddings.
    """
    if len(rows.texts) < FEWEST_ROWS:
        return None
    classes, labels = len(rows.names), rows.labels
    found = out_of_fold(with_letters(rows.texts), labels, classes, seed)
    if embed is not None:
        found = (found + out_of_fold(embed(rows.texts), labels, classes, seed)) / 2
    accuracy = float((found.argmax(1) == labels).mean())
    common = rows.counts().max() / len(labels)
    if accuracy - common < 2 * np.sqrt(common * (1 - common) / len(labels)):
        return None
    margins = _margins(found, labels)
    known = rows.counts()[labels] >= FEWEST_OF_A_CLASS
    order = np.argsort(-margins, kind="stable")
    order = order[(margins[order] > 0) & known[order]]
    return Suspects(order, margins[order], found.argmax(1)[order], accuracy)


def _margins(found: Probabilities, labels: Labels) -> NDArray[np.float64]:
    """The probability of the likeliest other class less that of the given one."""
    rows = np.arange(len(labels))
    others = found.copy()
    others[rows, labels] = -1
    margins: NDArray[np.float64] = others.max(1) - found[rows, labels]
    return margins


@dataclass(frozen=True)
class Gain:
    """What training without the worst suspects gains, by nested cross-validation.

    Attributes:
        share: The share of the rows that are left out.
        before: The accuracy with all rows.
        after: The accuracy without the worst.
        error: The standard error of the difference, paired by row.
        rows: The number of rows with which it was measured.
    """

    share: float
    before: float
    after: float
    error: float
    rows: int

    @property
    def shown(self) -> bool:
        """Whether the gain is larger than chance explains."""
        return self.after - self.before > SURE * self.error

    @property
    def hopeless(self) -> bool:
        """Whether a second look would not show it."""
        return self.after - self.before < HOPEFUL * self.error

    def __str__(self) -> str:
        """``cross-validated accuracy of TF-IDF 0.675 → 0.694 (± 0.004) without the worst 10%``."""
        figures = f"{self.before:.3f} → {self.after:.3f} (± {self.error:.3f})"
        return f"cross-validated accuracy of TF-IDF {figures} without the worst {self.share:.0%}"


def measure_gains(rows: ClassRows, seed: int) -> list[Gain]:
    """Return what leaving out each of ``SHARES`` gains, measured on rows that neither score nor training has seen.

    In each fold, suspects are looked for among the training rows alone, and models with and without the worst of them
    answer the rows of the fold, whose own labels are taken as they are. Where that looks like a gain, it is done again
    with other folds, which lowers the part of chance that is of the folds.

    Args:
        rows: The rows; of many, some are sampled.
        seed: Decides folds and sample.
    """
    features, labels = with_letters(rows.texts), rows.labels
    most = max(FEWEST_TRIED, min(MOST_TRIED, OF_CLASSES // len(rows.names)))
    if len(labels) > most:
        chosen = np.sort(np.random.default_rng(seed).choice(len(labels), most, replace=False))
        features, labels = features[chosen], labels[chosen]
    first = _answered(features, labels, len(rows.names), seed)
    gains = _gains(first)
    if best_gain(gains).hopeless:
        return gains
    return _gains((first + _answered(features, labels, len(rows.names), seed + REPEATED)) / 2)


def _answered(features: Features, labels: Labels, classes: int, seed: int) -> NDArray[np.float64]:
    """Whether each row is answered as it is labeled: by models of all rows, and without each share, (shares, rows)."""
    right = np.zeros((1 + len(SHARES), len(labels)))
    for train, test in splits(labels, seed):
        margins = _margins(out_of_fold(features[train], labels[train], classes, seed + 1), labels[train])
        order = train[np.argsort(-margins, kind="stable")]
        for number, share in enumerate((0.0, *SHARES)):
            kept = order[round(share * len(order)) :]
            right[number, test] = answered_right(features, labels, kept, test, classes, seed)
    return right


def _gains(right: NDArray[np.float64]) -> list[Gain]:
    found = []
    for share, after in zip(SHARES, right[1:], strict=True):
        error = float((after - right[0]).std(ddof=1) / np.sqrt(len(after)))
        found.append(Gain(share, float(right[0].mean()), float(after.mean()), error, len(after)))
    return found


def answered_right(
    features: Features, labels: Labels, train: Labels, test: Labels, classes: int, seed: int
) -> NDArray[np.bool_]:
    """Return whether a model that learns from some rows answers each of others as it is labeled, (test rows,).

    Args:
        features: The features of all rows, (rows, size).
        labels: The class of each row as a number.
        train: The places of the rows to learn from.
        test: The places of the rows to answer.
        classes: The number of classes.
        seed: The seed of the fit.
    """
    if len(np.unique(labels[train])) < 2:
        return _equal(labels[test], labels[train][0])
    model = fitted(features[train], labels[train], seed)
    return _equal(labels[test], probabilities(model, features[test], classes).argmax(1))


def _equal(given: Labels, chosen: Any) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = given == chosen
    return found


def best_gain(gains: Sequence[Gain]) -> Gain:
    """Return the gain that is shown and largest; the largest, where none is shown."""
    return max(gains, key=lambda gain: (gain.shown, gain.after))


def collecting_class(rows: ClassRows, suspects: Suspects, count: int) -> tuple[str, float] | None:
    """Return the class that collects the worst suspects, and its share of them; None where none does.

    A class collects where more than half of the suspects have its label or are suggested to have it, and these are
    twice as many as its share of the rows explains.
    """
    worst = suspects.places[:count]
    if not len(worst):
        return None
    given, suggested = rows.labels[worst], suspects.suggestions[:count]
    share = rows.counts() / len(rows.labels)
    for found in (given, suggested):
        number, times = Counter(found.tolist()).most_common(1)[0]
        if times > len(worst) / 2 and times / len(worst) > 2 * share[number]:
            return rows.names[number], times / len(worst)
    return None
