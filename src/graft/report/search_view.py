"""A search folder as its page, its table and ``graft show`` see it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from graft.evaluation.metrics import metric_info
from graft.report.format import count, duration, listed
from graft.report.summary import Facts, present
from graft.runs.folder import RunFolder
from graft.runs.manifest import SearchManifest, TrialRecord, read_search, read_trials
from graft.runs.metric_info import MetricInfo
from graft.runs.search_manifest import WINNER
from graft.runs.view import is_path, number

STATUSES = ("completed", "pruned", "failed", "duplicate")
LOSS = MetricInfo(
    name="loss",
    title="held-out loss",
    meaning="nats a token, the lower the better",
    direction="lower",
    digits=4,
    scale=None,
)


@dataclass(frozen=True)
class SearchView:
    """The files of a search.

    Attributes:
        path: The search folder.
        manifest: Its manifest.
        trials: The trials that ended, by number.
    """

    path: Path
    manifest: SearchManifest
    trials: Sequence[TrialRecord]

    @classmethod
    def read(cls, path: Path) -> SearchView:
        """Read the records of the search in ``path``.

        Raises:
            InputError: If it is no search folder, or a record is damaged.
        """
        return cls(path, read_search(path), read_trials(path))

    @cached_property
    def status(self) -> str:
        """The status of the manifest; a search whose process is gone was interrupted."""
        running = self.manifest.status == "running"
        return "interrupted" if running and not RunFolder(self.path).in_use else self.manifest.status

    @property
    def title(self) -> str:
        """The name of the folder."""
        return self.path.resolve().name

    @property
    def base_name(self) -> str:
        """The base model as a reader knows it; empty if it is not recorded."""
        name = (
            self.manifest.base.name if self.manifest.base else str(self.manifest.settings.get("model_name_or_path", ""))
        )
        return Path(name.replace("\\", "/")).name if is_path(name) else name

    @cached_property
    def metric(self) -> MetricInfo:
        """What trials are compared by."""
        name, lower = self.manifest.metric, not self.manifest.greater_is_better
        return LOSS if name == "loss" else metric_info({"lower_is_better": [name] if lower else []}, name)

    @cached_property
    def names(self) -> list[str]:
        """The searched settings, in the order of the space."""
        given = [name for trial in self.trials for name in trial.settings]
        return list(dict.fromkeys([*self.manifest.space, *given]))

    def dimension(self, name: str) -> Mapping[str, Any]:
        """Return how a setting was searched: its type, bounds or values, as a workflow file has it."""
        found = self.manifest.space.get(name)
        return found if isinstance(found, Mapping) else {}

    @cached_property
    def counts(self) -> dict[str, int]:
        """The number of trials of each status."""
        found = Counter[str](trial.status for trial in self.trials)
        return {status: found[status] for status in STATUSES if found[status]}

    @cached_property
    def ran(self) -> list[TrialRecord]:
        """The trials that ran, and have a score."""
        scored = (trial for trial in self.trials if number(trial.value) is not None)
        return [trial for trial in scored if trial.status in ("completed", "pruned")]

    @property
    def default(self) -> TrialRecord | None:
        """The trial with the default settings."""
        return next((trial for trial in self.trials if trial.number == 0), None)

    @cached_property
    def winner(self) -> TrialRecord | None:
        """The trial that won, or is the best so far."""
        named = (trial for trial in self.trials if trial.number == self.manifest.winner)
        completed = [trial for trial in self.ran if trial.status == "completed"]
        return next(named, None) or (min(completed, key=self.rank) if completed else None)

    @property
    def best(self) -> Path | None:
        """The run of the winner, if it is there."""
        folder = self.path / WINNER
        return folder if (folder / "manifest.json").is_file() else None

    def rank(self, trial: TrialRecord) -> tuple[float, int]:
        """Return what trials are sorted by, the best first; those without a score are last."""
        value = number(trial.value)
        if value is None or trial.status == "failed":
            return float("inf"), trial.number
        return (-value if self.manifest.greater_is_better else value), trial.number

    @cached_property
    def ranked(self) -> list[TrialRecord]:
        """The trials, completed before pruned before failed, and each the best first."""
        order = {"completed": 0, "duplicate": 0, "pruned": 1, "failed": 2}
        return sorted(self.trials, key=lambda trial: (order[trial.status], *self.rank(trial)))

    def better_by(self, value: float | None, than: float | None) -> float | None:
        """Return how much better ``value`` is; negative where it is worse."""
        if number(value) is None or number(than) is None:
            return None
        assert value is not None and than is not None
        return value - than if self.manifest.greater_is_better else than - value


def verdict(view: SearchView) -> str:
    """Return what came of the search, in one sentence."""
    metric, default, winner = view.metric, view.default, view.winner
    if winner is None or winner.value is None:
        failed = view.counts.get("failed", 0)
        return f"No trial has a score: {failed} failed." if failed else "No trial has ended yet."
    so_far = "" if view.manifest.winner is not None else " so far"
    score = f"{metric.label} {metric.figure(winner.value)}"
    if winner.number == 0 or default is None or default.value is None:
        others = f" of {len(view.trials)} trials" if len(view.trials) > 1 else ""
        return f"The default settings are the best{others}{so_far}: {score}."
    gain = view.better_by(winner.value, default.value) or 0.0
    than = f"the defaults have {metric.figure(default.value)}"
    if gain <= 0:
        return f"No trial beats the defaults{so_far}: the best has {score}, {than}."
    return f"Trial {winner.number} is the best{so_far}: {score}; {than}."


def facts(view: SearchView) -> Facts:
    """Return what was searched, how, and what it cost."""
    manifest = view.manifest
    spent = sum(trial.seconds for trial in view.trials)
    full = next((trial.seconds for trial in (view.default, view.winner) if trial and trial.status == "completed"), 0.0)
    planned = manifest.num_trials
    trials = f"{len(view.trials)} of {planned}" if planned > len(view.trials) else str(len(view.trials))
    statuses = ", ".join(f"{number} {status}" for status, number in view.counts.items())
    times = f", {spent / full:.1f} times that of a full run" if full > 0 and spent > 0 and len(view.trials) > 1 else ""
    return present(
        [
            ("Base model", view.base_name),
            ("Strategy", f"{manifest.strategy}{f', seed {manifest.seed}' if manifest.seed is not None else ''}"),
            ("Trials", f"{trials} ({statuses})" if statuses else trials),
            ("Time of all trials", f"{duration(spent)}{times}" if spent else ""),
            ("Compared by", f"{view.metric.label} on {count(manifest.selection_rows)} held-out rows"),
            ("Rows kept for the winner", count(manifest.untouched_rows) if manifest.untouched_rows else ""),
        ]
    )


def bounds(dimension: Mapping[str, Any]) -> str:
    """Return how a setting was searched, in words: ``1e-06 to 0.001, logarithmic``."""
    if dimension.get("type") == "choice":
        return ", ".join(map(written, dimension.get("values") or ()))
    if not {"low", "high"} <= dimension.keys():
        return ""
    step = dimension.get("step")
    scale = [", logarithmic"] if dimension.get("log") else []
    scale += [f", in steps of {written(step)}"] if step is not None else []
    return f"{written(dimension['low'])} to {written(dimension['high'])}{''.join(scale)}"


def written(value: Any) -> str:
    """Return the value of a setting as one would type it, numbers with at most four digits."""
    if isinstance(value, bool) or number(value) is None:
        return listed(value)
    return str(value) if isinstance(value, int) and abs(value) < 1e9 else f"{value:.4g}"


def cut(words: str, letters: int) -> str:
    """Return ``words``, shortened in the middle to so many letters."""
    if len(words) <= letters:
        return words
    ahead = max(1, (letters - 1) * 2 // 3)
    behind = max(0, letters - 1 - ahead)
    return f"{words[:ahead]}…{words[len(words) - behind :] if behind else ''}"
