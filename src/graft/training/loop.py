"""Training, from tokenized rows and a prepared model to the best weights."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback

from graft.config import TrainingSettings
from graft.data.tokenize import TokenizedExample
from graft.engine import fused
from graft.errors import InputError
from graft.files import saying_what_failed
from graft.progress import SILENT, Reporter
from graft.runs.folder import RunFolder
from graft.runs.health import AGAINST_DIVERGENCE, HealthWarning
from graft.training.arguments import make_arguments, passed
from graft.training.callbacks import BestCheckpoint, HealthMonitor, LastLog, MetricsWriter, StopHook
from graft.training.checkpoints import is_whole, remove_incomplete, step_of, whole_checkpoints
from graft.training.collate import make_collate, make_loss
from graft.training.ending import AlreadyTrained, EvaluationInterrupted, InterruptHandler, ResumeHandler
from graft.training.engine_choice import EngineChoice, engine_for
from graft.training.losses.choose import ChosenLoss
from graft.training.memory import Collate, Parts, parts_note
from graft.training.neftune import noisy_embeddings
from graft.training.objective import Objective
from graft.training.sampling import batch_plan
from graft.training.schedule import ROWS_AT_ONCE, TrainingPlan
from graft.training.trainer import GraftTrainer, Monitor, NonFiniteError, TokenizedRows


@dataclass(frozen=True)
class TrainRequest:
    """What to train, on what, and how.

    Attributes:
        model: prepared by a method: what is to be tuned requires gradients. It is trained in place.
        pad_token_id: fills padded batches.
        rows: training rows.
        held_out: rows that the held-out loss is measured on while training; without any, the last weights are kept.
        settings: what the user decided; with ``resume`` the newest complete checkpoint goes on.
        schedule: batch sizes, steps, learning rate, precision.
        run: the folder that gets checkpoints and metrics.
        loss: None for the engine's own cross-entropy.
        objective: what a task with a head computes its loss on; None for text generation.
        monitor: measures ``schedule.metric`` of the model at each evaluation; None for the held-out loss.
        extended_from: the step from which the run was made longer; None when it was not.
        stop: called with the step and what is monitored after each evaluation; true ends the training there.
        probes: steps at which ``stop`` is called besides: what is monitored is measured, and nothing else is changed.
        on_best: called with the model and the step at each new best value.
    """

    model: Any
    pad_token_id: int
    rows: Sequence[TokenizedExample]
    held_out: Sequence[TokenizedExample]
    settings: TrainingSettings
    schedule: TrainingPlan
    run: RunFolder
    loss: ChosenLoss | None = None
    objective: Objective | None = None
    monitor: Monitor | None = None
    extended_from: int | None = None
    stop: Callable[[int, float], bool] | None = None
    probes: Collection[int] = ()
    on_best: Callable[[Any, int], None] | None = None

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.run.path / "checkpoints"


@dataclass(frozen=True)
class TrainResult:
    """What came of a training: the model now holds the best weights, or the last where nothing was held out.

    Attributes:
        best_eval_loss: in nats a token, at ``best_step``.
        metric: what the best step was selected by.
        best_value: its value at ``best_step``.
        seconds: of the whole training; the rates are of its optimizer steps alone, and None where none was left.
        engine_reason: why batches were padded, where another engine was asked for.
        diverged: why the training was stopped; the model then holds the weights of ``kept_step``, or unusable ones
            when that is None.
        kernels_missing: why the engine ran on the CPU without its compiled kernels.
        stopped: whether ``stop`` of the request ended the training.
    """

    steps: int
    best_step: int | None
    best_eval_loss: float | None
    early_stopped: bool
    interrupted: bool
    rows_per_second: float | None
    tokens_per_second: float | None
    seconds: float
    engine: str
    engine_reason: str | None
    diverged: str | None = None
    kept_step: int | None = None
    kernels_missing: str | None = None
    metric: str = "loss"
    best_value: float | None = None
    stopped: bool = False


def train(request: TrainRequest, reporter: Reporter = SILENT) -> TrainResult:
    """Train the model in place; checkpoints and metrics go to the run folder.

    A resumed training goes on from the newest complete checkpoint, or from the first step where there is none; metrics
    of later steps are removed. Where the last step is done already, nothing is trained, and the best weights are kept.

    Raises:
        InputError: when the training arguments or the engine do not fit.
    """
    settings = request.settings
    with saying_what_failed(request.checkpoints):
        request.checkpoints.mkdir(exist_ok=True)
    if "tensorboard" in settings.report_to:
        os.environ["TENSORBOARD_LOGGING_DIR"] = str(settings.logging_dir or request.run.path / "logs")
    engine = engine_for(settings.engine, request.schedule.precision, request.model, request.loss, request.objective)
    training = _Training(request, engine, reporter)
    start = _resume_point(request, reporter)
    began = time.perf_counter()
    with ExitStack() as stack:
        stack.enter_context(training.interrupt.listening())
        stack.enter_context(noisy_embeddings(request.model, training.noise))
        if engine.is_packed:
            stack.enter_context(fused(request.model, engine.name))
        warning = training.run(start)
    seconds = time.perf_counter() - began
    return training.finish(seconds, warning)


class _Training:
    """A Trainer with its callbacks."""

    def __init__(self, request: TrainRequest, engine: EngineChoice, reporter: Reporter) -> None:
        self.request = request
        settings, run = request.settings, request.run
        schedule, given = request.schedule, passed(settings)
        arguments = make_arguments(settings, schedule, request.checkpoints, bool(request.held_out))
        self.engine = engine.on(arguments.device)
        self.engine.report(reporter)
        if arguments.use_cpu or not torch.cuda.is_available():
            arguments.dataloader_pin_memory = False
        saves = schedule.save_strategy != "no"
        self.noise = float(given.get("neftune_noise_alpha", 0))
        self.best = BestCheckpoint(
            settings.early_stopping_patience,
            settings.load_best_model_at_end and saves,
            f"eval_{schedule.metric}",
            schedule.greater_is_better,
            request.extended_from,
        )
        self.interrupt = InterruptHandler(reporter, saves)
        self.health = HealthMonitor(run.append_metrics, reporter)
        monitored = f"eval_{schedule.metric}", schedule.greater_is_better
        self.stop = StopHook(request.stop, request.probes, request.on_best, *monitored)
        metrics, resume = MetricsWriter(run.append_metrics, reporter), ResumeHandler(self.best)
        self.trainer = GraftTrainer(
            model=request.model,
            args=arguments,
            train_dataset=TokenizedRows(request.rows),
            eval_dataset=TokenizedRows(request.held_out) if request.held_out else None,
            # A divergence overrules an interrupt: it keeps no checkpoint.
            callbacks=[metrics, self.interrupt, self.health, self.best, self.stop, LastLog(), resume],
            parts=self._parts(
                make_collate(engine.is_packed, request.pad_token_id, request.objective, not self.noise), reporter
            ),
            loss=make_loss(engine.is_packed, request.loss, arguments.device, request.objective),
            keep=settings.save_total_limit,
            plan=batch_plan(
                given.get("train_sampling_strategy"), request.objective is not None, arguments.dataloader_drop_last
            ),
            interrupt=self.interrupt,
            monitor=request.monitor,
            reporter=reporter,
        )
        metrics.trainer = self.health.trainer = resume.trainer = self.stop.trainer = self.trainer
        self.trainer.remove_callback(PrinterCallback)

    def _parts(self, collate: Collate, reporter: Reporter) -> Parts:
        schedule, run = self.request.schedule, self.request.run

        def reduced(rows: int) -> None:
            """Say it, and record it for a run that is resumed."""
            why = parts_note(schedule.batch_size, rows)
            reporter.note(why)
            others = [s.document() for s in run.manifest.inferred_settings if s.name != ROWS_AT_ONCE]
            run.update_manifest(inferred_settings=[*others, {"name": ROWS_AT_ONCE, "value": rows, "why": why}])

        return Parts(schedule.batch_size, schedule.rows_at_once or schedule.batch_size, collate, reduced)

    def run(self, start: Path | None) -> HealthWarning | None:
        """Train to the end, or until the loss diverges; the warning of it then."""
        try:
            self.trainer.train(resume_from_checkpoint=str(start) if start else None)
        except (AlreadyTrained, EvaluationInterrupted):
            return None
        except NonFiniteError as error:
            step = self.trainer.state.global_step
            warning = HealthWarning("divergence", str(error), AGAINST_DIVERGENCE, step + 1)
            self.health.warn(warning, step)
            return warning
        return self.health.diverged

    def finish(self, seconds: float, warning: HealthWarning | None) -> TrainResult:
        """Load the best weights, and say what came of the training."""
        trainer, state = self.trainer, self.trainer.state
        kept = self._load_last_good(warning) if warning else None
        best = self.request.checkpoints / f"checkpoint-{state.best_global_step}"
        # The recorded path may be from before a move, or lead elsewhere.
        state.best_model_checkpoint = str(best) if state.best_global_step is not None and is_whole(best) else None
        keep_best = self.request.settings.load_best_model_at_end and state.best_model_checkpoint
        if not warning and not self.interrupt.asked and keep_best:
            trainer._load_best_model()
        # Autocast was wrapped around forward; whatever comes after training computes in the weights' own format.
        trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
        step_seconds = trainer.train_seconds
        metric = f"eval_{self.request.schedule.metric}"
        # Without checkpoints the Trainer remembers the best value and not its step.
        found = (step for step, value in _logged(state, metric).items() if value == state.best_metric)
        best_step = state.best_global_step or next(found, None)
        return TrainResult(
            steps=state.global_step,
            best_step=best_step,
            best_eval_loss=_logged(state, "eval_loss").get(best_step),
            early_stopped=self.best.stopped,
            interrupted=self.interrupt.asked and not warning,
            rows_per_second=trainer.rows_seen / step_seconds if step_seconds else None,
            tokens_per_second=trainer.tokens_seen / step_seconds if step_seconds else None,
            seconds=seconds,
            engine=self.engine.name,
            engine_reason=self.engine.padded_because,
            diverged=warning.message if warning else None,
            kept_step=kept,
            kernels_missing=self.engine.kernels_missing,
            metric=self.request.schedule.metric,
            best_value=state.best_metric,
            stopped=self.stop.stopped,
        )

    def _load_last_good(self, warning: HealthWarning) -> int | None:
        """Load the best checkpoint, or else the newest from before the divergence began; its step, or None."""
        found = whole_checkpoints(self.request.checkpoints)
        good = [path for path in found if warning.step is None or step_of(path) < warning.step]
        best = [path for path in good if step_of(path) == self.trainer.state.best_global_step]
        if not good:
            return None
        checkpoint = (best or good)[-1]
        self.trainer.state.best_model_checkpoint = str(checkpoint)
        self.trainer._load_best_model()
        return step_of(checkpoint)


def _logged(state: Any, name: str) -> dict[int | None, float]:
    """A figure of the log history by step."""
    return {line["step"]: line[name] for line in state.log_history if name in line}


def _resume_point(request: TrainRequest, reporter: Reporter) -> Path | None:
    """The checkpoint that a resumed training goes on from; None to start at the first step."""
    if not request.settings.resume:
        return None
    for name in remove_incomplete(request.checkpoints):
        reporter.note(f"{name} is incomplete and was ignored.")
    complete = whole_checkpoints(request.checkpoints)
    start = complete[-1] if complete else None
    if start is not None and not list(start.glob("optimizer*")):
        raise InputError(
            "this checkpoint holds the model alone (save_only_model), so training cannot go on from it",
            where=str(start),
            remedy="start again with --overwrite",
        )
    request.run.truncate_metrics(step_of(start) if start else 0)
    reporter.note(f"Resuming from {start.name}." if start else "No checkpoint found: starting at the first step.")
    return start
