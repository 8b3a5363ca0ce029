"""Batch size, steps, learning rate and intervals: inferred where they are not given, and recorded."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graft.config import TrainingSettings
from graft.data.inferred import InferredSetting
from graft.errors import InputError
from graft.models.shape import ModelShape
from graft.training.arguments import passed

LARGEST_BATCH = 16
EVALUATIONS = 8
ROWS_AT_ONCE = "rows_at_once"
"""The name under which a manifest records that a batch did not fit in memory and is computed in parts."""


@dataclass(frozen=True)
class TrainingPlan:
    """The numbers of a training. All steps are optimizer steps; ``inferred`` says what was not given, and why.

    Attributes:
        save_strategy: When checkpoints are saved: by ``steps``, after each ``epoch``, at the ``best``, or ``no``.
        metric: What selects the best weights, as ``eval_METRIC`` of an evaluation: ``loss``, or a metric of the task.
        greater_is_better: Whether greater values of ``metric`` are better.
        rows_at_once: The rows that fit in memory, of a run that is resumed; None for those of a batch.
    """

    batch_size: int
    accumulation: int
    eval_batch_size: int
    steps_per_epoch: int
    steps: int
    learning_rate: float
    eval_steps: int
    save_steps: int
    logging_steps: int
    warmup_steps: int = 0
    save_strategy: str = "steps"
    metric: str = "loss"
    greater_is_better: bool = False
    rows_at_once: int | None = None
    precision: str = "float32"
    inferred: list[InferredSetting] = field(default_factory=list)


def make_plan(
    settings: TrainingSettings,
    learning_rate: float,
    rows: int,
    row_tokens: int,
    model_config: Mapping[str, Any],
    memory_mb: float,
    batch_megabytes: Callable[[int], float] | None = None,
) -> TrainingPlan:
    """Fill in what ``settings`` leaves open.

    Args:
        learning_rate: the method's own, where none is given.
        rows: training rows.
        row_tokens: tokens of a long row (the 95th percentile).
        model_config: the model's config.json.
        memory_mb: free memory on this machine.
        batch_megabytes: counts what a batch of so many rows takes; asked where a bound does not fit in the memory.

    Raises:
        InputError: where no batch would be left of an epoch.
    """
    said: list[InferredSetting] = []
    given = passed(settings)
    batch, accumulation = _batch(settings, rows, _fitting(row_tokens, model_config, memory_mb, batch_megabytes), said)
    batches = _batches(rows, batch, bool(given.get("dataloader_drop_last")))
    per_epoch = max(1, math.ceil(batches / accumulation))
    if settings.gradient_accumulation_steps > batches:
        why = f"an epoch has {batches} batches, fewer than the {settings.gradient_accumulation_steps} asked for"
        said.append(InferredSetting("gradient_accumulation_steps", batches, why))
    steps = _steps(settings, rows, per_epoch, said)
    rate = settings.learning_rate or learning_rate
    if settings.learning_rate is None:
        said.append(InferredSetting("learning_rate", rate, "the default of this method for small data sets"))
    evaluation = str(given.get("eval_strategy", "steps"))
    evaluate = _evaluate(settings, evaluation, steps, said)
    return TrainingPlan(
        batch_size=batch,
        accumulation=accumulation,
        eval_batch_size=settings.per_device_eval_batch_size or 2 * batch,
        steps_per_epoch=per_epoch,
        steps=steps,
        learning_rate=rate,
        eval_steps=evaluate,
        save_steps=_interval(settings.save_steps, steps, per_epoch if evaluation == "epoch" else evaluate),
        logging_steps=_interval(settings.logging_steps, steps, max(1, min(10, steps // 20))),
        warmup_steps=_warmup(settings, given.get("warmup_steps"), steps),
        save_strategy=_save_strategy(settings, given, said),
        inferred=said,
    )


def _fitting(
    row_tokens: int,
    model_config: Mapping[str, Any],
    memory_mb: float,
    batch_megabytes: Callable[[int], float] | None,
) -> Callable[[int], bool]:
    """Whether a batch of so many rows takes at most half of the memory: by the bound, and beyond it by the count."""
    bound = row_tokens * token_megabytes(model_config)

    def fits(size: int) -> bool:
        if size * bound <= memory_mb / 2:
            return True
        return batch_megabytes is not None and batch_megabytes(size) <= memory_mb / 2

    return fits


def _evaluate(settings: TrainingSettings, evaluation: str, steps: int, said: list[InferredSetting]) -> int:
    """The steps between evaluations."""
    interval = _interval(settings.eval_steps, steps, max(1, math.ceil(steps / EVALUATIONS)))
    if settings.eval_steps is None and evaluation == "steps":
        why = f"about {min(EVALUATIONS, steps)} evaluations in {steps} steps"
        said.append(InferredSetting("eval_steps", interval, why))
    return interval


def _batches(rows: int, batch: int, drop_last: bool) -> int:
    """The batches of an epoch."""
    if drop_last and rows < batch:
        what = f"--dataloader_drop_last omits every batch: {rows} training rows are fewer than a batch of {batch}"
        raise InputError(what, remedy=f"omit it, or --per_device_train_batch_size {rows}")
    return rows // batch if drop_last else math.ceil(rows / batch)


def _warmup(settings: TrainingSettings, given: float | None, steps: int) -> int:
    """Steps of warm-up. A share is rounded up, but leaves a step at the peak: a run of one step has none."""
    if given is None or (not given and "warmup_ratio" in settings.model_fields_set):
        given = settings.warmup_ratio
    return int(given) if given >= 1 else min(math.ceil(steps * given), steps - 1)


def _save_strategy(settings: TrainingSettings, given: Mapping[str, Any], said: list[InferredSetting]) -> str:
    """When checkpoints are saved; unless it is said, at evaluations."""
    by_epoch = given.get("eval_strategy") == "epoch" and settings.save_steps is None
    strategy = str(given.get("save_strategy", "epoch" if by_epoch else "steps"))
    if strategy == "no" and settings.load_best_model_at_end and given.get("eval_strategy") != "no":
        why = "--save_strategy no keeps no checkpoint, so the last weights are used"
        said.append(InferredSetting("load_best_model_at_end", False, why))
    return strategy


def _batch(
    settings: TrainingSettings, rows: int, fits: Callable[[int], bool], said: list[InferredSetting]
) -> tuple[int, int]:
    accumulation = settings.gradient_accumulation_steps
    if settings.per_device_train_batch_size is not None:
        return settings.per_device_train_batch_size, accumulation
    wanted = LARGEST_BATCH
    while wanted > 1 and rows / wanted < 10:
        wanted //= 2
    fitting = wanted
    while fitting > 1 and not fits(fitting):
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
    """A bound of the activations kept for the backward pass, in MB a token: that of padded batches, about 14 hidden and
    8 intermediate vectors a layer. The engine keeps a third of it, which ``graft.planning.footprint`` counts.
    """
    shape = ModelShape.of(model_config)
    return shape.layers * 4 * (14 * shape.hidden + 8 * shape.inner) / 1e6


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
