"""Batch size, steps, learning rate and intervals: inferred where they are not given, and recorded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graft.config import TrainingSettings
from graft.data.inferred import InferredSetting

LARGEST_BATCH = 16
EVALUATIONS = 8


@dataclass(frozen=True)
class TrainingPlan:
    """The numbers of a training. All steps are optimizer steps; ``inferred`` says what was not given, and why."""

    batch_size: int
    accumulation: int
    eval_batch_size: int
    steps_per_epoch: int
    steps: int
    learning_rate: float
    eval_steps: int
    save_steps: int
    logging_steps: int
    precision: str = "float32"
    inferred: list[InferredSetting] = field(default_factory=list)


def make_plan(
    settings: TrainingSettings,
    learning_rate: float,
    rows: int,
    row_tokens: int,
    model_config: Mapping[str, Any],
    memory_mb: float,
) -> TrainingPlan:
    """Fill in what ``settings`` leaves open.

    Args:
        learning_rate: the method's own, where none is given.
        rows: training rows.
        row_tokens: tokens of a long row (the 95th percentile).
        model_config: the model's config.json.
        memory_mb: free memory on this machine.
    """
    said: list[InferredSetting] = []
    batch, accumulation = _batch(settings, rows, row_tokens, model_config, memory_mb, said)
    per_epoch = max(1, math.ceil(math.ceil(rows / batch) / accumulation))
    steps = _steps(settings, rows, per_epoch, said)
    rate = settings.learning_rate or learning_rate
    if settings.learning_rate is None:
        said.append(InferredSetting("learning_rate", rate, "the default of this method for small data sets"))
    evaluate = _interval(settings.eval_steps, steps, max(1, math.ceil(steps / EVALUATIONS)))
    if settings.eval_steps is None:
        said.append(
            InferredSetting("eval_steps", evaluate, f"about {min(EVALUATIONS, steps)} evaluations in {steps} steps")
        )
    return TrainingPlan(
        batch_size=batch,
        accumulation=accumulation,
        eval_batch_size=settings.per_device_eval_batch_size or 2 * batch,
        steps_per_epoch=per_epoch,
        steps=steps,
        learning_rate=rate,
        eval_steps=evaluate,
        save_steps=_interval(settings.save_steps, steps, evaluate),
        logging_steps=_interval(settings.logging_steps, steps, max(1, min(10, steps // 20))),
        inferred=said,
    )


def _batch(
    settings: TrainingSettings,
    rows: int,
    row_tokens: int,
    model_config: Mapping[str, Any],
    memory_mb: float,
    said: list[InferredSetting],
) -> tuple[int, int]:
    accumulation = settings.gradient_accumulation_steps
    if settings.per_device_train_batch_size is not None:
        return settings.per_device_train_batch_size, accumulation
    wanted = LARGEST_BATCH
    while wanted > 1 and rows / wanted < 10:
        wanted //= 2
    fitting = wanted
    while fitting > 1 and fitting * row_tokens * token_megabytes(model_config) > memory_mb / 2:
        fitting //= 2
    why = "gives at least ten steps per epoch" if wanted < LARGEST_BATCH else "the default for small data sets"
    said.append(
        InferredSetting(
            "per_device_train_batch_size",
            fitting,
            why if fitting == wanted else "the largest batch that fits in the free memory",
        )
    )
    if fitting < wanted and accumulation == 1:
        accumulation = wanted // fitting
        said.append(InferredSetting("gradient_accumulation_steps", accumulation, f"keeps {wanted} rows per step"))
    return fitting, accumulation


def token_megabytes(model_config: Mapping[str, Any]) -> float:
    """Activations kept for the backward pass, in MB a token: about 14 hidden and 8 intermediate vectors a layer."""
    hidden = int(model_config.get("hidden_size") or model_config.get("n_embd") or 768)
    inner = int(model_config.get("intermediate_size") or model_config.get("n_inner") or 4 * hidden)
    layers = int(model_config.get("num_hidden_layers") or model_config.get("n_layer") or 12)
    return layers * 4 * (14 * hidden + 8 * inner) / 1e6


def _steps(settings: TrainingSettings, rows: int, per_epoch: int, said: list[InferredSetting]) -> int:
    if settings.max_steps is not None:
        return settings.max_steps
    epochs = settings.num_train_epochs
    if epochs is None:
        epochs = 3.0 if rows < 5_000 else 2.0 if rows < 20_000 else 1.0
        said.append(
            InferredSetting("num_train_epochs", epochs, f"{rows:,} training rows; early stopping may end sooner")
        )
    return max(1, math.ceil(epochs * per_epoch))


def _interval(given: float | None, steps: int, otherwise: int) -> int:
    """An interval in steps; below 1 it is a share of all steps, as in transformers."""
    if given is None:
        return otherwise
    return max(1, math.ceil(given * steps)) if given < 1 else int(given)
