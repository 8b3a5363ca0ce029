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

    output_path: Path | None = setting(None, "run folder to write (default: runs/DATA-METHOD)", "output_dir", "o")
    task_name: str | None = setting(None, "name of this task in the manifest and the report")
    learning_rate: float | None = setting(None, "peak learning rate (default: by the method)", "lr", gt=0, le=10)
    max_steps: int | None = setting(None, "number of optimizer steps (default: by the number of epochs)", "iters", gt=0)
    num_train_epochs: float | None = setting(
        None, "number of passes over the data (default: by its size)", "epochs", gt=0
    )
    per_device_train_batch_size: int | None = setting(
        None, "rows in a batch (default: by the memory, at most 16)", "batch_size", "micro_batch_size", gt=0
    )
    per_device_eval_batch_size: int | None = setting(None, "rows in a batch of the evaluation", gt=0)
    gradient_accumulation_steps: int = setting(1, "batches in an optimizer step", gt=0)
    lr_scheduler_type: str = setting("cosine", "learning-rate schedule", "lr_scheduler")
    warmup_ratio: float = setting(0.05, "share of the steps in which the learning rate rises from 0", ge=0, lt=1)
    weight_decay: float = setting(0.0, "AdamW's weight decay", ge=0)
    logging_steps: float | None = setting(None, "steps between log lines", gt=0)
    eval_steps: float | None = setting(None, "steps between evaluations of the held-out loss", gt=0)
    save_steps: float | None = setting(None, "steps between checkpoints", gt=0)
    save_total_limit: int = setting(2, "number of checkpoints to keep besides the best", gt=0)
    early_stopping_patience: int = setting(
        3, "number of evaluations without a better held-out loss after which training stops; 0: never", ge=0
    )
    load_best_model_at_end: bool = setting(True, "keep the weights with the lowest held-out loss")
    report_to: Listed = setting(
        (), "where to report metrics besides metrics.jsonl: tensorboard, or another integration of transformers"
    )
    logging_dir: Path | None = setting(None, "folder of TensorBoard logs (default: RUN/logs)")
    seed: int = setting(42, "seed of all random numbers", ge=0, lt=2**32)
    precision: Precision | None = setting(
        None,
        "number format of the computation: float32 (default on a CPU), bfloat16, float16 (GPUs only), or auto: the "
        "fastest one measured on this machine; weights stay float32",
        "mixed_precision",
    )
    engine: Engine = setting(
        "exact",
        "exact: no padding, shared prefixes computed once, the same numbers (auto and packed are its older names); "
        "int8, bfloat16: frozen layers in fewer bits, faster where the CPU has them, not exact; plain: padded batches",
    )
    resume: bool = setting(False, "continue an interrupted run from its last checkpoint")
    overwrite: bool = setting(False, "replace the run in the output folder", "overwrite_output_dir")
    evaluate: bool = setting(True, "compare base and tuned model on the held-out rows after training")
    training_arguments: Mapping[str, Any] = setting(
        {}, "further fields of transformers.TrainingArguments; on the command line: --field value"
    )


class LossSettings(Settings):
    """The training objective, its arguments, and a teacher to distill."""

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
