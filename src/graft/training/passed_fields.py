"""What graft makes of each field of ``transformers.TrainingArguments`` that is no setting of its own.

A field has an effect, or giving it is an error that says why and what to give instead; none is taken and ignored. A
field of a newer transformers that is not listed is refused as unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class PassedField:
    """A field: what it does, or why it is refused.

    Attributes:
        effect: What it does; empty for a refused one.
        refused: Why it is refused; empty for one with an effect.
        remedy: What to do instead.
        accepted: Values of a refused field that say what holds anyway.
        default_accepted: Whether the field's default is taken, too, since it asks for nothing.
        refused_values: Values of a field with an effect that are refused, and why.
        requires: Other fields or settings, one of which must be given, too: without them the field does nothing.
        needs_gpu: Whether it does something on a CUDA GPU alone.
    """

    effect: str = ""
    refused: str = ""
    remedy: str = ""
    accepted: tuple[Any, ...] = ()
    default_accepted: bool = True
    refused_values: Mapping[str, str] = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    needs_gpu: bool = False


def _refused(why: str, remedy: str = "omit it", *accepted: Any) -> PassedField:
    return PassedField(refused=why, remedy=remedy, accepted=accepted)


def _all(names: str, passed: PassedField) -> dict[str, PassedField]:
    """The same for several fields, named in one text."""
    return dict.fromkeys(names.split(), passed)


_WORKERS = ("dataloader_num_workers",)
_LAYERWISE = "it updates weights during the backward pass, past graft's accumulation and its guard against divergence"
_RECORDED = "metrics.jsonl has the memory of every logging step"

EFFECTIVE: Mapping[str, PassedField] = {
    # optimizer
    "optim": PassedField(
        "the optimizer",
        refused_values={
            "lomo": _LAYERWISE,
            "adalomo": _LAYERWISE,
            "galore_adamw_layerwise": _LAYERWISE,
            "galore_adamw_8bit_layerwise": _LAYERWISE,
            "galore_adafactor_layerwise": _LAYERWISE,
            "apollo_adamw_layerwise": _LAYERWISE,
        },
    ),
    "optim_args": PassedField("arguments of an optimizer that reads them, such as sgd: `momentum=0.9`"),
    "optim_target_modules": PassedField("the layers of a GaLore or APOLLO optimizer"),
    "adam_beta1": PassedField("Adam's decay of the gradient's mean"),
    "adam_beta2": PassedField("Adam's decay of the squared gradient's mean"),
    "adam_epsilon": PassedField("Adam's epsilon"),
    "max_grad_norm": PassedField("the norm that gradients are clipped to; 0 does not clip them"),
    # schedule
    "warmup_steps": PassedField("steps of learning rate warm-up, in place of `--warmup_ratio`; below 1 a share"),
    "lr_scheduler_kwargs": PassedField("arguments of the learning rate schedule"),
    # numbers
    "bf16": PassedField("the same as `--precision bfloat16`"),
    "fp16": PassedField("the same as `--precision float16`"),
    "tf32": PassedField("TensorFloat-32 products on Ampere GPUs", needs_gpu=True),
    "use_cpu": PassedField("trains on the CPU where there is a GPU"),
    "full_determinism": PassedField("deterministic algorithms of PyTorch, or an error where there is none"),
    # memory
    "activation_checkpointing": PassedField("computes activations again in the backward pass, which takes less memory"),
    "activation_checkpointing_kwargs": PassedField(
        "its arguments", requires=("activation_checkpointing", "gradient_checkpointing")
    ),
    "gradient_checkpointing": PassedField("the same as `activation_checkpointing`"),
    "gradient_checkpointing_kwargs": PassedField(
        "its arguments", requires=("activation_checkpointing", "gradient_checkpointing")
    ),
    "torch_empty_cache_steps": PassedField("empties the cache of GPU memory every so many steps", needs_gpu=True),
    # objective
    "label_smoothing_factor": PassedField("the same as `--loss label-smoothing --smoothing X`"),
    "neftune_noise_alpha": PassedField(
        "NEFTune: uniform noise on the embeddings of each row, at most alpha / sqrt(length of the row × hidden size); "
        "shared prefixes are computed for each row then"
    ),
    # rows and batches
    "data_seed": PassedField("the seed of the order of the rows, in place of `--seed`"),
    "train_sampling_strategy": PassedField(
        "the order of the rows: `random`, `sequential` (as in the files), or `group_by_length`; by default rows that "
        "begin alike share a batch",
        refused_values={"batch_rebalance": "it balances the load of several processes, and graft trains in one"},
    ),
    "dataloader_drop_last": PassedField("omits the last batch of an epoch where it has fewer rows"),
    "dataloader_num_workers": PassedField("processes that prepare batches"),
    "dataloader_pin_memory": PassedField("copies batches through pinned memory (the default)", needs_gpu=True),
    "dataloader_persistent_workers": PassedField("keeps these processes between epochs", requires=_WORKERS),
    "dataloader_prefetch_factor": PassedField("batches that each of these processes prepares ahead", requires=_WORKERS),
    "dataloader_multiprocessing_context": PassedField("how these processes start", requires=_WORKERS),
    "dataloader_in_order": PassedField("`false` takes batches in the order they are ready", requires=_WORKERS),
    # evaluation
    "eval_strategy": PassedField("when the held-out loss is measured: `steps`, `epoch`, or `no`"),
    "eval_delay": PassedField("steps (epochs with `--eval_strategy epoch`) before the first evaluation"),
    "eval_on_start": PassedField("also measures the held-out loss before the first step"),
    "metric_for_best_model": PassedField(
        "what selects the best weights and stops training early: `loss`, or a metric of the task"
    ),
    "greater_is_better": PassedField("the direction of a metric of your own", requires=("metric_for_best_model",)),
    # checkpoints
    "save_strategy": PassedField("when checkpoints are saved: `steps`, `epoch`, `best`, or `no`, which keeps none"),
    "save_only_model": PassedField("checkpoints without the optimizer, from which a run cannot be resumed"),
    # logs
    "logging_strategy": PassedField("when the loss is logged: `steps`, `epoch`, or `no`"),
    "logging_first_step": PassedField("also logs the loss of the first step"),
    "include_num_input_tokens_seen": PassedField("also logs the number of tokens read: `all` or `non_padding`"),
    "log_level": PassedField("the level of transformers' own messages"),
}
"""Fields that do what transformers' documentation says."""

