"""Several runs side by side: their scores, paired differences, the settings that differ, their figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import numpy as np

from graft.config import FinetuneSettings
from graft.evaluation.bootstrap import Bootstrap
from graft.report import summary
from graft.report.changes_between import compared, judged
from graft.report.format import duration, figure, listed, megabytes, metric_of, signed
from graft.runs.evaluation_document import PredictionRecord
from graft.runs.metric_info import MetricInfo
from graft.runs.view import Difference, Estimate, RunView, number

MOST_RUNS = len(ascii_uppercase)
SAMPLES, SEED = 2_000, 42
"""Resamples of the paired differences, and their seed."""
SAME = 1e-6
"""How near the mean of the rows' scores must be to the score, for a metric that is such a mean."""
OMITTED = summary.OMITTED | {"output_path", "task_name", "data_files", "eval_data_files", "logging_dir"}
"""Settings that say where a run is and not what it is."""


@dataclass(frozen=True)
class NamedRun:
    """A run with its letter, its name, and the predictor that it is judged by: the tuned model where there is one."""

    letter: str
    name: str
    view: RunView
    predictor: str | None

    @property
    def scores(self) -> dict[str, Estimate]:
        """The scores of its predictor."""
        return self.view.scores[self.predictor] if self.predictor else {}


@dataclass(frozen=True)
class PairedDifference:
    """How much higher a run scores than the best other one in the headline metric, on the rows that both answered."""

    before: str
    after: str
    difference: Difference
    judgment: str
    rows: int


@dataclass(frozen=True)
class SeveralRuns:
    """The runs in the order they were given."""

    runs: Sequence[NamedRun]

    @classmethod
    def read(cls, folders: Sequence[Path]) -> SeveralRuns:
        """Read the runs in ``folders``.

        Raises:
            InputError: If a file of one is damaged.
        """
        views = [RunView.read(folder) for folder in folders]
        found = []
        for letter, name, view in zip(ascii_uppercase, distinct_names(folders), views, strict=False):
            sides = compared(view)
            found.append(NamedRun(letter, name, view, sides.after if sides else None))
        return cls(found)

    @cached_property
    def metrics(self) -> list[MetricInfo]:
        """Every metric of any run, the headline first."""
        names = {name: run.view for run in reversed(self.runs) for name in run.scores}
        ranked = sorted(names, key=self._rank)
        return [metric_of(names[name], name) for name in ranked]

    def _rank(self, name: str) -> tuple[int, int]:
        """The headline of the first run that has scores comes first, then what most runs have."""
        first = next((run.view.headline for run in self.runs if run.scores), None)
        order = [*dict.fromkeys(metric for run in self.runs for metric in run.view.metric_names)]
        return (name != first, order.index(name))

    @cached_property
    def best(self) -> NamedRun | None:
        """The run with the best score in the headline metric; None where fewer than two have it."""
        return self._ranked[0] if len(self._ranked) > 1 else None

    @cached_property
    def _ranked(self) -> list[NamedRun]:
        if not self.metrics:
            return []
        metric = self.metrics[0]
        having = [run for run in self.runs if metric.name in run.scores]
        return sorted(having, key=lambda run: run.scores[metric.name].value * (1 if metric.lower_is_better else -1))

    @cached_property
    def differences(self) -> list[PairedDifference]:
        """The best run against each other one, paired by row."""
        if self.best is None:
            return []
        metric, best = self.metrics[0], self.best
        found = (_paired(metric, other, best) for other in self._ranked[1:])
        return [each for each in found if each is not None]

    @cached_property
    def same_rows(self) -> bool:
        """Whether all runs with scores were compared on the same file."""
        data = [run.view.evaluation.data for run in self.runs if run.scores]
        return len({(each.sha256 or each.path, each.rows) for each in data}) < 2

    @cached_property
    def verdict(self) -> str:
        """One sentence: which run is best, and from which it is proven to differ."""
        if self.best is None:
            return f"{len(self.runs)} runs side by side"
        metric, best = self.metrics[0], self.best
        value = metric.figure(best.scores[metric.name].value)
        said = f"{best.letter} has the best {metric.label}, {value}"
        if not self.same_rows:
            return f"{said}, but the runs were compared on different rows"
        kinds = {each.before: each.judgment for each in self.differences}
        others = [run.letter for run in self._ranked[1:]]
        proven = [letter for letter in others if kinds.get(letter) == "better"]
        rest = [letter for letter in others if letter not in proven]
        if not proven:
            return f"{said}: not proven to be better than {_joined(rest, 'or')}"
        also = f", but not than {_joined(rest, 'or')}" if rest else ""
        return f"{said}: proven to be better than {_joined(proven, 'and')}{also}"

    @cached_property
    def settings(self) -> list[tuple[str, list[str]]]:
        """Each setting, and what else a run is made of, that is not the same in all runs."""
        found = [(title, [read(run.view) for run in self.runs]) for title, read in _MADE_OF]
        names = dict.fromkeys(name for run in self.runs for name in _all_settings(run.view))
        found += [(name, [_setting(run.view, name) for run in self.runs]) for name in names]
        return [(name, values) for name, values in found if len(set(values)) > 1]

    @cached_property
    def figures(self) -> list[tuple[str, list[str]]]:
        """The figures of the trainings by name, of those that a run has."""
        found = [(title, [read(run.view) for run in self.runs]) for title, read in _FIGURES]
        return [(title, values) for title, values in found if any(values)]


