"""How much of the scores each searched setting explains."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.report.search_axes import Axis, setting_axis, without_tail
from graft.report.search_view import SearchView
from graft.runs.manifest import TrialRecord

FEWEST = 10
"""With fewer trials nothing is told."""
TREES = 100
SAMPLES = 512
POINTS = 16
"""Values of a setting of numbers at which its effect is computed."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Importance:
    """The share of the variance of the score that each setting explains alone.

    Attributes:
        shares: By setting, the largest first; together at most 1.
        together: What only several settings together explain.
        known: R² of the forest on trials that it was not fitted to.
        trials: The number of trials behind it.
        why_not: Why there is none; empty if there is one.
    """

    shares: tuple[tuple[str, float], ...] = ()
    together: float = 0.0
    known: float = 0.0
    trials: int = 0
    why_not: str = ""


def importance(view: SearchView) -> Importance:
    """Return the importance of the searched settings, by functional ANOVA of a random forest.

    A forest learns the score from the settings. The share of a setting is the variance of what the forest predicts on
    average for each of its values, relative to the variance of the prediction over the whole space (Hutter, Hoos and
    Leyton-Brown 2014, "An Efficient Approach for Assessing Hyperparameter Importance"). Their exact sums over the
    leaves are estimated here on random points of the space.
    """
    axes = [axis for axis in (setting_axis(view, name) for name in view.names) if _varies(view, axis)]
    trials = [trial for trial in view.ran if all(map(partial(_has_place, trial), axes))]
    if len(trials) < FEWEST or not axes:
        return Importance(trials=len(trials), why_not=f"at least {FEWEST} trials with a score are needed")
    columns = [Column(axis) for axis in axes]
    features = np.hstack([column.of(trials) for column in columns])
    scores = np.array(without_tail([trial.value or 0.0 for trial in trials], view.manifest.greater_is_better))
    if float(np.ptp(scores)) == 0.0:
        return Importance(trials=len(trials), why_not="all trials have the same score")
    forest = _forest(features, scores)
    known = float(forest.oob_score_)
    if known <= 0:
        why = "a random forest does not predict the score of a trial from the others: noise, or too few trials"
        return Importance(known=known, trials=len(trials), why_not=why)
    shares = _shares(forest, columns)
    ordered = tuple(sorted(zip((axis.name for axis in axes), shares, strict=True), key=lambda pair: -pair[1]))
    return Importance(ordered, max(0.0, 1 - sum(shares)), known, len(trials))


def _has_place(trial: TrialRecord, axis: Axis) -> bool:
    return axis.place(trial.settings.get(axis.name)) is not None


def _varies(view: SearchView, axis: Axis) -> bool:
    return len({axis.place(trial.settings.get(axis.name)) for trial in view.ran}) > 1


class Column:
    """The features of a setting: its place on its axis, or a 0 or 1 for each value of a choice."""

    def __init__(self, axis: Axis) -> None:
        self.axis = axis
        self.width = len(axis.choices) or 1

    def of(self, trials: Sequence[TrialRecord]) -> Array:
        """Return the features of some trials, (trials, width)."""
        return self.at(np.array([self.axis.place(trial.settings.get(self.axis.name)) for trial in trials], float))

    def at(self, places: Array) -> Array:
        """Return the features at places from 0 to 1."""
        if not self.axis.choices:
            return places[:, None]
        found: Array = np.eye(self.width)[np.minimum((places * self.width).astype(int), self.width - 1)]
        return found

    @property
    def points(self) -> Array:
        """The places at which the effect is computed."""
        count = self.width if self.axis.choices else POINTS
        return (np.arange(count) + 0.5) / count


def _forest(features: Array, scores: Array) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(n_estimators=TREES, oob_score=True, random_state=0, n_jobs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few trials one may be in the sample of every tree
        return forest.fit(features, scores)


def _shares(forest: Any, columns: Sequence[Column]) -> list[float]:
    generator = np.random.default_rng(0)
    sampled = [column.at(generator.random(SAMPLES)) for column in columns]
    whole = float(np.var(forest.predict(np.hstack(sampled))))
    if whole == 0.0:
        return [0.0] * len(columns)
    shares = [float(np.var(_means(forest, sampled, place, column))) / whole for place, column in enumerate(columns)]
    total = max(1.0, sum(shares))
    return [share / total for share in shares]


def _means(forest: Any, sampled: Sequence[Array], place: int, column: Column) -> Array:
    """The mean prediction over the other settings, at each point of one."""
    points = column.points
    features = [np.tile(each, (len(points), 1)) for each in sampled]
    features[place] = np.repeat(column.at(points), SAMPLES, axis=0)
    found: Array = forest.predict(np.hstack(features)).reshape(len(points), SAMPLES).mean(axis=1)
    return found
