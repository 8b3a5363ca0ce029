"""From settings to ``transformers.TrainingArguments``."""

from __future__ import annotations

import functools
import json
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from graft.config import IN_WORDS, TrainingSettings, in_words, one_of, option_names, refusal, takes_several
from graft.errors import InputError, Problems, did_you_mean, located
from graft.training.argument_fields import argument_fields
from graft.training.passed_fields import FORMER, FORMER_SWITCHES, OFF, PASSED_FIELDS, RENAMED, PassedField

if TYPE_CHECKING:
    from transformers import TrainingArguments

    from graft.training.schedule import TrainingPlan

MOST_NAMES = 12
"""The maximum number of names that an error lists."""


@functools.cache
def _defaults() -> Mapping[str, Any]:
    """Every field of the installed ``TrainingArguments`` with its default."""
    return {name: field.default for name, field in argument_fields().items()}


def default_of(field: str) -> Any:
    """Return the default of a field of ``TrainingArguments``; None where there is no such field."""
    value = _defaults().get(field)
    return getattr(value, "value", value)


@functools.cache
def field_names() -> set[str]:
    """Every name that may be given besides graft's own settings: fields of ``TrainingArguments``, and former ones."""
    return set(_defaults()) | set(RENAMED) | set(FORMER_SWITCHES) | set(FORMER)


def check_fields(
    given: Mapping[str, Any], known: set[str], where: Callable[[str], str] = lambda name: ""
) -> dict[str, Any]:
    """The fields that have an effect, in the types ``TrainingArguments`` declares.

    Args:
        given: Fields by name, as they were written.
        known: The names of graft's own settings.
        where: The file in which a name stands; empty for the command line.

    Raises:
        InputError: Naming every unknown option, each with the nearest right name, every value out of type, and every
            field that graft refuses.
    """
    problems = Problems()
    values: dict[str, Any] = {}
    for name, value in given.items():
        with problems.collecting():
            values |= _checked(name, value, located(where(name), name), known)
    problems.raise_if_any()
    return values


def _checked(name: str, value: Any, place: str, known: set[str]) -> dict[str, Any]:
    """The field that ``name`` stands for with its value; nothing where the value asks for nothing."""
    shown = name if place else f"--{name}"
    key = name.replace("-", "_")
    field = RENAMED.get(key, key)
    if field in FORMER_SWITCHES:
        field, switched_on = FORMER_SWITCHES[field]
        return {field: switched_on} if _validated(bool, value, shown, place) else {}
    if field not in field_names():
        what = f"unknown setting {shown}" if place else f"unknown option {shown}"
        raise InputError(what, where=place, remedy=did_you_mean(key, known | field_names()))
    if field in FORMER:
        if _parsed(value) in OFF or _parsed(value) in FORMER[field].accepted:
            return {}
        raise _refusal(FORMER[field], shown, value, place)
    found = _validated(_types()[field], value, shown, place)
    passed = PASSED_FIELDS.get(field)
    if passed is None:
        return {field: _of_setting(field, found, shown, place)}
    default = _defaults()[field]
    if passed.refused:
        nothing = (None, "", default) if passed.default_accepted else (None,)
        if found in (*nothing, *passed.accepted):
            return {}
        raise _refusal(passed, shown, found, place)
    why = passed.refused_values.get(str(getattr(found, "value", found))) if passed.refused_values else None
    if why:
        raise _refusal(PassedField(refused=why, remedy="choose another"), shown, found, place)
    return {} if found is None else {field: found}


def _of_setting(field: str, value: Any, shown: str, place: str) -> Any:
    """The value of a field that is a setting of graft's own; a field that nobody knows is refused."""
    if field in option_names(TrainingSettings):
        return value
    what = f"{shown} is a field of transformers {version('transformers')} that this version of graft does not know"
    raise InputError(what, where=place, remedy="omit it, or install another version of graft or of transformers")


def _refusal(passed: PassedField, shown: str, value: Any, place: str) -> InputError:
    text = "" if "token" in shown else f" {str(value).lower() if isinstance(value, bool) else value}"
    return InputError(f"{shown}{text} is not supported: {passed.refused}", where=place, remedy=passed.remedy)


@functools.cache
def _types() -> Mapping[str, Any]:
    return {name: field.annotation for name, field in argument_fields().items()}


def _validated(annotation: Any, value: Any, shown: str, place: str) -> Any:
    """``value`` in the type of a field.

    Raises:
        InputError: when it is out of type.
    """
    from pydantic import TypeAdapter

    names = _names(annotation)
    kind = in_words(annotation)
    if names:
        more = [f"another of {len(names)} names"] if len(names) > MOST_NAMES else []
        kind = one_of([*(names[:3] if more else names), *more])
    parsed = _parsed(value)
    if parsed is False and "no" in names:
        parsed = "no"  # as YAML 1.1 reads a bare no
    try:
        if value is True and IN_WORDS[bool] not in kind:
            raise ValueError("has no value")  # pydantic would take it for 1
        found = TypeAdapter(annotation).validate_python(parsed)
        if names and found not in names:
            raise ValueError(f"not one of {names}")
    except ValueError:  # pydantic's is one, too
        what = f"{shown} {refusal(kind, value, takes_several(annotation))}"
        raise InputError(what, where=place, remedy=did_you_mean(str(value), names)) from None
    return found


def _names(annotation: Any) -> list[str]:
    """The values of a field such as ``OptimizerNames | str``, which takes any text and refuses it later."""
    kinds = [kind for kind in typing.get_args(annotation) if isinstance(kind, type) and issubclass(kind, Enum)]
    return [str(member.value) for kind in kinds for member in kind]


def passed(settings: TrainingSettings) -> dict[str, Any]:
    """The fields of ``TrainingArguments`` that were given and have an effect, in their types.

    Raises:
        InputError: naming all that are refused.
    """
    return check_fields(settings.training_arguments, set())


def make_arguments(settings: TrainingSettings, plan: TrainingPlan, folder: Path, held_out: bool) -> TrainingArguments:
    """The Trainer's arguments: graft's decisions, then what the user passed through.

    Raises:
        InputError: when transformers refuses a value.
    """
    import torch
    from transformers import HfArgumentParser, TrainingArguments

    values = _decided(settings, plan, folder, held_out) | {"dataloader_pin_memory": torch.cuda.is_available()}
    values.update(passed(settings))
    values |= {"bf16": plan.precision == "bfloat16", "fp16": plan.precision == "float16"}
    values |= {"warmup_steps": plan.warmup_steps, "save_strategy": plan.save_strategy}
    values |= {"metric_for_best_model": f"eval_{plan.metric}", "greater_is_better": plan.greater_is_better}
    values |= {"neftune_noise_alpha": None}  # graft's own, by the length of each row
    for field in ("activation_checkpointing", "activation_checkpointing_kwargs"):
        former = field.replace("activation", "gradient")
        if former in values and field in field_names():  # the older name is deprecated where there is a newer one
            values[field] = values.pop(former)
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
        "weight_decay": settings.weight_decay,
        "logging_steps": plan.logging_steps,
        "eval_strategy": "steps" if held_out else "no",
        "eval_steps": plan.eval_steps,
        "save_steps": plan.save_steps,
        "save_total_limit": None,
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
    except (ValueError, RecursionError):  # ValueError: no JSON, or more digits than Python reads
        try:
            return float(value)
        except ValueError:
            return value
