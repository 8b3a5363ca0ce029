"""What ``graft finetune`` takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graft.config.base import Settings, setting
from graft.config.common import DataSettings, EvaluationSettings, ModelSettings
from graft.config.types import Engine, Listed, Pairs, Precision


class MethodSettings(Settings):
    """Which weights are trained, and how. Each method adds options of its own."""

    method: str = setting(
        "lora",
        "tuning method: lora, qlora, full, adapters, another of PEFT's by name, or path/to/file.py:NAME",
        "finetuning_type",
        "train_type",
    )


class TrainingSettings(Settings):
    """What graft itself decides when it is not given; every other ``TrainingArguments`` field passes through."""

    output_path: Path | None = setting(None, "the run folder", "output_dir", "o")
    task_name: str | None = setting(None, "a name for this task, kept in the manifest")
    learning_rate: float | None = setting(None, "peak learning rate (default: by the method)", "lr", gt=0, le=10)
    max_steps: int | None = setting(None, "stop after so many optimiser steps", "iters", gt=0)
    num_train_epochs: float | None = setting(None, "passes over the data (default: by its size)", "epochs", gt=0)
    per_device_train_batch_size: int | None = setting(
        None, "rows a step (default: by memory, at most 16)", "batch_size", "micro_batch_size", gt=0
    )
    per_device_eval_batch_size: int | None = setting(None, "rows at once in evaluation", gt=0)
    gradient_accumulation_steps: int = setting(1, "batches a step", gt=0)
    lr_scheduler_type: str = setting("cosine", "learning-rate schedule", "lr_scheduler")
    warmup_ratio: float = setting(0.05, "share of the steps in which the learning rate rises", ge=0, lt=1)
    weight_decay: float = setting(0.0, "AdamW's weight decay", ge=0)
    logging_steps: float | None = setting(None, "write metrics every so many steps", gt=0)
    eval_steps: float | None = setting(None, "evaluate every so many steps", gt=0)
    save_steps: float | None = setting(None, "write a checkpoint every so many steps", gt=0)
    save_total_limit: int = setting(2, "checkpoints to keep besides the best", gt=0)
    early_stopping_patience: int = setting(
        3, "stop after so many evaluations without a better held-out loss; 0: never", ge=0
    )
    load_best_model_at_end: bool = setting(True, "keep the weights of the best evaluation")
    report_to: Listed = setting((), "tensorboard, and what else transformers can report to")
    logging_dir: Path | None = setting(None, "folder for TensorBoard (default: RUN/logs)")
    seed: int = setting(42, "seed of everything random", ge=0, lt=2**32)
    precision: Precision | None = setting(
        None,
        "what is computed in: float32 (the default on a CPU), bfloat16, float16 (GPUs alone), or auto: what is "
        "measured to be quickest here; weights stay float32",
        "mixed_precision",
    )
    engine: Engine = setting(
        "exact",
        "exact: no padding, shared prefixes computed once, the same numbers (auto and packed are its older names); "
        "int8, bfloat16: frozen layers in fewer bits, faster where the CPU has them, not exact; plain: padded batches",
    )
    resume: bool = setting(False, "go on where an interrupted run stopped")
    overwrite: bool = setting(False, "replace the run that is in the output folder", "overwrite_output_dir")
    evaluate: bool = setting(True, "compare base and tuned on the held-out rows after training")
    training_arguments: Mapping[str, Any] = setting(
        {}, "further fields of transformers.TrainingArguments, on the command line as --field value"
    )


class LossSettings(Settings):
    loss: str = setting(
        "cross-entropy",
        "training objective: cross-entropy, label-smoothing, focal, class-weighted, distillation; cosine and "
        "contrastive for pairs; your own as path/to/file.py:Name or module:function",
    )
    loss_arguments: Pairs = setting({}, "arguments of the loss's constructor: gamma=2, or as JSON")
    teacher: str | None = setting(None, "model or run to distill: its distribution is learned, too")


SECRET: dict[str, Any] = {"token": True, "training_arguments": {"hub_token": True, "push_to_hub_token": True}}
"""What is written nowhere, in the form of pydantic's ``exclude``."""


class FinetuneSettings(ModelSettings, DataSettings, MethodSettings, TrainingSettings, LossSettings, EvaluationSettings):
    """Everything ``graft finetune`` takes."""