def distinct_names(folders: Sequence[Path]) -> list[str]:
    """Return the names of the folders, with as many folders above them as tell them apart."""
    parts = [folder.resolve().parts for folder in folders]
    for length in range(1, max(map(len, parts), default=1) + 1):
        names = ["/".join(each[-length:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    return [folder.name for folder in folders]


def _paired(metric: MetricInfo, other: NamedRun, best: NamedRun) -> PairedDifference | None:
    """The difference on the rows that both answered; None for a metric that is no mean over rows, or without rows."""
    before, after = _row_scores(other, metric), _row_scores(best, metric)
    shared_rows = [key for key in before if key in after]
    if len(shared_rows) < 2 or not (_is_mean(before, other, metric) and _is_mean(after, best, metric)):
        return None
    change = np.array([after[key] - before[key] for key in shared_rows])
    bootstrap = Bootstrap(len(change), SAMPLES, SEED)
    found = bootstrap.difference(float(change.mean()), bootstrap.weights @ change / len(change))
    ends = {"value": found.value, "low": found.low, "high": found.high, "p": found.p}
    difference = Difference.model_validate({"metric": metric.name, "from": other.letter, "to": best.letter, **ends})
    return PairedDifference(other.letter, best.letter, difference, judged(metric, difference), len(change))


def _row_scores(run: NamedRun, metric: MetricInfo) -> dict[tuple[str, str, int], float]:
    """The score of each row; rows are known by prompt and reference, and equal ones by their number."""
    seen: dict[tuple[str, str], int] = {}
    found = {}
    for row in run.view.predictions:
        key = (row.prompt, row.reference)
        seen[key] = seen.get(key, 0) + 1
        score = _score(row, run.predictor, metric)
        if score is not None:
            found[row.prompt, row.reference, seen[key]] = score
    return found


def _score(row: PredictionRecord, predictor: str | None, metric: MetricInfo) -> float | None:
    return number(row.scores.get(predictor or "", {}).get(metric.name))


def _is_mean(scores: dict[tuple[str, str, int], float], run: NamedRun, metric: MetricInfo) -> bool:
    recorded = run.scores[metric.name].value
    return bool(scores) and abs(sum(scores.values()) / len(scores) - recorded) <= SAME * max(1.0, abs(recorded))


def _all_settings(view: RunView) -> dict[str, Any]:
    passed = view.settings.get("training_arguments")
    inferred = view.manifest.inferred_settings if view.manifest else []
    names = {**view.settings, **(passed if isinstance(passed, dict) else {}), **{each.name: None for each in inferred}}
    return {name: value for name, value in names.items() if name not in OMITTED}


def _setting(view: RunView, name: str) -> str:
    passed = view.settings.get("training_arguments")
    value = view.setting(name)
    if value is None and isinstance(passed, dict):
        value = passed.get(name)
    field = FinetuneSettings.model_fields.get(name)
    if value is None and field is not None and view.manifest is not None:  # an older run did not record it
        value = field.get_default(call_default_factory=False)
    return "" if value is None else listed(value)


def _joined(letters: Sequence[str], word: str) -> str:
    return letters[0] if len(letters) == 1 else f"{', '.join(letters[:-1])} {word} {letters[-1]}"


def _rows(view: RunView) -> str:
    return figure(view.data.train_rows or (view.data.train.rows if view.data.train else None))


def _data(view: RunView) -> str:
    return next((value for name, value in summary.data_facts(view) if name == "Training data"), "")


_MADE_OF: tuple[tuple[str, Callable[[RunView], str]], ...] = (
    ("base model", lambda view: view.base_name if view.base else ""),
    ("training data", _data),
    ("compared on", lambda view: summary.judged_on(view).removeprefix("On ") if view.scores else ""),
)
_FIGURES: tuple[tuple[str, Callable[[RunView], str]], ...] = (
    ("Status", lambda view: view.status),
    ("Method", lambda view: view.method_title),
    ("Rows trained on", _rows),
    ("Steps", lambda view: figure(view.training.steps or view.last_step)),
    ("Best step", lambda view: figure(view.best.step if view.best else view.training.best_step)),
    ("Best held-out loss", lambda view: figure(view.best.value if view.best else view.training.best_eval_loss)),
    ("Trained parameters", lambda view: figure(view.training.trainable_parameters)),
    ("Training time", lambda view: duration(view.training.seconds)),
    ("Tokens/s", lambda view: figure(view.training.tokens_per_second)),
    ("Peak memory", lambda view: megabytes(view.training.peak_rss_mb)),
)


def document(several: SeveralRuns) -> dict[str, Any]:
    """The same for programs: plain values, nothing formatted."""
    return {
        "verdict": several.verdict,
        "best": several.best.letter if several.best else None,
        "same_rows": several.same_rows,
        "runs": [_described(run) for run in several.runs],
        "differences": [
            {**each.difference.document(), "judgment": each.judgment, "rows": each.rows} for each in several.differences
        ],
        "settings": {name: [run.view.setting(name) for run in several.runs] for name, _ in several.settings},
    }


def _described(run: NamedRun) -> dict[str, Any]:
    return {
        "letter": run.letter,
        "name": run.name,
        "run": str(run.view.path),
        "status": run.view.status,
        "predictor": run.predictor,
        "scores": {name: estimate.document() for name, estimate in run.scores.items()},
        "training": run.view.training.document(),
    }


def difference_text(metric: MetricInfo, each: PairedDifference) -> str:
    """``+0.031``: by how much the best run is higher."""
    return signed(metric, each.difference.value)
