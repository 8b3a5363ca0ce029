"""Runs the trials of a search over one base, which is loaded once, and rows that are read and tokenized once."""

from __future__ import annotations

import math
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from graft.commands.failures import as_graft_error
from graft.commands.held_out import untouched_score
from graft.commands.model_training import prepared_model, training_request, with_teacher
from graft.commands.search_compared import check_compared
from graft.commands.search_settings import trial_settings
from graft.config import FinetuneSettings
from graft.errors import GraftError, Interrupted
from graft.plain_text import mask_secrets
from graft.planning.inputs import check_again, rows_key
from graft.planning.plan import PlannedRows, RunPlan, plan_rows, plan_run, plan_training
from graft.planning.settings import settings_class
from graft.progress import SILENT, Reporter
from graft.runs.folder import RunFolder
from graft.runs.search_manifest import TrialRecord
from graft.search.board import Board, BoardError
from graft.search.pruning import Pruner, rung_steps
from graft.search.study import Runner, Trial
from graft.tasks.load import load_for
from graft.training.loop import TrainResult, train
from graft.training.memory import free_memory
from graft.training.restore import Snapshot
from graft.training.weights import kept, put_back, tuned_weights, weights_sha256

MOST_ROWS = 4
"""How many different readings of the rows are kept, for searches over what the rows depend on."""


def make_runner(given: Mapping[str, Any], board: Board, reporter: Reporter = SILENT) -> Runner:
    """Return what runs trials, in this process or in a worker.

    Args:
        given: Plain values: ``shared``, the settings of all trials; ``choices``, the components that may be chosen;
            ``prune``; ``compared``, what the scores are taken over.
        board: Where trials post their scores.
        reporter: Shows the progress.
    """
    cls = settings_class(given["shared"], *given["choices"])
    return TrialRunner(cls, given["shared"], board, bool(given["prune"]), reporter, compared=given.get("compared"))


class PlannedTrials:
    """Plans trials; rows are read and tokenized once for all trials of which they are the same."""

    def __init__(self) -> None:
        self._rows: OrderedDict[str, PlannedRows] = OrderedDict()

    def forget(self) -> None:
        """Forget all rows."""
        self._rows.clear()

    def plan(self, settings: FinetuneSettings, reporter: Reporter = SILENT) -> RunPlan:
        """Return the plan of a trial.

        Raises:
            InputError: As ``plan_run``.
        """
        key = rows_key(settings)
        if key not in self._rows:
            planned = plan_rows(settings, reporter)
            if planned.inputs.parent is not None:  # it completes the settings of each trial
                return plan_run(settings, reporter)
            self._rows[key] = planned
            while len(self._rows) > MOST_ROWS:
                self._rows.popitem(last=False)
        else:
            check_again(settings, self._rows[key].inputs)
        self._rows.move_to_end(key)
        return plan_training(settings, self._rows[key], reporter)


class LoadedBase:
    """The base that trials are trained over, as long as each leaves it as it was."""

    def __init__(self) -> None:
        self._key: Any = None
        self._model: Any = None
        self._snapshot: Snapshot | None = None

    def take(self, plan: RunPlan) -> Any:
        """Return the base of a trial; None where the trial continues from a run and loads that itself."""
        if plan.parent is not None:
            self.drop()
            return None
        key = (plan.base, plan.task.name, plan.encoding.label_space, plan.settings.seed)
        if self._model is None or self._key != key:
            self.drop()
            self._model, self._key = load_for(plan.task, plan.encoding, plan.base, plan.settings.seed), key
            self._snapshot = Snapshot(self._model)
        return self._model

    def give_back(self, tuned: Any) -> None:
        """Take the adapter of a trial off its base, and keep the base if it is again what it was."""
        if self._model is None:
            return
        if hasattr(tuned, "unload"):
            tuned.unload()
        if "peft_config" in vars(self._model):
            del self._model.peft_config
        if next(self._model.parameters()).device.type != "cpu":
            self._model.to("cpu")
        if self._snapshot is None or not self._snapshot.restored():
            self.drop()

    def drop(self) -> None:
        """Forget the base."""
        self._key = self._model = self._snapshot = None
        free_memory()


class LoadedTeacher:
    """The teacher of a distillation, which no training changes."""

    def __init__(self) -> None:
        self._opened: Any = None
        self._model: Any = None

    def given_to(self, plan: RunPlan) -> RunPlan:
        """Return ``plan`` with its teacher loaded; the last one is kept for the next trials.

        Raises:
            InputError: If it does not load.
        """
        if plan.loss.teacher != self._opened:
            self._opened = self._model = None
            self._model = with_teacher(plan).loss.teacher_model
            self._opened = plan.loss.teacher
        return with_teacher(plan, self._model)