REFUSED: Mapping[str, PassedField] = {
    **_all(
        "average_tokens_across_devices accelerator_config parallelism_config ddp_find_unused_parameters "
        "ddp_bucket_cap_mb ddp_broadcast_buffers ddp_static_graph ddp_backend ddp_timeout fsdp fsdp_config deepspeed "
        "log_on_each_node log_level_replica save_on_each_node",
        _refused("graft trains in one process on one device"),
    ),
    "local_rank": _refused("graft trains in one process on one device", "omit it", 0),
    **_all(
        "push_to_hub hub_private_repo hub_model_id hub_strategy hub_always_push hub_revision trackio_space_id "
        "trackio_bucket_id trackio_static_space_id",
        _refused("graft does not upload anything", "upload it after the run: hf upload OWNER/NAME RUN/adapter"),
    ),
    "hub_token": _refused("it is for uploads, and graft does not upload anything", "--token loads models and data"),
    **_all("bf16_full_eval fp16_full_eval", _refused("evaluations compute as training does", "--precision bfloat16")),
    **_all(
        "torch_compile torch_compile_backend torch_compile_mode use_liger_kernel liger_kernel_config",
        _refused("graft's engine replaces the same layers by kernels of its own", "choose one with --engine"),
    ),
    "run_name": _refused("graft sends nothing to a service", "--task_name names the run in its report"),
    "project": _refused("graft sends nothing to a service", "--task_name names the run in its report", "huggingface"),
    "use_cache": _refused("training reads every row once, so there is nothing to cache"),
    "auto_find_batch_size": _refused(
        "graft chooses the batch size by the free memory before training starts",
        "omit it and --per_device_train_batch_size, or give a smaller one with --gradient_accumulation_steps",
    ),
    "logging_nan_inf_filter": _refused("a run whose loss becomes NaN or infinite is stopped"),
    "disable_tqdm": _refused("graft shows its own progress and no bars of transformers", "omit it", True),
    "prediction_loss_only": _refused("evaluations measure the loss and --metric_for_best_model, and nothing else"),
    **_all(
        "eval_do_concat_batches eval_use_gather_object eval_accumulation_steps include_for_metrics batch_eval_metrics",
        _refused("the held-out loss is summed batch by batch, and no outputs are kept", "omit it, or see --metrics"),
    ),
    "enable_jit_checkpoint": _refused("checkpoints are saved by steps, and at Ctrl-C", "--save_steps N"),
    "ignore_data_skip": _refused("a resumed run goes on with the rows it has not read"),
    "restore_callback_states_from_checkpoint": _refused("a resumed run always knows what was logged before"),
    "remove_unused_columns": _refused("a column mapping says which columns are read", "--column_mapping", False),
    "label_names": _refused("a column mapping says which columns are labels", "--column_mapping or a template"),
    "length_column_name": _refused("the lengths of the rows are known", "--train_sampling_strategy group_by_length"),
    "debug": _refused("graft checks the loss and the weights itself", "graft finetune --debug shows tracebacks"),
    "skip_memory_metrics": _refused(_RECORDED),
    "do_train": PassedField(
        refused="graft finetune trains",
        remedy="graft evaluate evaluates without training",
        accepted=(True,),
        default_accepted=False,
    ),
    "do_eval": PassedField(
        refused="it does not say which evaluation to omit",
        remedy="--eval_strategy no omits those during training, --no_evaluate the comparison after it",
        accepted=(True,),
        default_accepted=False,
    ),
    "do_predict": _refused("graft finetune compares the model on held-out rows", "graft evaluate RUN rows.jsonl"),
    "resume_from_checkpoint": _refused(
        "a run is resumed by its folder, from its newest complete checkpoint",
        "graft finetune --resume --output_path RUN",
    ),
}
"""Fields that would do nothing, or less than they say."""

