"""Settings of ``graft finetune``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import field_validator

from graft.config.base import Settings, setting
from graft.config.common import DataSettings, EvaluationSettings, ModelSettings
from graft.config.types import Engine, Listed, Pairs, Precision


class MethodSettings(Settings):
    """The tuning method. Each method adds its own options."""

    method: str = setting(
        "lora",
        "tuning method: lora, qlora, full, adapters, another PEFT method by name, or path/to/file.py:NAME",
        "finetuning_type",
        "train_type",
    )


class TokenSettings(Settings):
    """Tokens that a run adds to the model."""

    new_tokens: Listed | None = setting(
        None,
        'tokens to add, such as "<tool>,<note>", or a .txt file with one a line; their embeddings are trained',
        "add_tokens",
        "tokens",
    )
    new_special_tokens: Listed | None = setting(
        None,
        "control tokens to add, which decoded answers leave out",
        "add_special_tokens",
        "additional_special_tokens",
    )


class TrainingSettings(Settings):
    """Training settings that graft can infer; every other ``TrainingArguments`` field passes through."""

    output_path: Path | None = setting(None, "run folder to write (default: runs/DATA-METHOD)", "output_dir", "o")
    task_name: str | None = setting(None, "name of this task in the manifest and the report")
    learning_rate: float | None = setting(
        None, "peak learning rate (default: depends on the method)", "lr", gt=0, le=10
    )
    max_steps: int | None = setting(
        None, "number of optimizer steps (default: computed from the number of epochs)", "iters", gt=0
    )
    num_train_epochs: float | None = setting(
        None, "number of epochs (default: depends on the size of the data)", "epochs", gt=0
    )
    per_device_train_batch_size: int | None = setting(
        None,
        "training batch size in rows (default: depends on the free memory, at most 16)",
        "batch_size",
        "micro_batch_size",
        gt=0,
    )
    per_device_eval_batch_size: int | None = setting(None, "evaluation batch size in rows", gt=0)
    gradient_accumulation_steps: int = setting(1, "number of batches per optimizer step", gt=0)
    lr_scheduler_type: str = setting("cosine", "learning-rate schedule", "lr_scheduler")
    warmup_ratio: float = setting(0.05, "share of the steps used for learning rate warm-up", ge=0, lt=1)
    weight_decay: float = setting(0.0, "AdamW's weight decay", ge=0)
    logging_steps: float | None = setting(None, "steps between log lines", gt=0)
    eval_steps: float | None = setting(None, "steps between evaluations of the held-out loss", gt=0)
    monitored_rows: int | None = setting(
        None, "held-out rows that the held-out loss is watched on while training (default: at most 256)", gt=0
    )
    save_steps: float | None = setting(None, "steps between checkpoints", gt=0)
    save_total_limit: int = setting(2, "number of checkpoints to keep in addition to the best", gt=0)
    early_stopping_patience: int = setting(
        3,
        "stop after this number of evaluations without a lower held-out loss, or a better --metric_for_best_model; 0 "
        "disables early stopping",
        ge=0,
    )
    load_best_model_at_end: bool = setting(
        True, "keep the weights with the lowest held-out loss, or the best --metric_for_best_model"
    )
    report_to: Listed = setting(
        (), "tensorboard: also write TensorBoard logs; metrics.jsonl is always written, and nothing is sent anywhere"
    )
    logging_dir: Path | None = setting(None, "folder of TensorBoard logs (default: RUN/logs)")
    seed: int = setting(42, "random seed", ge=0, lt=2**32)
    precision: Precision | None = setting(
        None,
        "compute precision: float32 (default on a CPU), bfloat16, float16 (GPUs only), or auto (the fastest one, "
        "measured on this machine); weights stay in float32",
        "mixed_precision",
    )
    engine: Engine = setting(
        "exact",
        "exact: no padding, shared prefixes computed once, same results (older names: auto, packed); int8, bfloat16: "
        "frozen layers at lower precision, faster on CPUs with such instructions, not exact; plain: padded batches",
    )
    resume: bool = setting(False, "continue an interrupted run from its last checkpoint")
    overwrite: bool = setting(False, "replace the run in the output folder", "overwrite_output_dir")
    copy_base: bool = setting(False, "copy the weights of the base into the run instead of linking them")
    evaluate: bool = setting(True, "compare base and tuned model on the held-out rows after training")
    probe: bool | None = setting(
        None,
        "ask base and tuned model neutral prompts after training, to see what general abilities were lost (default: as "
        "--evaluate)",
    )
    training_arguments: Mapping[str, Any] = setting(
        {}, "additional fields of transformers.TrainingArguments; on the command line: --field value"
    )

    @field_validator("max_steps", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        """transformers' -1 for "as many as the epochs have"."""
        return None if value in (-1, "-1") else value


class LossSettings(Settings):
    """The training objective, its arguments, and a teacher for distillation."""

    loss: str = setting(
        "cross-entropy",
        "training objective: cross-entropy, label-smoothing, focal, class-weighted, distillation; cosine and "
        "contrastive for pairs; your own as path/to/file.py:Name or module:function",
    )
    loss_arguments: Pairs = setting({}, "constructor arguments of the loss: gamma=2, or JSON")
    teacher: str | None = setting(None, "teacher for distillation: a model or a run")


SECRET: dict[str, Any] = {"token": True, "training_arguments": {"hub_token": True, "push_to_hub_token": True}}
"""What is written nowhere, in the form of pydantic's ``exclude``."""


class FinetuneSettings(
    ModelSettings,
    DataSettings,
    TokenSettings,
    MethodSettings,
    TrainingSettings,
    LossSettings,
    EvaluationSettings,
):
    """All settings of ``graft finetune``."""