class TrialRunner:
    """Runs trials one after the other.

    Args:
        cls: The settings of a trial, with the options of all components that a trial may have.
        shared: The settings of all trials.
        board: Where trials post their scores.
        prune: Whether trials are stopped that fall behind.
        reporter: Shows the progress.
        planned: Plans the trials.
        compared: What the score of the first trial is taken over (``compared_on``), and of each has to be.
    """

    def __init__(
        self,
        cls: type[FinetuneSettings],
        shared: Mapping[str, Any],
        board: Board,
        prune: bool,
        reporter: Reporter = SILENT,
        planned: PlannedTrials | None = None,
        compared: str | None = None,
    ) -> None:
        self.cls, self.shared, self.board, self.prune = cls, dict(shared), board, prune
        self.reporter, self.compared = reporter, compared
        self.planned, self.base, self.teacher = planned or PlannedTrials(), LoadedBase(), LoadedTeacher()

    def __call__(self, trial: Trial) -> TrialRecord:
        """Run a trial; what goes wrong is in its record.

        Raises:
            Interrupted: When the user stops it.
        """
        started = time.perf_counter()
        try:
            found = self._run(trial)
        except (Interrupted, BoardError):
            raise
        except Exception as error:
            found = {"status": "failed", "error": _said(as_graft_error(error))}
        if found.get("status") == "failed":
            self.base.drop()
        free_memory()
        seconds = round(time.perf_counter() - started, 3)
        return TrialRecord(number=trial.number, settings=trial.settings, seconds=seconds, **found)

    def _run(self, trial: Trial) -> dict[str, Any]:
        first = trial.number == 0  # which has the defaults
        settings = trial_settings(self.cls, self.shared, {} if first else trial.settings)
        plan = self.planned.plan(settings, self.reporter)
        if self.compared is not None:
            check_compared(plan, self.compared)
        plan = self.teacher.given_to(plan)
        model = prepared_model(plan, self.base.take(plan))
        pruner = Pruner(
            number=trial.number,
            before=trial.before,
            board=self.board,
            steps=rung_steps(plan.training.steps, plan.training.warmup_steps),
            greater_is_better=plan.training.greater_is_better,
            prunes=self.prune and not first,
        )
        best = _Best(keep=first and plan.settings.load_best_model_at_end)
        with tempfile.TemporaryDirectory(prefix="graft-trial-") as folder:
            result = self._trained(Path(folder), model, plan, pruner, best)
        found = _outcome(plan, result, pruner)
        if found["status"] == "completed":
            weights = tuned_weights(model)
            found["weights"] = best.sha256 or weights_sha256(weights)
            if first:
                if best.copies:
                    put_back(weights, best.copies)
                found |= untouched_score(plan, model)
        self.base.give_back(model)
        return found

    def _trained(
        self, folder: Path, model: Any, plan: RunPlan, pruner: Pruner, best: Callable[[Any, int], None]
    ) -> TrainResult:
        run = RunFolder.create(folder / "run")
        run.update_manifest(command="search", status="running")
        unsaved = replace(plan, training=replace(plan.training, save_strategy="no"))
        on_best = best if plan.settings.load_best_model_at_end else None
        request = training_request(run, model, unsaved, stop=pruner, probes=tuple(pruner.steps), on_best=on_best)
        result = train(request, self.reporter)
        if result.interrupted:
            raise Interrupted(f"interrupted in trial {pruner.number}")
        if result.diverged:
            raise GraftError(f"the training diverged: {result.diverged}")
        return result


def _said(error: GraftError) -> str:
    """What went wrong, in one line."""
    return mask_secrets("; ".join(" ".join(problem.what.split()) for problem in error.problems))


class _Best:
    """The hash of the best weights so far, and a copy of them where they are needed."""

    def __init__(self, keep: bool) -> None:
        self.sha256: str | None = None
        self.copies: dict[str, Any] = {}
        self._keep = keep

    def __call__(self, model: Any, step: int) -> None:
        """Take the weights of a new best step."""
        weights = tuned_weights(model)
        self.sha256 = weights_sha256(weights)
        if self._keep:
            self.copies = kept(weights)


def _outcome(plan: RunPlan, result: TrainResult, pruner: Pruner) -> dict[str, Any]:
    """What a record says of a training: the value is that of the weights that a run would keep."""
    value, step = result.best_value, result.best_step
    if result.stopped:
        sign = -1.0 if plan.training.greater_is_better else 1.0
        step, value = min(pruner.history, key=lambda one: sign * one[1])
    elif not plan.settings.load_best_model_at_end:
        step, value = pruner.history[-1]
    return {
        "status": "pruned" if result.stopped else "completed",
        "value": value,
        "best_step": step,
        "steps": result.steps,
        "history": [(at, score) for at, score in pruner.history if math.isfinite(score)],
    }
