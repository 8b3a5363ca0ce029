"""Every setting declared once: its type, default, bounds, help, and the other names users know it by.

The command line, YAML files, the JSON schema and the reference page are made from these classes. ``None`` means
"not given": what is then used is inferred from the data, the model and the machine, printed, and recorded.
"""

from __future__ import annotations

import json
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from graft.errors import Problem, Problems, did_you_mean


def _listed(value: Any) -> Any:
    """``a,b`` or one value is a list, too."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _unescaped(value: Any) -> Any:
    r"""A ``\n`` or ``\t`` typed in a shell means the character; every other letter stays as it is."""
    return value.replace("\\n", "\n").replace("\\t", "\t") if isinstance(value, str) else value


def _pairs(value: Any) -> Any:
    """``a=1,b=2``, a list of such, or JSON is a mapping, too; values are read as JSON where they are that."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        return _json(value)
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list) or not all("=" in str(part) for part in parts):
        return value
    split = (str(part).partition("=") for part in parts)
    return {name.strip(): _json(text.strip()) for name, _, text in split}


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


Listed = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Template = Annotated[str, BeforeValidator(_unescaped)]
Pairs = Annotated[Mapping[str, Any], BeforeValidator(_pairs)]


def _format(value: Any) -> Any:
    """Number formats as people write them."""
    short = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "no": "float32"}
    return short.get(value, value) if isinstance(value, str) else value


Precision = Annotated[Literal["auto", "float32", "bfloat16", "float16"], BeforeValidator(_format)]


def setting(default: Any, help: str, *aliases: str, group: str = "", **bounds: Any) -> Any:
    """A field of a settings class; ``aliases`` are other names by which users know it."""
    extra: dict[str, Any] = {"aliases": list(aliases), "group": group}
    return Field(default=default, description=help, json_schema_extra=extra, **bounds)


