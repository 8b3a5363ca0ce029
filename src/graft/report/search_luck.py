"""How much of a search's gain was luck of selection: the scores on rows that no trial was selected by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graft.evaluation.bootstrap import Bootstrap, Interval
from graft.evaluation.metrics import metric_info
from graft.evaluation.metrics.base import Array, ratio
from graft.report.search_view import SearchView
from graft.runs.evaluation_document import read_evaluation, read_predictions
from graft.runs.metric_info import MetricInfo

RESAMPLES = 2000
CLOSE = 2e-3
"""A metric whose value is the mean of its rows by this much is that mean."""


@dataclass(frozen=True)
class Luck:
    """The gain of the winner over the defaults, where it was selected and elsewhere.

    Attributes:
        selected: How much better the winner is on the selection rows, which every trial was compared on.
        untouched: How much better it is on the other rows.
        interval: The 95 % interval of ``untouched``, paired by row; None where the scores of the rows are not recorded.
        share: The share of the gain that was luck, from 0 to 1; None where there was no gain.
    """

    selected: float
    untouched: float
    interval: Interval | None
    share: float | None


@dataclass(frozen=True)
class AgainstBase:
    """The winner beside its base model on the untouched rows, in a metric of the run's evaluation.

    Attributes:
        metric: The metric.
        rows: The number of rows.
        base: The base model's value.
        tuned: The winner's value.
        difference: The paired difference with its 95 % interval and p.
    """

    metric: MetricInfo
    rows: int
    base: float
    tuned: float
    difference: Interval


def luck(view: SearchView) -> Luck | None:
    """Return how much of the gain holds on untouched rows; None where it is not recorded, or the defaults won."""
    default, winner = view.default, view.winner
    if default is None or winner is None or winner.number == 0:
        return None
    selected = view.better_by(winner.value, default.value)
    untouched = view.better_by(winner.untouched, default.untouched)
    if selected is None or untouched is None:
        return None
    share = min(1.0, max(0.0, 1 - untouched / selected)) if selected > 0 else None
    return Luck(selected, untouched, _interval(view, winner.untouched_rows, default.untouched_rows), share)


def _interval(
    view: SearchView, after: Sequence[tuple[float, int]], before: Sequence[tuple[float, int]]
) -> Interval | None:
    """The interval of how much better the winner is; resamples of rows, the same for both."""
    if len(after) != len(before) or len(after) < 2:
        return None
    bootstrap = Bootstrap(len(after), RESAMPLES, seed=0)
    then, now = (np.array(rows, float) for rows in (before, after))
    sign = 1 if view.manifest.greater_is_better else -1
    value = float((ratio(_sum(now)) - ratio(_sum(then)))[0])
    samples = ratio(bootstrap.weights @ now) - ratio(bootstrap.weights @ then)
    return bootstrap.difference(sign * value, sign * samples)


def _sum(rows: Array) -> Array:
    found: Array = rows.sum(axis=0, keepdims=True)
    return found


def against_base(view: SearchView) -> AgainstBase | None:
    """Return the winner beside its base on the untouched rows; None where the run has not scored these rows.

    The rows of the run's evaluation are the held-out rows in their order; the first of them are the selection rows.

    Raises:
        InputError: If a file of the winner's run is damaged.
    """
    first, others = view.manifest.selection_rows, view.manifest.untouched_rows
    evaluation = read_evaluation(view.best) if view.best else None
    if evaluation is None or view.best is None or others < 2 or not {"base", "tuned"} <= evaluation.predictors.keys():
        return None
    rows = read_predictions(view.best)
    if len(rows) != first + others:
        return None
    for name, figure in evaluation.predictors["tuned"].items():
        scores = np.array([[row.scores.get(side, {}).get(name) for side in ("base", "tuned")] for row in rows], float)
        if abs(float(scores[:, 1].mean()) - figure.value) < CLOSE:  # not of macro-F1, nor where a row has none
            info = metric_info({"metrics": evaluation.metrics, "lower_is_better": evaluation.lower_is_better}, name)
            return _compared(info, scores[first:])
    return None


def _compared(metric: MetricInfo, scores: Array) -> AgainstBase:
    base, tuned = (float(value) for value in scores.mean(axis=0))
    bootstrap = Bootstrap(len(scores), RESAMPLES, seed=0)
    samples = bootstrap.weights @ (scores[:, 1] - scores[:, 0]) / len(scores)
    return AgainstBase(metric, len(scores), base, tuned, bootstrap.difference(tuned - base, samples))


def luck_in_words(view: SearchView, found: Luck) -> str:
    """Return what the untouched rows say of the gain, in one or two sentences."""
    figure = view.metric.figure
    trials = f"the best of {len(view.ran)} trials"
    if found.selected <= 0:
        return f"The winner, {trials}, is not better than the defaults, even on the rows that it was selected by."
    where = f"On the rows that it was selected by, as {trials}, the winner is {figure(found.selected)} better"
    if found.untouched <= 0:
        return (
            f"{where} than the defaults; on rows that no trial was selected by, it is not better: all of the gain was "
            "luck of selection, and the defaults do as well."
        )
    rest = f"{where} than the defaults, on rows that no trial was selected by {figure(found.untouched)}."
    if found.share == 0:
        return f"{rest} The gain holds in full: there is no sign of luck of selection."
    return f"{rest} {found.share:.0%} of the gain was luck of selection, {1 - (found.share or 0):.0%} of it holds."


def sureness(found: Luck, figure: MetricInfo) -> str:
    """Return how sure the gain on untouched rows is; empty where the scores of rows are not recorded."""
    if found.interval is None:
        return ""
    low, high = (figure.figure(bound, True) for bound in (found.interval.low, found.interval.high))
    if found.interval.low > 0:
        sure = "so the gain is more than noise"
    else:
        sure = "so the winner is worse than the defaults" if found.interval.high < 0 else "so the gain may be noise"
    return f"95 % interval of the gain on the untouched rows: {low} to {high}, {sure}."
