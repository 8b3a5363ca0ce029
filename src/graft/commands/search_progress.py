"""The progress of a search: which trial runs, the best so far, and the time left."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from graft.progress import Reporter
from graft.runs.search_manifest import TrialRecord
from graft.search.study import Runner, Trial, best_of


class StudyReporter:
    """A reporter of trials: what each says of itself is said once, and its steps beside those of the study.

    Args:
        shown: Shows it.
        trials: The number of trials.
        greater_is_better: Whether greater scores are better.
    """

    def __init__(self, shown: Reporter, trials: int, greater_is_better: bool) -> None:
        self.shown, self.trials, self._greater_is_better = shown, trials, greater_is_better
        self.best: TrialRecord | None = None
        self._said: set[str] = set()
        self._number = self._done = self._done_before = 0
        self._began = time.monotonic()

    def begin(self, records: Sequence[TrialRecord]) -> None:
        """Take the trials that ended before the search was resumed."""
        for record in records:
            self._take(record)
        self._done = self._done_before = len(records)
        if records:
            self.shown.note(f"{len(records)} of {self.trials} trials ended before; going on with the others")

    def numbered(self, runner: Runner) -> Runner:
        """Return ``runner`` that says which trial it runs."""

        def run(trial: Trial) -> TrialRecord:
            """Run a trial."""
            self._number = trial.number
            return runner(trial)

        return run

    def ended(self, record: TrialRecord) -> None:
        """Say how a trial ended."""
        self._take(record)
        self._done += 1
        self.shown.note(f"trial {record.number}: {_outcome(record)}  {settings_in_words(record.settings)}")
        self.shown.advance("trials", self._done, self.trials, self._detail())

    def phase(self, name: str) -> None:
        """Discard the phases of each trial."""

    def note(self, text: str) -> None:
        """Show a message of a trial, unless one has said it before."""
        if text not in self._said:
            self._said.add(text)
            self.shown.note(text)

    def step(self, step: int, steps: int, figures: dict[str, float]) -> None:
        """Show the step of the trial."""
        loss = f"held-out {figures['eval_loss']:.3f}" if "eval_loss" in figures else ""
        self.advance(f"trial {self._number} of {self.trials - 1}", step, steps, loss)

    def advance(self, what: str, done: int, total: int, detail: str = "") -> None:
        """Show units of work of a trial."""
        self.shown.advance(what, done, total, " · ".join(filter(None, (detail, self._detail()))))

    def _take(self, record: TrialRecord) -> None:
        so_far = [] if self.best is None else [self.best]
        self.best = best_of([*so_far, record], self._greater_is_better)

    def _detail(self) -> str:
        best = f"best {self.best.value:.4f} (trial {self.best.number})" if self.best is not None else ""
        return " · ".join(filter(None, (best, self._left())))

    def _left(self) -> str:
        """About how long the other trials take, if each takes as long as the mean so far."""
        here = self._done - self._done_before
        if not here or self._done >= self.trials:
            return ""
        seconds = (time.monotonic() - self._began) / here * (self.trials - self._done)
        return f"trials: about {seconds / 60:.0f} min left" if seconds > 90 else f"trials: about {seconds:.0f} s left"


def _outcome(record: TrialRecord) -> str:
    if record.status == "failed":
        return f"failed: {record.error}"
    if record.status == "duplicate":
        return f"equal to trial {record.same_as}, not run"
    value = f"{record.value:.4f}" if record.value is not None else "no score"
    return f"{value} ({record.status} after {record.steps} steps)" if record.status == "pruned" else value


def settings_in_words(settings: Mapping[str, Any]) -> str:
    """Return the settings of a trial in one line."""
    return ", ".join(f"{name} {_short(value)}" for name, value in settings.items())


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)[:40]
