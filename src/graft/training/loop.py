"""Training, from tokenized rows and a prepared model to the best weights."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback

from graft.config import TrainingSettings
from graft.data.tokenize import TokenizedExample
from graft.engine import LOWERED, fusable, fused, pack, packed_loss, plain_collate, plain_loss, plan_batches, supports
from graft.engine.kernels import kernels_missing
from graft.errors import InputError
from graft.progress import Reporter
from graft.runs.folder import RunFolder
from graft.runs.health import AGAINST_DIVERGENCE, Sign
from graft.training.arguments import make_arguments
from graft.training.callbacks import BestKeeper, Guard, Interrupt, Recorder
from graft.training.checkpoints import remove_broken, step_of, whole_checkpoints
from graft.training.losses.choose import ChosenLoss
from graft.training.losses.distillation import Distillation
from graft.training.losses.engine import over_tokens, packed_targets, plain_targets
from graft.training.objective import Objective, batches_by_length
from graft.training.schedule import TrainingPlan
from graft.training.trainer import Batch, Collate, EncodedRows, GraftTrainer, Loss, NotFinite

ALIASES = {"auto": "exact", "packed": "exact"}
"""Engines by the names they had."""


@dataclass(frozen=True)
class TrainResult:
    """What came of a training: the model now holds the best weights (or the last, where nothing was held out)."""

    steps: int
    best_step: int | None
    best_eval_loss: float | None
    early_stopped: bool
    interrupted: bool
    rows_per_second: float
    tokens_per_second: float
    seconds: float
    engine: str
    engine_reason: str | None
    diverged: str | None = None
    """Why the run was stopped; the model then holds the weights of ``kept_step``, or nothing good when that is None."""
    kept_step: int | None = None
    kernels_missing: str | None = None
    """Why the engine went without its compiled part, where it computed on the CPU without."""


def choose_engine(wanted: str, model: torch.nn.Module) -> tuple[str, str | None]:
    """What was asked for where the model can, else ``plain`` and why.

    Raises:
        InputError: when fewer bits were asked for and the model cannot.
    """
    if wanted == "plain":
        return "plain", None
    name = ALIASES.get(wanted, wanted)
    reason = supports(model)
    if reason is None and name in LOWERED and not fusable(model):
        reason = "no layer of it is a frozen one with a plain LoRA adapter"
    if reason is None:
        return name, None
    if name in LOWERED:
        raise InputError(f"--engine {name} cannot run this model: {reason}", remedy="leave --engine away")
    return "plain", reason


def _refuse_lowered(engine: str, precision: str, objective: Objective | None) -> None:
    """Fewer bits that would silently not be used are refused."""
    if engine in LOWERED and objective is not None:
        raise InputError(f"--engine {engine} is for text generation", remedy="leave --engine away for this task")
    if engine in LOWERED and precision != "float32":
        raise InputError(
            f"--engine {engine} and --precision {precision} both lower the frozen layers", remedy="give one of the two"
        )


def _engine(
    wanted: str, precision: str, model: Any, loss: ChosenLoss | None, objective: Objective | None
) -> tuple[str, str | None]:
    """As ``choose_engine``; tasks with a head and teachers have a word in it."""
    _refuse_lowered(wanted, precision, objective)
    engine, reason = choose_engine(wanted, model) if objective is None else ("plain", None)
    if engine != "plain" and loss is not None and loss.teacher_model is not None:
        return choose_engine(wanted, loss.teacher_model)
    return engine, reason


def train(
    model: Any,
    pad_token_id: int,
    rows: Sequence[TokenizedExample],
    held_out: Sequence[TokenizedExample],
    settings: TrainingSettings,
    plan: TrainingPlan,
    run: RunFolder,
    reporter: Reporter,
    loss: ChosenLoss | None = None,
    objective: Objective | None = None,
) -> TrainResult:
    """Train ``model`` in place; checkpoints and metrics go to ``run``.

    With ``settings.resume`` it goes on from the newest whole checkpoint, or from the start where there is none; metrics
    of later steps are taken out.
    """
    folder = run.path / "checkpoints"
    folder.mkdir(exist_ok=True)
    if "tensorboard" in settings.report_to:
        os.environ["TENSORBOARD_LOGGING_DIR"] = str(settings.logging_dir or run.path / "logs")
    engine, reason = _engine(settings.engine, plan.precision, model, loss, objective)
    arguments = make_arguments(settings, plan, folder, bool(held_out))
    missing = kernels_missing() if engine != "plain" and arguments.device.type == "cpu" else None
    _say_what_is_slow(reason, missing, reporter)
    if arguments.use_cpu or not torch.cuda.is_available():
        arguments.dataloader_pin_memory = False
    collate, compute = _collate_and_loss(engine, pad_token_id, loss, arguments.device, objective)
    keeper = BestKeeper(settings.early_stopping_patience, settings.load_best_model_at_end)
    interrupt = Interrupt(reporter)
    recorder = Recorder(run.append_metrics, reporter)
    guard = Guard(run.append_metrics, reporter)
    trainer = GraftTrainer(
        model=model,
        args=arguments,
        train_dataset=EncodedRows(rows),
        eval_dataset=EncodedRows(held_out) if held_out else None,
        callbacks=[recorder, guard, keeper, interrupt],
        collate=collate,
        loss=compute,
        keep=settings.save_total_limit,
        plan=plan_batches if objective is None else batches_by_length,
    )
    recorder.trainer = guard.trainer = trainer
    trainer.remove_callback(PrinterCallback)
    start = _resume_point(folder, settings.resume, run.truncate_metrics, reporter)
    began = time.perf_counter()
    with interrupt.listening(), fused(model, engine) if engine != "plain" else nullcontext():
        diverged = _fit(trainer, start, guard)
    seconds = time.perf_counter() - began
    kept = _back_to_the_last_good(trainer, folder, diverged) if diverged else None
    if not diverged and not interrupt.asked and settings.load_best_model_at_end and trainer.state.best_model_checkpoint:
        trainer._load_best_model()
    # Autocast was wrapped around the model's forward; what comes after training is computed in the weights' own format.
    trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    interrupted = interrupt.asked and trainer.state.global_step < trainer.state.max_steps
    return _result(trainer, seconds, (engine, reason, missing), keeper.stopped, interrupted, diverged, kept)


def _say_what_is_slow(padded: str | None, missing: str | None, reporter: Reporter) -> None:
    if padded:
        reporter.note(f"batches are padded, which is slower: {padded}")
    if missing:
        reporter.note(f"steps take twice as long without the engine's compiled part: {missing}")


def _result(
    trainer: GraftTrainer,
    seconds: float,
    engine: tuple[str, str | None, str | None],
    early_stopped: bool,
    interrupted: bool,
    diverged: Sign | None,
    kept: int | None,
) -> TrainResult:
    train_seconds = max(trainer.train_seconds, 1e-9)
    return TrainResult(
        steps=trainer.state.global_step,
        best_step=trainer.state.best_global_step,
        best_eval_loss=trainer.state.best_metric,
        early_stopped=early_stopped,
        interrupted=interrupted,
        rows_per_second=trainer.rows_seen / train_seconds,
        tokens_per_second=trainer.tokens_seen / train_seconds,
        seconds=seconds,
        engine=engine[0],
        engine_reason=engine[1],
        diverged=diverged.what if diverged else None,
        kept_step=kept,
        kernels_missing=engine[2],
    )


def _fit(trainer: GraftTrainer, start: Path | None, guard: Guard) -> Sign | None:
    """Train to the end, or until it diverges."""
    try:
        trainer.train(resume_from_checkpoint=str(start) if start else None)
    except NotFinite as error:
        sign = Sign("divergence", str(error), AGAINST_DIVERGENCE, trainer.state.global_step + 1)
        guard.warn(sign, trainer.state.global_step)
        return sign
    return guard.diverged


def _back_to_the_last_good(trainer: GraftTrainer, folder: Path, diverged: Sign) -> int | None:
    """Load the best checkpoint, or else the newest from before the divergence began; its step, or None."""
    good = [path for path in whole_checkpoints(folder) if diverged.step is None or step_of(path) < diverged.step]
    best = [path for path in good if step_of(path) == trainer.state.best_global_step]
    if not good:
        return None
    checkpoint = (best or good)[-1]
    trainer.state.best_model_checkpoint = str(checkpoint)
    trainer._load_best_model()
    return step_of(checkpoint)


def _resume_point(folder: Path, resume: bool, rewind: Callable[[int], None], reporter: Reporter) -> Path | None:
    if not resume:
        return None
    for name in remove_broken(folder):
        reporter.note(f"{name} was not written to its end and is left out.")
    whole = whole_checkpoints(folder)
    start = whole[-1] if whole else None
    rewind(step_of(start) if start else 0)
    reporter.note(
        f"Going on from {start.name}." if start else "There is no checkpoint yet: starting from the first step."
    )
    return start


def _collate_and_loss(
    engine: str, pad_token_id: int, loss: ChosenLoss | None, device: torch.device, objective: Objective | None
) -> tuple[Collate, Loss]:
    if objective is not None:
        assert loss is not None and loss.call is not None
        of_rows = objective.collate
        return partial(_counted, lambda rows: of_rows(rows, pad_token_id)), objective.over_outputs(loss.call)
    packed = engine != "plain"
    collate = partial(_with_counts, pack if packed else partial(plain_collate, pad_token_id=pad_token_id))
    if loss is None or loss.call is None:
        return collate, packed_loss if packed else plain_loss
    logits_of = packed_targets if packed else plain_targets
    if isinstance(loss.call, torch.nn.Module):
        loss.call.to(device)
    if isinstance(loss.call, Distillation):
        loss.call.learn_from(loss.teacher_model.to(device), logits_of)
    return collate, over_tokens(loss.call, logits_of)


def _with_counts(collate: Callable[[Sequence[TokenizedExample]], Batch], rows: Sequence[TokenizedExample]) -> Batch:
    """``target_rows`` (N) says which row of the batch each target is of; ``rows`` and ``tokens`` count for speeds."""
    targets = torch.tensor([len(row.input_ids) - max(1, row.prompt_length) for row in rows])
    target_rows = torch.arange(len(rows)).repeat_interleave(targets)
    return {**_counted(collate, rows), "target_rows": target_rows}


def _counted(collate: Callable[[Sequence[TokenizedExample]], Batch], rows: Sequence[TokenizedExample]) -> Batch:
    return {**collate(rows), "rows": len(rows), "tokens": sum(len(row.input_ids) for row in rows)}
