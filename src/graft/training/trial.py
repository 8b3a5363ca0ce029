"""Whether transformers takes the training arguments of a plan, tried on one parameter before the model is loaded."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.config import TrainingSettings
from graft.errors import InputError, Problem, Problems
from graft.training.arguments import make_arguments, passed
from graft.training.schedule import TrainingPlan

if TYPE_CHECKING:
    from transformers import TrainingArguments

OF_LAYERS = ("galore", "apollo")
"""Optimizers that are made for some layers of a model, by the beginning of their names."""
DEFAULTS: dict[str, Any] = {"adam_beta1": 0.9, "adam_beta2": 0.999, "adam_epsilon": 1e-8}


def try_plan(settings: TrainingSettings, plan: TrainingPlan, held_out: bool) -> None:
    """Check what depends on the number of steps, and make the optimizer and its schedule once.

    Raises:
        InputError: With everything that would fail, or do nothing, in a training of ``plan``.
    """
    problems = Problems()
    problems.found += _lengths(settings, plan, held_out)
    arguments = None
    with problems.collecting():
        arguments = make_arguments(settings, plan, Path("checkpoints"), held_out)
    if arguments is not None:
        with problems.collecting():
            problems.found += _optimizer(settings, arguments, plan)
    problems.raise_if_any()


def _lengths(settings: TrainingSettings, plan: TrainingPlan, held_out: bool) -> Iterator[Problem]:
    given = passed(settings)
    steps = given.get("warmup_steps") or 0
    if steps >= max(plan.steps, 1):
        what = f"--warmup_steps {steps:g}: the run has {plan.steps} steps, so it never reaches its learning rate"
        yield Problem(what, remedy=f"give fewer than {plan.steps}, or --warmup_ratio 0.1")
    by_epoch = given.get("eval_strategy") == "epoch"
    length, unit = (plan.steps / plan.steps_per_epoch, "epochs") if by_epoch else (plan.steps, "steps")
    if given.get("eval_delay", 0) > length:
        what = f"--eval_delay {given['eval_delay']:g}: the run has {length:g} {unit}, so nothing would be evaluated"
        yield Problem(what, remedy="give less, or --eval_strategy no")
    if not held_out:
        for name in ("eval_strategy", "eval_delay", "eval_on_start", "metric_for_best_model"):
            if given.get(name, "no") not in {"no", 0}:
                what = f"--{name} {given[name]} needs held-out rows, and there are none"
                yield Problem(what, remedy="--eval_share 0.1")


def _optimizer(settings: TrainingSettings, arguments: TrainingArguments, plan: TrainingPlan) -> Iterator[Problem]:
    """What is wrong with the optimizer and the schedule; fields that they do not read."""
    import torch
    from transformers import Trainer, get_scheduler

    name = str(getattr(arguments.optim, "value", arguments.optim))
    of_layers = name.startswith(OF_LAYERS)
    if arguments.optim_target_modules is not None and not of_layers:
        what = f"--optim_target_modules would do nothing: --optim {name} is for all layers"
        yield Problem(what, remedy="--optim galore_adamw or apollo_adamw, or omit it")
    pairs = str(arguments.optim_args or "").replace(" ", "").split(",")
    if any(pair.count("=") != 1 for pair in filter(None, pairs)):
        yield Problem(f"--optim_args must be name=value,name=value, not {arguments.optim_args!r}")
        return
    try:
        cls, options = Trainer.get_optimizer_cls_and_kwargs(arguments)
        optimizer = cls([torch.nn.Parameter(torch.zeros(1))], **options)
    except (ImportError, ValueError, TypeError, RuntimeError, AssertionError) as error:
        if not (of_layers and "pass a model" in str(error)):  # which is loaded later
            yield Problem(f"--optim {name}: {error}", remedy="choose another --optim, or omit it")
        return
    for field, less in _without(settings, arguments):
        if Trainer.get_optimizer_cls_and_kwargs(less)[1] == Trainer.get_optimizer_cls_and_kwargs(arguments)[1]:
            yield Problem(f"--{field} would do nothing: --optim {name} does not read it", remedy="omit one of the two")
    try:
        get_scheduler(
            arguments.lr_scheduler_type,
            optimizer=optimizer,
            num_warmup_steps=plan.warmup_steps,
            num_training_steps=plan.steps,
            scheduler_specific_kwargs=arguments.lr_scheduler_kwargs,  # type: ignore[arg-type]
        )
    except (ValueError, TypeError) as error:
        schedule = settings.lr_scheduler_type
        raise InputError(f"--lr_scheduler_type {schedule}: {error}", remedy="--lr_scheduler_kwargs") from error


def _without(settings: TrainingSettings, arguments: TrainingArguments) -> Iterator[tuple[str, TrainingArguments]]:
    """The arguments of the optimizer that were given, each with ``arguments`` as they are without it."""
    given = passed(settings)
    for field, default in DEFAULTS.items():
        if given.get(field, default) != default:
            yield f"{field} {given[field]:g}", _changed(arguments, field, default)
    pairs = str(given.get("optim_args") or "").replace(" ", "").split(",")
    for pair in filter(None, pairs):
        rest = ",".join(other for other in pairs if other != pair)
        yield f"optim_args {pair}", _changed(arguments, "optim_args", rest or None)


def _changed(arguments: TrainingArguments, field: str, value: Any) -> TrainingArguments:
    changed = copy.copy(arguments)
    setattr(changed, field, value)
    return changed