class Settings(BaseModel):
    """Base of all settings classes: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), coerce_numbers_to_str=True)


class ModelSettings(Settings):
    model_name_or_path: str | None = setting(
        None, "model: a folder, a .gguf file, a hub id, or smollm2-135m-instruct", "model", "base_model", "model_id"
    )
    model_revision: str | None = setting(None, "branch, tag or commit of a hub model", "revision")
    trust_remote_code: bool = setting(False, "let the model or the data set run code of its own")
    task: str | None = setting(
        None,
        "text-generation, text-classification, token-classification, feature-extraction (pairs of texts), "
        "summarization (default: by the model and the data)",
    )
    token: str | None = setting(None, "access token for the hub; HF_TOKEN is used otherwise", "hf_token")
    chat_template: str | None = setting(None, "Jinja chat template, or a file with one, instead of the model's own")


class DataSettings(Settings):
    data_name: str | None = setting(
        None, "data: a hub id, a folder, or a file", "dataset", "dataset_name", "data", "dataset_id"
    )
    data_files: Listed | None = setting(None, "data: one or several files, globs too", "train_files", "train_file")
    data_config_name: str | None = setting(None, "configuration of a hub data set", "dataset_config_name", "subset")
    train_split: str | None = setting(None, 'rows to train on, such as "train" or "train[:4096]"', "split")
    eval_split: str | None = setting(None, 'rows to hold out, such as "train[4096:4224]"')
    eval_data_files: Listed | None = setting(
        None, "files with the rows to hold out", "eval_files", "eval_file", "validation_file", "validation_files"
    )
    eval_share: float | None = setting(
        None,
        "share of the rows to hold out when none are given (default: 0.1 to 0.2 by size)",
        "val_size",
        "val_set_size",
        "test_size",
        gt=0,
        lt=1,
    )
    text_template: Template | None = setting(
        None, 'the whole text with {column} placeholders, as in "User: {input}\\nAssistant: {output}"'
    )
    prompt_template: Template | None = setting(None, "the prompt with {column} placeholders")
    completion_template: Template | None = setting(None, "the answer with {column} placeholders", "response_template")
    system_prompt: Template | None = setting(None, "system message put before every prompt", "system", "default_system")
    instruction: Template | None = setting(None, "what to do with `text`, put before it (inferred for labelled text)")
    pair_label: Literal["similar", "different"] = setting(
        "similar", "what a pair's label says of its two texts; a loss is told whether they differ"
    )
    loss_on: Literal["completion", "all"] = setting("completion", "which tokens are trained on")
    max_length: int | None = setting(
        None,
        "longest row in tokens (default: what the data needs, at most 1024 and the model's limit)",
        "max_seq_length",
        "max_seq_len",
        "cutoff_len",
        "sequence_len",
        gt=7,
    )
    max_train_samples: int | None = setting(None, "use no more than so many rows for training", "max_samples", gt=1)
    max_eval_samples: int | None = setting(None, "hold out no more than so many rows", gt=0)


class MethodSettings(Settings):
    method: str = setting(
        "lora",
        "how to tune: lora, qlora, full, adapters, or another of PEFT's by name",
        "finetuning_type",
        "train_type",
    )
    lora_r: int = setting(16, "rank of the LoRA matrices", "r", "lora_rank", "rank", gt=0)
    lora_alpha: float | None = setting(None, "LoRA's scale is alpha / r (default: twice r)", "alpha", gt=0)
    lora_dropout: float = setting(0.0, "dropout before the LoRA matrices, or the adapters", ge=0, lt=1)
    target_modules: Listed | None = setting(
        None,
        "layers that get an adapter: names or suffixes (default: all-linear)",
        "lora_target",
        "lora_target_modules",
    )
    modules_to_save: Listed | None = setting(
        None, "layers trained whole and saved beside the adapter", "additional_target", "lora_modules_to_save"
    )
    use_rslora: bool = setting(False, "scale by alpha / sqrt(r) (Kalajdzievski 2023)", "rslora")
    use_dora: bool = setting(False, "weight-decomposed LoRA (Liu et al. 2024)", "dora")
    quantisation: Literal["auto", "int4", "nf4"] = setting(
        "auto", "qlora's frozen base: int4 as it ships, nf4 by bitsandbytes (auto: nf4 with a CUDA GPU)", "quantization"
    )
    reduction_factor: float = setting(16, "adapters are so many times narrower than the model", ge=1)
    adapter_placement: Literal["pfeiffer", "houlsby"] = setting(
        "pfeiffer", "adapters after the feed-forward part of each layer, or after attention, too (houlsby)"
    )
    non_linearity: Literal["relu", "gelu", "silu", "tanh"] = setting("relu", "within an adapter", "adapter_activation")


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
    engine: Literal["exact", "int8", "bf16", "plain", "auto", "packed"] = setting(
        "exact",
        "exact: no padding, shared prefixes computed once, the same numbers (auto and packed are its older names); "
        "int8, bf16: frozen layers in fewer bits, faster where the CPU has them, not exact; plain: padded batches",
    )
    resume: bool = setting(False, "go on where an interrupted run stopped")
    overwrite: bool = setting(False, "replace the run that is in the output folder", "overwrite_output_dir")
    training_arguments: Mapping[str, Any] = setting(
        {}, "further fields of transformers.TrainingArguments, on the command line as --field value"
    )


class LossSettings(Settings):
    loss: str = setting(
        "cross-entropy",
        "what is made small: cross-entropy, label-smoothing, focal, class-weighted, distillation; cosine and "
        "contrastive for pairs; one's own as "
        "path/to/file.py:Name or module:function",
    )
    loss_arguments: Pairs = setting({}, "arguments of the loss: gamma=2, or as JSON")
    teacher: str | None = setting(None, "model or run whose distribution is learned, too (distillation)")


class EvaluationSettings(Settings):
    metrics: Listed | None = setting(None, "metrics to compute (default: those that fit the data)", "metric_type")
    max_new_tokens: int | None = setting(None, "longest answer (default: by the longest reference)", gt=0)
    bootstrap_samples: int = setting(1000, "resamples for the 95 % intervals", ge=100)
    evaluate: bool = setting(True, "compare base and tuned on the held-out rows after training")


class EvaluateSettings(DataSettings, EvaluationSettings, ModelSettings):
    """Everything ``graft evaluate`` takes."""

    output_path: Path | None = setting(
        None, "folder for evaluation.json and predictions.jsonl (default: the run folder)", "output_dir", "o"
    )


class ChatSettings(ModelSettings):
    prompt: str | None = setting(None, "answer this, and end")
    adapter: str | None = setting(None, "of a bundle with several adapters, the one that answers")
    max_new_tokens: int = setting(256, "longest answer in tokens", gt=0)


SECRET: dict[str, Any] = {"token": True, "training_arguments": {"hub_token": True, "push_to_hub_token": True}}
"""What is written nowhere, in the form of pydantic's ``exclude``."""


