"""A run folder as the report sees it. Whatever is missing or torn is left out: unfinished runs have pages, too."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

from graft.runs.folder import RunFolder
from graft.runs.health import REMEDIES, Sign, overfitting
from graft.runs.upgrade import upgrade_manifest

Table = Mapping[str, Any]


@dataclass(frozen=True)
class Estimate:
    """A score and its 95 % interval over ``n`` rows."""

    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None


@dataclass(frozen=True)
class Difference:
    """How much higher ``after`` scores than ``before``, paired by row."""

    metric: str
    before: str
    after: str
    value: float
    low: float | None = None
    high: float | None = None
    p: float | None = None


@dataclass(frozen=True)
class Loss:
    """A point of a loss curve."""

    step: int
    value: float


@dataclass(frozen=True)
class RunView:
    path: Path
    manifest: Table
    metrics: Sequence[Table]
    evaluation: Table
    predictions: Sequence[Table]

    @classmethod
    def read(cls, path: Path) -> RunView:
        """The view of the run in ``path``; a file that isn't there, or isn't JSON, reads as empty."""
        recorded = _document(path / "manifest.json")
        return cls(
            path,
            upgrade_manifest(dict(recorded)) if recorded else {},
            list(_lines(path / "metrics.jsonl")),
            _document(path / "evaluation.json"),
            list(_lines(path / "predictions.jsonl")),
        )

    def section(self, *names: str) -> Table:
        """A nested object of the manifest, empty where it is missing."""
        found: Any = self.manifest
        for name in names:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found if isinstance(found, Mapping) else {}

    @cached_property
    def killed(self) -> bool:
        """Whether the manifest says that the run is running, and no process holds the folder."""
        return self.manifest.get("status") == "running" and not RunFolder(self.path).in_use

    @property
    def status(self) -> str:
        """The status of the manifest; a run whose process is gone was interrupted."""
        if self.killed:
            return "interrupted"
        return str(self.manifest.get("status") or ("evaluated" if self.evaluation else "unknown"))

    @property
    def task(self) -> str:
        return str(self.section("task").get("name") or "text-generation")

    @property
    def title(self) -> str:
        return str(self.manifest.get("task_name") or self.path.resolve().name)

    @property
    def base_name(self) -> str:
        """The base as one would say it: of a local folder, its last part."""
        name = str(self.section("base").get("name") or "the base model")
        return PurePath(name.replace("\\", "/")).name if is_path(name) else name

    @property
    def method(self) -> str:
        return str(self.section("settings").get("method") or "")

    @cached_property
    def labels(self) -> list[str]:
        found = self.evaluation.get("labels") or self.section("data").get("labels") or []
        return [str(label) for label in found] if isinstance(found, Sequence) and not isinstance(found, str) else []

    @cached_property
    def scores(self) -> dict[str, dict[str, Estimate]]:
        """Predictor -> metric -> estimate."""
        predictors = self.evaluation.get("predictors") or {}
        read = {
            str(name): {str(metric): _estimate(value) for metric, value in values.items()}
            for name, values in predictors.items()
            if isinstance(values, Mapping)
        }
        return {name: {metric: e for metric, e in values.items() if e} for name, values in read.items()}

    @property
    def predictors(self) -> list[str]:
        return list(self.scores)

    @cached_property
    def metric_names(self) -> list[str]:
        """Every metric computed, the headline first."""
        names = dict.fromkeys(metric for values in self.scores.values() for metric in values)
        return sorted(names, key=lambda name: name != self.headline)

    @cached_property
    def headline(self) -> str | None:
        """The metric on top: the one that the manifest names, else the first that was computed."""
        computed = [metric for values in self.scores.values() for metric in values]
        candidates = [self.section("scores").get("metric"), *computed]
        return next((str(name) for name in candidates if name in computed), None)

    @cached_property
    def differences(self) -> list[Difference]:
        found = self.evaluation.get("differences") or ()
        read = [_difference(entry) for entry in found if isinstance(entry, Mapping)]
        return [difference for difference in read if difference]

    def difference(self, metric: str, before: str = "base", after: str = "tuned") -> Difference | None:
        sought = (metric, before, after)
        return next((d for d in self.differences if (d.metric, d.before, d.after) == sought), None)

    @cached_property
    def training_losses(self) -> list[Loss]:
        return _losses(self.metrics, "loss")

    @cached_property
    def held_out_losses(self) -> list[Loss]:
        return _losses(self.metrics, "eval_loss")

    @cached_property
    def signs(self) -> list[Sign]:
        """Signs of trouble, as they were said while training and as the curves now show them; one of a kind."""
        said = {str(line["sign"]): line for line in self.metrics if line.get("sign") and line.get("what")}
        found = {kind: _sign(kind, line) for kind, line in said.items()}
        by_heart = overfitting(
            *([(loss.step, loss.value) for loss in c] for c in (self.training_losses, self.held_out_losses))
        )
        if by_heart:
            found["overfitting"] = by_heart
        elif len(self.held_out_losses) > 1:  # said too early: it has become better again
            found.pop("overfitting", None)
        return list(found.values())

    @cached_property
    def best(self) -> Loss | None:
        """The evaluation whose weights were kept, or else the lowest so far."""
        step = self.section("training").get("best_step")
        at_step = [loss for loss in self.held_out_losses if loss.step == step]
        return at_step[-1] if at_step else min(self.held_out_losses, key=lambda loss: loss.value, default=None)


def is_path(name: str) -> bool:
    """A base's name is an absolute path, a file, an embedded name, or a hub id."""
    return name.startswith(("/", "~", ".")) or "\\" in name or ":" in name or name.lower().endswith(".gguf")


def number(value: Any) -> float | None:
    """``value`` when it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def _sign(kind: str, line: Table) -> Sign:
    step = number(line.get("step"))
    at = int(step) if step is not None else None
    return Sign(kind, str(line["what"]), REMEDIES.get(kind, ()), at, at)


def _document(path: Path) -> Table:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _lines(path: Path) -> Iterator[Table]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return
    for line in lines:
        try:
            found = json.loads(line)
        except ValueError:  # the last line of a run that was killed
            continue
        if isinstance(found, dict):
            yield found


def _estimate(entry: Any) -> Estimate | None:
    if not isinstance(entry, Mapping):
        return None
    value, rows = number(entry.get("value")), number(entry.get("n"))
    if value is None:
        return None
    return Estimate(value, number(entry.get("low")), number(entry.get("high")), int(rows) if rows is not None else None)


def _difference(entry: Table) -> Difference | None:
    value = number(entry.get("value"))
    if value is None:
        return None
    names = str(entry.get("metric")), str(entry.get("from")), str(entry.get("to"))
    return Difference(*names, value, number(entry.get("low")), number(entry.get("high")), number(entry.get("p")))


def _losses(lines: Sequence[Table], name: str) -> list[Loss]:
    by_step: dict[int, float] = {}  # a resumed run may write a step twice: the later one holds
    for line in lines:
        step, value = number(line.get("step")), number(line.get(name))
        if step is not None and value is not None:
            by_step[int(step)] = value
    return [Loss(step, by_step[step]) for step in sorted(by_step)]
