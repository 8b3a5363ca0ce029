"""From settings to ``transformers.TrainingArguments``."""

from __future__ import annotations

import dataclasses
import functools
import json
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from graft.config import IN_WORDS, TrainingSettings, in_words, one_of, refusal, takes_several
from graft.errors import InputError, Problems, did_you_mean
from graft.training.schedule import TrainingPlan

if TYPE_CHECKING:
    from transformers import TrainingArguments

RENAMED = {"evaluation_strategy": "eval_strategy", "no_cuda": "use_cpu"}
"""Fields that users still type and transformers has renamed."""
UPLOAD = "upload it after the run: hf upload OWNER/NAME RUN/adapter"


@functools.cache
def field_names() -> set[str]:
    """Every field of ``TrainingArguments`` that may be given besides graft's own settings."""
    from transformers import TrainingArguments

    return {field.name for field in dataclasses.fields(TrainingArguments)} | set(RENAMED)


def check_fields(
    given: Mapping[str, Any], known: set[str], where: Callable[[str], str] = lambda name: ""
) -> dict[str, Any]:
    """The values in the types ``TrainingArguments`` declares; ``where`` says in which file each stands.

    Raises:
        InputError: naming every unknown option at once, each with the nearest right name, and every value out of type.
    """
    from transformers import TrainingArguments

    types = typing.get_type_hints(TrainingArguments)
    problems = Problems()
    values: dict[str, Any] = {}
    for name, value in given.items():
        field = RENAMED.get(name, name).replace("-", "_")
        place = where(name)
        shown = name if place else f"--{name}"
        if field not in field_names():
            what = f"unknown setting {shown}" if place else f"unknown option {shown}"
            problems.add(what, place, did_you_mean(name.replace("-", "_"), known | field_names()))
        elif field == "push_to_hub" and _parsed(value) is not False:
            problems.add(f"{shown} would upload the model; graft does not upload anything", place, UPLOAD)
        else:
            try:
                values[field] = _validated(types[field], value)
            except ValueError:  # pydantic's is one, too
                names = _names(types[field])
                kind = one_of(names) if names else in_words(types[field])
                refused = refusal(kind, value, takes_several(types[field]))
                problems.add(f"{shown} {refused}", place, did_you_mean(str(value), names))
    problems.raise_if_any()
    return values


def _validated(annotation: Any, value: Any) -> Any:
    """``value`` in the type of a field.

    Raises:
        ValueError: when it is out of type.
    """
    from pydantic import TypeAdapter

    names = _names(annotation)
    if value is True and IN_WORDS[bool] not in (one_of(names) if names else in_words(annotation)):
        raise ValueError("has no value")  # pydantic would take it for 1
    found = TypeAdapter(annotation).validate_python(_parsed(value))
    if names and found not in names:
        raise ValueError(f"not one of {names}")
    return found


def _names(annotation: Any) -> list[str]:
    """The values of a field such as ``OptimizerNames | str``, which takes any text and refuses it later."""
    kinds = [kind for kind in typing.get_args(annotation) if isinstance(kind, type) and issubclass(kind, Enum)]
    return [str(member.value) for kind in kinds for member in kind]


def make_arguments(settings: TrainingSettings, plan: TrainingPlan, folder: Path, held_out: bool) -> TrainingArguments:
    """The Trainer's arguments: graft's decisions, then what the user passed through.

    Raises:
        InputError: when transformers refuses a value.
    """
    import torch
    from transformers import HfArgumentParser, TrainingArguments

    values = _decided(settings, plan, folder, held_out) | {"dataloader_pin_memory": torch.cuda.is_available()}
    values.update(check_fields(settings.training_arguments, set()))
    values |= {"bf16": plan.precision == "bfloat16", "fp16": plan.precision == "float16"}
    if values["bf16"] and not torch.cuda.is_available():
        values["use_cpu"] = True  # transformers refuses bf16 otherwise
    try:
        parser: Any = HfArgumentParser
        (arguments,) = parser([TrainingArguments]).parse_dict(values)
    except (ValueError, TypeError, RuntimeError, ImportError) as error:
        raise InputError(f"transformers rejects these training arguments: {error}") from error
    return cast("TrainingArguments", arguments)


def _decided(settings: TrainingSettings, plan: TrainingPlan, folder: Path, held_out: bool) -> dict[str, Any]:
    """The arguments that graft decides."""
    return {
        "output_dir": str(folder),
        "per_device_train_batch_size": plan.batch_size,
        "per_device_eval_batch_size": plan.eval_batch_size,
        "gradient_accumulation_steps": plan.accumulation,
        "max_steps": plan.steps,
        "learning_rate": plan.learning_rate,
        "lr_scheduler_type": settings.lr_scheduler_type,
        "warmup_steps": settings.warmup_ratio,
        "weight_decay": settings.weight_decay,
        "logging_steps": plan.logging_steps,
        "eval_strategy": "steps" if held_out else "no",
        "eval_steps": plan.eval_steps,
        "save_strategy": "steps",
        "save_steps": plan.save_steps,
        "save_total_limit": None,
        "metric_for_best_model": "eval_loss",
        "greater_is_better": False,
        "load_best_model_at_end": False,
        "report_to": list(settings.report_to) or "none",
        "seed": settings.seed,
        "remove_unused_columns": False,
        "disable_tqdm": True,
        "optim": "adamw_torch_fused",
    }


def _parsed(value: Any) -> Any:
    """A value typed on the command line is read as YAML reads it: ``true``, ``4``, ``1e-4``, ``{"a": 1}``."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value.lower() if value.lower() in {"true", "false"} else value)
    except json.JSONDecodeError:
        try:
            return float(value)
        except ValueError:
            return value