class FinetuneSettings(ModelSettings, DataSettings, MethodSettings, TrainingSettings, LossSettings, EvaluationSettings):
    """Everything ``graft finetune`` takes."""


class DeploySettings(ModelSettings):
    """Everything ``graft auto-opt`` takes besides a run folder."""

    adapter_path: Path | None = setting(None, "PEFT adapter over the model", "adapter_name_or_path", "peft_path")
    output_path: Path | None = setting(None, "the folder to make (default: RUN/onnx-PRECISION)", "output_dir", "o")
    device: Literal["cpu", "gpu", "npu"] = setting("cpu", "where it will run")
    provider: str | None = setting(
        None, "execution provider, such as CPUExecutionProvider (default: by the device)", "execution_provider", "ep"
    )
    precision: Literal["auto", "fp32", "fp16", "int8", "int4"] = setting(
        "int4", "of the weights; auto: the smallest that passes, by measurement"
    )
    rounding: Literal["auto", "rtn", "k_quant", "range", "gptq"] = setting(
        "auto", "how int4 weights are rounded; gptq rounds for the user's own rows (auto: gptq where there are rows)"
    )
    adapter: Literal["auto", "merge", "switch"] | None = setting(
        None,
        "merge: into the weights; switch: kept as inputs; auto: the quicker one, measured (default: merge; what qlora "
        "trained stands beside the very int4 weights it was trained on)",
    )
    format: Literal["onnx", "gguf"] = setting("onnx", "onnx for onnxruntime-genai, gguf for llama.cpp", "output_format")
    max_size: float | None = setting(None, "with --precision auto: the most megabytes", "max_size_mb", gt=0)
    min_tokens_per_second: float | None = setting(None, "with --precision auto: the least tokens a second", gt=0)
    max_accuracy_drop: float | None = setting(
        None,
        "the most the metric may lose against PyTorch, as 0.01 (default: no significant loss, and at most 0.02)",
        ge=0,
        lt=1,
    )
    skip_parity: bool = setting(False, "don't compare the result with the PyTorch model; the manifest says so")
    parity_rows: int = setting(600, "the most rows to compare on", ge=1)
    data_files: Listed | None = setting(None, "rows to compare on, instead of the run's held-out ones", "eval_files")
    use_ort_genai: bool = setting(True, "make the folder for onnxruntime-genai (it always is)")
    overwrite: bool = setting(False, "replace the bundle that is in the output folder")


class AdapterSettings(ModelSettings):
    """Everything ``graft generate-adapter`` takes."""

    base_model_path: str | None = setting(None, "the model under all the adapters: a folder, a name", "base_model_name")
    adapter_paths: Listed = setting(
        (), "run folders or PEFT folders, as a,b or NAME=a,NAME=b", "adapters", "adapter_path"
    )
    add: Listed = setting((), "with a bundle's folder: adapters to add to it, as NAME=PATH")
    output_path: Path | None = setting(None, "the folder to make", "output_dir", "o")
    precision: Literal["fp32", "int8", "int4"] = setting("int4", "of the base's weights; adapters stay in float32")
    max_accuracy_drop: float | None = setting(
        None, "the most an adapter's metric may lose against PyTorch (default: as for auto-opt)", ge=0, lt=1
    )
    skip_parity: bool = setting(False, "don't compare the adapters with their PyTorch twins; the manifest says so")
    parity_rows: int = setting(200, "the most rows of each adapter to compare on", ge=1)
    overwrite: bool = setting(False, "replace the bundle that is in the output folder")


