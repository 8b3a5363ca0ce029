"""How sure a model is of its labels: calibration, a temperature, and what abstaining gives.

The confidence of a row is the largest probability of a label: the softmax of the labels' log-likelihoods.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.errors import InputError
from graft.evaluation.criteria import Criteria
from graft.evaluation.metrics import Predictions
from graft.evaluation.metrics.base import Array
from graft.inference.predictor import Predictor, can_score

BINS = 15
"""Bins of equal width (Guo et al. 2017)."""
FOLDS = 5
FEW_ROWS = 20
"""With fewer rows nothing is said of confidence."""
ENOUGH_TO_FIT = 50
"""Rows from which a temperature is fitted."""
COLDEST, HOTTEST = 0.02, 50.0
DRAWS = 1000
Z = 1.959964
"""Of a 95 % interval."""


@dataclass(frozen=True)
class LabelScores:
    """The labels' log-likelihoods (n, k), and which label is right (n,), of one predictor."""

    log_likelihoods: Array
    right: NDArray[np.int64]

    @classmethod
    def of(cls, found: Predictions) -> LabelScores | None:
        """Return those of some predictions; None where no labels were scored, or a broken model gave no numbers."""
        if found.labels is None or found.candidate_scores is None:
            return None
        place = {label: index for index, label in enumerate(found.labels)}
        scores = np.array([[score.log_likelihood for score in row] for row in found.candidate_scores], dtype=float)
        if not np.isfinite(scores).all():
            return None
        return cls(scores, np.array([place[right] for right in found.references]))

    def probabilities(self, temperature: float | Array = 1.0) -> Array:
        """Return the softmax of the log-likelihoods over ``temperature``, one for all rows or one for each (n,)."""
        scaled = self.log_likelihoods / np.reshape(temperature, (-1, 1))
        powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def take(self, rows: NDArray[np.bool_]) -> LabelScores:
        """Return those of the rows where a mask is true."""
        return LabelScores(self.log_likelihoods[rows], self.right[rows])

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether the likeliest label is right (n,)."""
        return np.asarray(self.log_likelihoods.argmax(axis=1) == self.right)


def check_asked(abstain_below: float | None, temperature_scaling: bool, labels: Sequence[str] | None) -> None:
    """Check before training that there will be confidences.

    Raises:
        InputError: If settings that need them are given, and answers are no classes.
    """
    asked = _asked(abstain_below, temperature_scaling)
    if asked and not labels:
        what = "these answers are not classes, so there is no confidence in a label"
        raise InputError(what, where=asked, remedy=f"omit {asked}")


def check_scored(criteria: Criteria, predictors: Sequence[Predictor], labels: Sequence[str] | None) -> None:
    """Check that some predictor gives likelihoods of labels where they are asked for.

    Raises:
        InputError: If there are no classes, or no predictor gives likelihoods.
    """
    check_asked(criteria.abstain_below, criteria.temperature_scaling, labels)
    asked = _asked(criteria.abstain_below, criteria.temperature_scaling)
    if asked and not any(map(can_score, predictors)):
        names = ", ".join(predictor.name for predictor in predictors)
        what = f"{names} gives no likelihoods of labels, so its confidence is not known"
        raise InputError(what, where=asked, remedy=f"omit {asked}")


def _asked(abstain_below: float | None, temperature_scaling: bool) -> str:
    given = (("--abstain_below", abstain_below is not None), ("--temperature_scaling", temperature_scaling))
    return ", ".join(name for name, said in given if said)


def fit_temperature(scores: LabelScores) -> float:
    """Return the temperature with the lowest negative log-likelihood of the right labels (Guo et al. 2017).

    It is convex in the inverse of the temperature; bisection finds where its derivative changes its sign.
    """
    rows = np.arange(len(scores.right))
    wanted = scores.log_likelihoods[rows, scores.right]
    low, high = np.log(COLDEST), np.log(HOTTEST)
    for _ in range(50):
        middle = (low + high) / 2
        expected = (scores.probabilities(np.exp(middle)) * scores.log_likelihoods).sum(axis=1)
        low, high = (middle, high) if (expected - wanted).mean() > 0 else (low, middle)
    return float(np.exp((low + high) / 2))


def cross_fitted(scores: LabelScores, seed: int) -> Array:
    """Return a temperature for each row (n,) that was fitted on the rows of the other folds."""
    order = np.random.default_rng(seed).permutation(len(scores.right))
    fold = np.empty(len(order), dtype=int)
    fold[order] = np.arange(len(order)) % FOLDS
    found = np.empty(len(order))
    for part in range(FOLDS):
        found[fold == part] = fit_temperature(scores.take(fold != part))
    return found


def calibration(confidence: Array, correct: NDArray[np.bool_], seed: int) -> dict[str, Any]:
    """Return the expected calibration error with its bins (Naeini et al. 2015).

    ``ece_by_chance`` is what 95 % of perfectly calibrated models would stay below with these confidences and as many
    rows: their errors are drawn by the confidences (Bröcker & Smith 2007).
    """
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    drawn = np.random.default_rng(seed).random((DRAWS, len(confidence))) < confidence
    chance = np.array([_ece(bins, confidence, one) for one in drawn])
    return {
        "ece": round(_ece(bins, confidence, correct), 6),
        "ece_by_chance": round(float(np.quantile(chance, 0.95)), 6),
        "confidence": round(float(confidence.mean()), 6),
        "bins": [_bin(place, confidence[bins == place], correct[bins == place]) for place in np.unique(bins).tolist()],
    }


def _ece(bins: NDArray[np.int64], confidence: Array, correct: NDArray[np.bool_]) -> float:
    gaps = np.bincount(bins, weights=confidence - correct, minlength=BINS)
    return float(np.abs(gaps).sum() / len(bins))


def _bin(place: int, confidence: Array, correct: NDArray[np.bool_]) -> dict[str, Any]:
    found = _share(int(correct.sum()), len(correct))
    return {
        "from": round(place / BINS, 6),
        "to": round((place + 1) / BINS, 6),
        "rows": len(correct),
        "confidence": round(float(confidence.mean()), 6),
        "accuracy": found["value"],
        "low": found["low"],
        "high": found["high"],
    }


def wilson(hits: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927): it holds for few rows, and for a share of 0 or 1."""
    share, square = hits / count, Z * Z
    center = (share + square / (2 * count)) / (1 + square / count)
    half = Z / (1 + square / count) * np.sqrt(share * (1 - share) / count + square / (4 * count * count))
    return (float(center - half) if hits else 0.0), (float(center + half) if hits < count else 1.0)