PASSED_FIELDS: Mapping[str, PassedField] = {**EFFECTIVE, **REFUSED}

RENAMED: Mapping[str, str] = {
    "evaluation_strategy": "eval_strategy",
    "no_cuda": "use_cpu",
}
"""Fields that users still type and transformers has renamed."""

FORMER_SWITCHES: Mapping[str, tuple[str, str]] = {
    "group_by_length": ("train_sampling_strategy", "group_by_length"),
    "adafactor": ("optim", "adafactor"),
}
"""Switches of older versions: the field, and the value of it, that ``true`` stands for."""

FORMER: Mapping[str, PassedField] = {
    **_all("fp16_backend half_precision_backend fp16_opt_level", _refused("there is only one way", "--precision")),
    **_all(
        "dispatch_batches split_batches fsdp_min_num_params fsdp_transformer_layer_cls_to_wrap sharded_ddp "
        "mp_parameters tpu_num_cores tpu_metrics_debug use_mps_device use_ipex tp_size",
        REFUSED["ddp_backend"],
    ),
    **_all("push_to_hub_token", REFUSED["hub_token"]),
    **_all("push_to_hub_model_id push_to_hub_organization", REFUSED["push_to_hub"]),
    **_all("torchdynamo jit_mode_eval", REFUSED["torch_compile"]),
    "include_tokens_per_second": _refused("metrics.jsonl always has tokens_per_second", "omit it", True),
    "include_inputs_for_metrics": REFUSED["include_for_metrics"],
    "past_index": _refused("transformers no longer has it"),
    "ray_scope": _refused("graft finetune trains once"),
    "save_safetensors": _refused("weights are saved as safetensors only", "omit it", True),
    "per_gpu_train_batch_size": _refused("transformers no longer has it", "--per_device_train_batch_size"),
    "per_gpu_eval_batch_size": _refused("transformers no longer has it", "--per_device_eval_batch_size"),
}
"""Fields of older versions."""

OFF: tuple[Any, ...] = (None, "", False, -1, (), "none", "auto")
"""Values of a field of an older version that ask for nothing."""