def option_names(cls: type[Settings]) -> dict[str, str]:
    """Every accepted name of every setting -> the setting: aliases included."""
    names: dict[str, str] = {}
    for field, info in cls.model_fields.items():
        extra = info.json_schema_extra
        aliases = extra.get("aliases") if isinstance(extra, dict) else None
        for name in (field, *map(str, aliases if isinstance(aliases, list) else ())):
            names[name] = field
    return names


def build(cls: type[Settings], given: Mapping[str, Any], where: str | Callable[[str], str] = "") -> Any:
    """Validate ``given`` (names or aliases to values) into ``cls``.

    ``where`` is the file that the settings stand in, or says for each name in which, and "" for one typed as an option.

    Raises:
        InputError: with every unknown name, doubled name, and value out of type or bounds, all at once.
    """
    problems = Problems()
    names = option_names(cls)
    values: dict[str, Any] = {}
    typed: dict[str, tuple[str, str]] = {}
    for name, value in given.items():
        key = name.replace("-", "_")
        place = where(name) if callable(where) else where
        shown = name if place else f"--{name}"
        if key not in names:
            what = f"unknown setting {shown}" if place else f"unknown option {shown}"
            problems.add(what, place, did_you_mean(key, names))
        elif names[key] in values and values[names[key]] != value:
            other = typed[names[key]][0]
            problems.add(f"{shown} and {other} are one setting, given twice with different values", place)
        else:
            values[names[key]], typed[names[key]] = value, (shown, place)
    problems.found.extend(_invalid(cls, values, typed))
    problems.raise_if_any()
    return cls(**values)


def _invalid(cls: type[Settings], values: Mapping[str, Any], typed: Mapping[str, tuple[str, str]]) -> Iterator[Problem]:
    # What is typed without a value is True, which pydantic would take for the number 1.
    wrong = {field for field, value in values.items() if value is True and not _is_flag(cls.model_fields[field])}
    try:
        cls(**values)
    except ValidationError as error:
        wrong |= {str(detail["loc"][0]) for detail in error.errors()}
    for field in filter(wrong.__contains__, values):
        name, place = typed[field]
        yield Problem(f"{name} {_refusal(cls.model_fields[field], values[field])}", place)


def _is_flag(info: FieldInfo) -> bool:
    return bool in (info.annotation, *typing.get_args(info.annotation))


def _refusal(info: FieldInfo, value: Any) -> str:
    """What the setting takes, and what it was given."""
    kind, listed = _kind(info)
    if isinstance(value, list) and not listed:
        return f"takes one value, not {', '.join(map(str, value))}; words that belong to no option stand before them"
    if value is True and kind != "true or false":
        return f"is {kind}; no value is given"
    return f"is {kind}, not {value!r}"


def _kind(info: FieldInfo) -> tuple[str, bool]:
    """What a setting takes, in words with its bounds, and whether it takes several."""
    annotation = info.annotation
    options = [option for option in typing.get_args(annotation) if option is not type(None)]
    if typing.get_origin(annotation) is Literal:
        return " or ".join(", ".join(map(str, options)).rsplit(", ", 1)), False
    kind = options[0] if options and type(None) in typing.get_args(annotation) else annotation
    if typing.get_origin(kind) is Annotated:
        kind = typing.get_args(kind)[0]
    if typing.get_origin(kind) is Literal:
        return " or ".join(", ".join(map(str, typing.get_args(kind))).rsplit(", ", 1)), False
    several = typing.get_origin(kind) in {tuple, list}
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", Path: "a path"}
    said = "a list of names" if several else words.get(kind, "a mapping")  # type: ignore[arg-type]
    return f"{said} {_bounds(info)}".strip(), several


def _bounds(info: FieldInfo) -> str:
    """``of at least 0 and below 1``."""
    words = {"gt": "above", "ge": "of at least", "lt": "below", "le": "at most"}
    bounds = [(words[sign], getattr(m, sign)) for m in info.metadata for sign in words if hasattr(m, sign)]
    return " and ".join(f"{word} {bound:,}" for word, bound in bounds)