def curve(confidence: Array, correct: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Return the accuracy of the surest 5 %, 10 %, … of the rows; rows that are equally sure come together."""
    ordered = np.sort(confidence)[::-1]
    places = [int(np.ceil(share / 20 * len(ordered))) - 1 for share in range(1, 21)]
    thresholds = dict.fromkeys(float(ordered[place]) for place in places)
    return [at_threshold(threshold, confidence, correct) for threshold in thresholds]


def at_threshold(threshold: float, confidence: Array, correct: NDArray[np.bool_]) -> dict[str, Any]:
    """Return coverage and accuracy with their intervals where only rows at least so sure are answered.

    The accuracy is None where no row is answered.
    """
    answered = confidence >= threshold
    count, hits = int(answered.sum()), int((answered & correct).sum())
    return {
        "threshold": round(threshold, 6),
        "answered": count,
        "coverage": _share(count, len(confidence)),
        "accuracy": _share(hits, count) if count else None,
    }


def _share(hits: int, count: int) -> dict[str, float]:
    low, high = wilson(hits, count)
    return {"value": round(hits / count, 6), "low": round(low, 6), "high": round(high, 6)}


@dataclass(frozen=True)
class Sureness:
    """What is said of confidence.

    Attributes:
        section: ``confidence`` of evaluation.json; None where no predictor's labels were scored.
        by_row: By predictor, the confidence of each row (n,), as the settings ask for.
    """

    section: dict[str, Any] | None
    by_row: Mapping[str, Array]


def sureness_of(predictions: Mapping[str, Predictions], criteria: Criteria) -> Sureness:
    """Return how sure the predictors are whose labels were scored."""
    scored = {name: LabelScores.of(found) for name, found in predictions.items()}
    known = {name: scores for name, scores in scored.items() if scores is not None and len(scores.right) >= FEW_ROWS}
    if not known:
        return Sureness(None, {})
    sections, by_row = {}, {}
    for name, scores in known.items():
        sections[name], by_row[name] = _predictor(scores, criteria)
    section = {
        "bins": BINS,
        "binning": "equal width",
        "temperature_scaling": criteria.temperature_scaling,
        "abstain_below": criteria.abstain_below,
        "predictors": sections,
    }
    return Sureness(section, by_row)


def _predictor(scores: LabelScores, criteria: Criteria) -> tuple[dict[str, Any], Array]:
    correct, seed = scores.correct, criteria.seed
    plain = scores.probabilities()
    confidence = plain.max(axis=1)
    found: dict[str, Any] = {
        "rows": len(correct),
        "accuracy": round(float(correct.mean()), 6),
        **calibration(confidence, correct, seed),
        "nll": _nll(plain, scores),
        "scaled": None,
    }
    if len(correct) >= ENOUGH_TO_FIT:
        probabilities = scores.probabilities(cross_fitted(scores, seed))
        scaled = probabilities.max(axis=1)
        found["scaled"] = {
            "temperature": round(fit_temperature(scores), 4),
            "folds": FOLDS,
            **calibration(scaled, correct, seed),
            "nll": _nll(probabilities, scores),
        }
        confidence = scaled if criteria.temperature_scaling else confidence
    found["curve"] = curve(confidence, correct)
    below = criteria.abstain_below
    found["abstaining"] = None if below is None else at_threshold(below, confidence, correct)
    return found, confidence


def _nll(probabilities: Array, scores: LabelScores) -> float:
    right = probabilities[np.arange(len(scores.right)), scores.right]
    return round(float(-np.log(np.maximum(right, 1e-12)).mean()), 6)


def with_confidences(lines: list[dict[str, Any]], sureness: Sureness, criteria: Criteria) -> list[dict[str, Any]]:
    """Return the lines of predictions.jsonl with each row's confidence, where settings ask for it."""
    if criteria.further_needs:
        for place, line in enumerate(lines):
            line["confidences"] = {name: round(float(found[place]), 6) for name, found in sureness.by_row.items()}
    return lines
