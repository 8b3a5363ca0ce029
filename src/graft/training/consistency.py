"""Training settings that contradict each other, or would do nothing next to each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from graft.config import TrainingSettings, one_of, option_names
from graft.errors import Problem, Problems
from graft.training.arguments import check_fields, passed
from graft.training.passed_fields import PASSED_FIELDS

NO_WARMUP = frozenset({"constant", "reduce_lr_on_plateau", "greedy"})
"""Schedules without a warm-up."""
NO_ARGUMENTS = frozenset({"constant", "constant_with_warmup"})
"""Schedules that take no arguments."""
REPORTS = ("tensorboard", "none")
"""Values of ``--report_to``."""
BY_EVALUATION = frozenset({"reduce_lr_on_plateau", "greedy"})
"""Schedules that an evaluation moves on."""


def check_training(settings: TrainingSettings) -> None:
    """Check the training settings before anything is loaded.

    Raises:
        InputError: With everything that is unknown, refused, out of type, contradicts, or would do nothing.
    """
    problems = Problems()
    with problems.collecting():
        check_fields({"lr_scheduler_type": settings.lr_scheduler_type}, set())
    with problems.collecting():
        check_consistent(settings)
    problems.raise_if_any()


def check_consistent(settings: TrainingSettings) -> None:
    """Check that the training settings agree with each other.

    Libraries are imported for fields of ``TrainingArguments`` alone, so that graft's own settings are answered at once.

    Raises:
        InputError: With everything that contradicts, or would do nothing.
    """
    problems, given = Problems(), passed(settings)
    for check in (_misplaced, _requirements, _schedule, _intervals, _best, _checkpointing, _reports):
        problems.found += check(settings, given)
    problems.raise_if_any()


def is_given(settings: TrainingSettings, name: str) -> bool:
    """Whether somebody gave the setting ``name`` a value."""
    return name in settings.model_fields_set and getattr(settings, name) is not None


def _unused(what: str, why: str, remedy: str) -> Problem:
    return Problem(f"{what} would do nothing: {why}", remedy=remedy)


def _misplaced(settings: TrainingSettings, given: Mapping[str, Any]) -> Iterator[Problem]:
    """Settings of graft's own among the passed fields, where they would be given twice."""
    for name in given:
        if name in option_names(TrainingSettings):
            yield Problem(f"{name} is among training_arguments", remedy=f"give {name} as a setting of its own")


def _requirements(settings: TrainingSettings, given: Mapping[str, Any]) -> Iterator[Problem]:
    """Fields that do nothing without another one, or without a GPU."""
    for name, value in given.items():
        field = PASSED_FIELDS.get(name)
        if field is None:
            continue
        if field.requires and not any(given.get(other) or getattr(settings, other, None) for other in field.requires):
            named = one_of(f"--{other}" for other in field.requires)
            yield _unused(f"--{name} {value}", f"it needs {named}", f"add {named}, or omit it")
        if field.needs_gpu and value and not _on_gpu(given):
            yield _unused(f"--{name} {value}", "it needs a CUDA GPU, and this run is on the CPU", "omit it")


def _on_gpu(given: Mapping[str, Any]) -> bool:
    import torch

    return torch.cuda.is_available() and not given.get("use_cpu")


def _schedule(settings: TrainingSettings, given: Mapping[str, Any]) -> Iterator[Problem]:
    name, steps = settings.lr_scheduler_type, given.get("warmup_steps")
    ratio = settings.warmup_ratio if is_given(settings, "warmup_ratio") else 0.0
    if is_given(settings, "max_steps") and is_given(settings, "num_train_epochs"):
        what = f"--num_train_epochs {settings.num_train_epochs:g}"
        yield _unused(what, f"--max_steps {settings.max_steps} sets the length of the run", "omit one of the two")
    if steps is not None and steps < 0:
        yield Problem(f"--warmup_steps must be 0 or more, not {steps:g}")
    if steps and ratio:
        yield _unused(f"--warmup_ratio {ratio:g}", f"--warmup_steps {steps:g} is given, too", "omit one of the two")
    if (steps or ratio) and name in NO_WARMUP:
        what = f"--warmup_steps {steps:g}" if steps else f"--warmup_ratio {ratio:g}"
        remedy = "--lr_scheduler_type constant_with_warmup" if name == "constant" else "omit it"
        yield _unused(what, f"the schedule {name} has no warm-up", remedy)
    if given.get("lr_scheduler_kwargs") and name in NO_ARGUMENTS:
        yield _unused("--lr_scheduler_kwargs", f"the schedule {name} takes no arguments", "omit it")
    if name in BY_EVALUATION and given.get("eval_strategy") == "no":
        what = f"--lr_scheduler_type {name} follows the held-out loss, which --eval_strategy no does not measure"
        yield Problem(what, remedy="omit one of the two")


