"""A run folder as the report sees it: its files, typed, and what follows from them. Any file may be missing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

from graft.data.baselines import baseline_title
from graft.documents import NotPermitted
from graft.runs.difference_record import DifferenceRecord
from graft.runs.evaluation_document import (
    EvaluationDocument,
    MetricsRecord,
    PredictionRecord,
    read_evaluation,
    read_metrics,
    read_predictions,
)
from graft.runs.folder import RunFolder
from graft.runs.health import REMEDIES, HealthWarning, overfitting
from graft.runs.manifest import (
    MANIFEST,
    DataRecord,
    FigureRecord,
    LabelSpaceRecord,
    MachineRecord,
    RunManifest,
    TrainingRecord,
    read_run,
)

Estimate = FigureRecord
Difference = DifferenceRecord


@dataclass(frozen=True)
class Loss:
    """A point of a loss curve."""

    step: int
    value: float


@dataclass(frozen=True)
class RunView:
    """The files of a run.

    Attributes:
        path: The run folder.
        manifest: Its manifest; None for a folder that ``graft evaluate MODEL -o FOLDER`` wrote.
        metrics: The lines of metrics.jsonl.
        evaluation: evaluation.json; without scores if there is none.
    """

    path: Path
    manifest: RunManifest | None
    metrics: Sequence[MetricsRecord]
    evaluation: EvaluationDocument

    @classmethod
    def read(cls, path: Path) -> RunView:
        """Read the files of the run in ``path`` but its predictions; those that are missing read as empty.

        Raises:
            InputError: If a file is damaged.
        """
        manifest = read_run(path) if (path / MANIFEST).is_file() else None
        evaluation = read_evaluation(path) or EvaluationDocument()
        return cls(path, manifest, read_metrics(path), evaluation)

    @cached_property
    def predictions(self) -> list[PredictionRecord]:
        """The lines of predictions.jsonl; none where another user's rows are closed to this one.

        Raises:
            InputError: If a line is damaged.
        """
        return self._predictions[0]

    @property
    def closed(self) -> NotPermitted | None:
        """Why the rows of predictions.jsonl are not shown, where this user may not read them."""
        return self._predictions[1]

    @cached_property
    def _predictions(self) -> tuple[list[PredictionRecord], NotPermitted | None]:
        try:
            return read_predictions(self.path), None
        except NotPermitted as error:
            return [], error

    @cached_property
    def status(self) -> str:
        """The status of the manifest; a run whose process is gone was interrupted."""
        if self.manifest is None:
            return "evaluated" if self.scores else "unknown"
        return RunFolder(self.path).status_of(self.manifest)

    @property
    def killed(self) -> bool:
        """Whether the process of the run is gone without recording an end."""
        return self.manifest is not None and self.manifest.status == "running" and self.status == "interrupted"

    @property
    def error(self) -> str:
        """Why the run failed: the error, and in further lines what to do; empty if it did not."""
        return ((self.manifest and self.manifest.error) or "").strip()

    @property
    def data(self) -> DataRecord:
        """The rows of the run."""
        return self.manifest.data if self.manifest else DataRecord()

    @property
    def training(self) -> TrainingRecord:
        """The figures of the training."""
        return self.manifest.training if self.manifest else TrainingRecord()

    @property
    def machine(self) -> MachineRecord:
        """The machine that trained."""
        return self.manifest.machine if self.manifest else MachineRecord()

    @property
    def settings(self) -> dict[str, Any]:
        """The settings as resolved."""
        return self.manifest.settings if self.manifest else {}

    def setting(self, name: str) -> Any:
        """Return the value that a setting had: the inferred one, or else the recorded one."""
        inferred = self.manifest.inferred(name) if self.manifest else None
        return self.settings.get(name) if inferred is None else inferred

    @property
    def task(self) -> str:
        """The name of the task; runs of graft 0.1 may have none, and were of text generation."""
        return self.manifest.task.name if self.manifest and self.manifest.task else "text-generation"

    @property
    def label_space(self) -> LabelSpaceRecord:
        """The labels of the model's head; empty for a task without one."""
        return self.manifest.task.label_space if self.manifest and self.manifest.task else LabelSpaceRecord()

    @property
    def title(self) -> str:
        """The name that the user gave the run, or else that of its folder."""
        return (self.manifest and self.manifest.task_name) or self.path.resolve().name

    @property
    def base(self) -> str:
        """The name or path of the base model; empty if it is not recorded."""
        return self.manifest.base.name if self.manifest and self.manifest.base else ""

    @property
    def base_name(self) -> str:
        """The base as a reader knows it: of a local folder, the last part of its path."""
        name = self.base or "the base model"
        return PurePath(name.replace("\\", "/")).name if is_path(name) else name

    @property
    def license(self) -> str:
        """The license of the base model; empty if it is not recorded."""
        return (self.manifest.base.license if self.manifest and self.manifest.base else None) or ""

    @property
    def method(self) -> str:
        """The name of the tuning method."""
        record = self.manifest.method if self.manifest else None
        return record.name if record else str(self.settings.get("method") or "")

    @property
    def method_title(self) -> str:
        """The method's name for people, such as ``LoRA``."""
        record = self.manifest.method if self.manifest else None
        return (record.title if record else "") or self.method

    @property
    def loads_with(self) -> str | None:
        """The library that alone loads what the method saved; None if it is not recorded."""
        record = self.manifest.method if self.manifest else None
        return record.loads_with if record else None

    @cached_property
    def labels(self) -> list[str]:
        """The classes; empty for free text."""
        return self.evaluation.labels or self.data.labels or []

    @property
    def scores(self) -> dict[str, dict[str, FigureRecord]]:
        """Predictor -> metric -> value with its interval."""
        return self.evaluation.predictors

    @property
    def predictors(self) -> list[str]:
        """The names of the predictors, the base first."""
        return list(self.scores)

    @property
    def baselines(self) -> dict[str, dict[str, FigureRecord]]:
        """Scores to beat: title of the baseline -> metric -> value with its interval."""
        return {baseline_title(name): figures for name, figures in self.evaluation.baselines.items()}

    @cached_property
    def metric_names(self) -> list[str]:
        """Every metric that was computed, the headline first."""
        names = dict.fromkeys(metric for values in self.scores.values() for metric in values)
        return sorted(names, key=lambda name: name != self.headline)

    @cached_property
    def headline(self) -> str | None:
        """The metric on top: the one that the manifest names, or else the first that was computed."""
        computed = [metric for values in self.scores.values() for metric in values]
        named = self.manifest.scores.metric if self.manifest and self.manifest.scores else None
        return next((name for name in (named, *computed) if name in computed), None)

    @property
    def differences(self) -> list[DifferenceRecord]:
        """The paired differences."""
        return self.evaluation.differences

    def difference(self, metric: str, before: str = "base", after: str = "tuned") -> DifferenceRecord | None:
        """Return the difference between two predictors in a metric."""
        sought = (metric, before, after)
        return next((d for d in self.differences if (d.metric, d.before, d.after) == sought), None)

    @cached_property
    def training_losses(self) -> list[Loss]:
        """The training loss over the steps."""
        return _losses((line.step, line.loss) for line in self.metrics)

    @cached_property
    def held_out_losses(self) -> list[Loss]:
        """The held-out loss over the steps."""
        return _losses((line.step, line.eval_loss) for line in self.metrics)

    @property
    def last_step(self) -> int | None:
        """The last step with a loss."""
        return max((loss.step for loss in (*self.training_losses, *self.held_out_losses)), default=None)

    @cached_property
    def warnings(self) -> list[HealthWarning]:
        """Warnings about the training, as they were given and as the whole curves show them; one of each kind."""
        given = {line.warning: line for line in self.metrics if line.warning and line.message}
        found = {
            kind: HealthWarning(kind, line.message or "", REMEDIES.get(kind, ()), line.step, line.step)
            for kind, line in given.items()
        }
        curves = [[(loss.step, loss.value) for loss in c] for c in (self.training_losses, self.held_out_losses)]
        overfits = overfitting(*curves)
        if overfits:
            found["overfitting"] = overfits
        elif len(self.held_out_losses) > 1:  # the warning was premature: the loss fell again
            found.pop("overfitting", None)
        return list(found.values())

    @cached_property
    def best(self) -> Loss | None:
        """The evaluation whose weights were kept, or else the lowest so far."""
        at_step = [loss for loss in self.held_out_losses if loss.step == self.training.best_step]
        return at_step[-1] if at_step else min(self.held_out_losses, key=lambda loss: loss.value, default=None)


def is_path(name: str) -> bool:
    """Whether a base's name is a path or a file, and not an embedded name or a hub id."""
    return name.startswith(("/", "~", ".")) or "\\" in name or ":" in name or name.lower().endswith(".gguf")


def number(value: Any) -> float | None:
    """Return ``value`` if it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an integer beyond the range of floats
        return None


def _losses(points: Iterable[tuple[int, float | None]]) -> list[Loss]:
    by_step = {step: value for step, value in points if number(value) is not None}  # after a resume the later one holds
    return [Loss(step, value) for step in sorted(by_step) if (value := by_step[step]) is not None]