def _intervals(settings: TrainingSettings, given: Mapping[str, Any]) -> Iterator[Problem]:
    """Numbers of steps for what does not go by steps."""
    for kind in ("eval", "save", "logging"):
        strategy = given.get(f"{kind}_strategy", "steps")
        if strategy != "steps" and is_given(settings, f"{kind}_steps"):
            what, why = f"--{kind}_steps {getattr(settings, f'{kind}_steps'):g}", f"--{kind}_strategy is {strategy}"
            yield _unused(what, why, f"omit it, or --{kind}_strategy steps")
    if given.get("save_strategy") == "no":
        if is_given(settings, "save_total_limit"):
            what = f"--save_total_limit {settings.save_total_limit}"
            yield _unused(what, "--save_strategy no saves no checkpoint", "omit one of the two")
        if given.get("save_only_model"):
            yield _unused("--save_only_model", "--save_strategy no saves no checkpoint", "omit one of the two")
    if given.get("logging_strategy") == "no" and given.get("logging_first_step"):
        yield Problem("--logging_first_step and --logging_strategy no contradict each other", remedy="omit one of them")


def _best(settings: TrainingSettings, given: Mapping[str, Any]) -> Iterator[Problem]:
    """What needs evaluations, or a checkpoint of the best weights."""
    metric, patience = given.get("metric_for_best_model"), settings.early_stopping_patience
    keeps = settings.load_best_model_at_end
    if given.get("eval_strategy") == "no":
        wanted = {
            f"--early_stopping_patience {patience}": is_given(settings, "early_stopping_patience") and patience,
            "--load_best_model_at_end": is_given(settings, "load_best_model_at_end") and keeps,
            f"--metric_for_best_model {metric}": metric,
            f"--eval_delay {given.get('eval_delay')}": given.get("eval_delay"),
            "--eval_on_start": given.get("eval_on_start"),
            "--save_strategy best": given.get("save_strategy") == "best",
        }
        for what in (what for what, given_so in wanted.items() if given_so):
            yield _unused(what, "--eval_strategy no measures nothing during training", "omit one of the two")
        return
    if given.get("save_strategy") == "no" and is_given(settings, "load_best_model_at_end") and keeps:
        why = "--save_strategy no saves no checkpoint to take the best weights from"
        yield _unused("--load_best_model_at_end", why, "omit one of the two")
    selects = keeps or patience or given.get("save_strategy") == "best" or settings.lr_scheduler_type in BY_EVALUATION
    if metric and not selects:
        why = "neither the best weights are kept nor does training stop early"
        yield _unused(f"--metric_for_best_model {metric}", why, "--load_best_model_at_end true, or omit it")


def _checkpointing(settings: TrainingSettings, given: Mapping[str, Any]) -> Iterator[Problem]:
    for old, new in (
        ("gradient_checkpointing", "activation_checkpointing"),
        ("gradient_checkpointing_kwargs", "activation_checkpointing_kwargs"),
    ):
        if old in given and new in given and given[old] != given[new]:
            yield Problem(f"--{old} and --{new} are the same, given with different values", remedy="give one of them")
    if settings.resume and given.get("save_only_model"):
        what = "--resume needs the optimizer's state, and --save_only_model keeps checkpoints without it"
        yield Problem(what, remedy="start again with --overwrite")
    alpha = given.get("neftune_noise_alpha")
    if alpha is not None and alpha < 0:
        yield Problem(f"--neftune_noise_alpha must be 0 or more, not {alpha:g}", remedy="5 is usual")
    count = given.get("dataloader_num_workers")
    if count is not None and count < 0:
        yield Problem(f"--dataloader_num_workers must be 0 or more, not {count}")


def _reports(settings: TrainingSettings, given: Mapping[str, Any]) -> Iterator[Problem]:
    """What transformers would send to a service: graft sends nothing, so only logs on this machine are left."""
    remedy = "--report_to tensorboard writes logs into the run; metrics.jsonl always has every figure"
    for name in settings.report_to:
        if name not in REPORTS:
            yield Problem(f"--report_to {name} is not supported: graft sends nothing to a service", remedy=remedy)
    if "tensorboard" in settings.report_to and not any(map(find_spec, ("tensorboard", "tensorboardX"))):
        yield Problem("--report_to tensorboard needs the package tensorboard", remedy="pip install tensorboard")
