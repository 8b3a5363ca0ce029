"""Settings that are given and would do nothing are errors: a user who gives one means something by it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from graft.config import FinetuneSettings, Settings, one_of, takers
from graft.errors import InputError, Problem
from graft.files import is_there
from graft.tasks import TASKS
from graft.tasks.base import TEMPLATES, Task
from graft.training.losses.choose import loss_name


def check_used(settings: FinetuneSettings, task: Task | None = None, held_out: str = "") -> None:
    """Check that the method, the task, the loss, the data and the templates use all that was given.

    Values that nobody gave do not matter, so a run's own config.yaml, which has what differs from the defaults, runs
    again.

    Args:
        settings: the settings, composed with the options of all components.
        task: the task; None when it is not known.
        held_out: where the held-out rows come from; empty where they are taken from the training rows.

    Raises:
        InputError: naming every setting that would do nothing, with what would use it.
    """
    chosen = {"method": [settings.method], "loss": [loss_name(settings)]}
    if task is not None:
        chosen["task"] = [task.name, *([settings.task] if settings.task else [])]
    problems = [
        *_of_components(settings, chosen),
        *(_of_task(settings, task) if task is not None else ()),
        *_of_data(settings, held_out),
        *_others(settings),
    ]
    if problems:
        raise InputError(*problems)


def _of_components(settings: FinetuneSettings, chosen: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    """Options that only components take which were not chosen."""
    cls = type(settings)
    for name in _given(settings):
        taking = [component for component in takers(cls, name) if component.option in chosen]
        if not taking or any(component.name in chosen[component.option] for component in taking):
            continue
        options = dict.fromkeys(component.option for component in taking)
        others = [f"--{option} {one_of(c.name for c in taking if c.option == option)}" for option in options]
        yield _unused(settings, name, f"--{taking[0].option} {chosen[taking[0].option][0]}", " or ".join(others))


def _of_task(settings: FinetuneSettings, task: Task) -> Iterator[Problem]:
    """Common options that mean nothing to this task."""
    users = {name: _uses(TASKS.get(name)) for name in TASKS.builtin}
    among = frozenset().union(*(names for names in users.values() if names is not None))
    used = _uses(task)
    for name in _given(settings) if used is not None else ():
        if used is not None and name in among - used:
            taking = [user for user, names in users.items() if names is not None and name in names]
            yield _unused(settings, name, f"--task {task.name}", f"--task {one_of(taking)}" if taking else "")


def _uses(task: Any) -> frozenset[str] | None:
    """None of a task that does not say."""
    return getattr(task, "uses", None)


def _given(settings: Settings) -> Iterator[str]:
    """The settings that somebody gave, in their order."""
    for name in type(settings).model_fields:
        if name in settings.model_fields_set and getattr(settings, name) is not None:
            yield name


def _unused(settings: FinetuneSettings, name: str, chosen: str, others: str) -> Problem:
    remedy = f"omit it, or use {others}" if others else "omit it"
    return Problem(f"{_shown(settings, name)} is not used by {chosen}", remedy=remedy)


def _others(settings: FinetuneSettings) -> Iterator[Problem]:
    beside = (TEMPLATES - {"text_template"}) | {"system_prompt", "instruction"}
    for name in FinetuneSettings.model_fields:
        if settings.text_template is not None and name in beside and getattr(settings, name) is not None:
            what = f"{_shown(settings, name)} is not used with --text_template, which already defines the whole text"
            yield Problem(what, remedy="omit one of the two")
    yield from _beside_response_template(settings)
    if settings.column_mapping is not None and (settings.prompt_template or settings.completion_template):
        what = f"{_shown(settings, 'column_mapping')} is not used with --prompt_template, which selects the columns"
        yield Problem(what, remedy="omit one of the two")
    if settings.logging_dir is not None and "tensorboard" not in settings.report_to:
        what = f"{_shown(settings, 'logging_dir')} is used only by --report_to tensorboard"
        yield Problem(what, remedy="add --report_to tensorboard, or omit it; metrics.jsonl is always written")


def _of_data(settings: FinetuneSettings, held_out: str) -> Iterator[Problem]:
    """Options of the rows that other options, or the data, leave without a meaning."""
    given = set(_given(settings))
    if "eval_share" in given and held_out:
        what = f"{_shown(settings, 'eval_share')} is not used: the held-out rows are those of {held_out}"
        yield Problem(what, remedy="omit it, or the held-out rows")
    if {"eval_split", "eval_data_files"} <= given:
        what = f"{_shown(settings, 'eval_split')} is not used with --eval_data_files, which has the held-out rows"
        yield Problem(what, remedy="omit one of the two")
    local = settings.data_files is not None or is_there(settings.data_name or "")
    if "data_config_name" in given and local:
        what = f"{_shown(settings, 'data_config_name')} is not used: only data sets of the Hub have configurations"
        yield Problem(what, remedy="omit it")
    if "metrics" in given and not settings.evaluate:
        what = f"{_shown(settings, 'metrics')} is not used with --no_evaluate, which omits the comparison"
        yield Problem(what, remedy="omit one of the two; --metric_for_best_model is measured during training")
    if settings.resume and settings.overwrite:
        yield Problem("--resume goes on with a run, and --overwrite replaces it", remedy="omit one of the two")


def _beside_response_template(settings: FinetuneSettings) -> Iterator[Problem]:
    """What does nothing where answers are marked in texts that are rendered already."""
    if settings.response_template is None:
        return
    names = ("prompt_template", "completion_template", "column_mapping", "system_prompt", "instruction")
    for name in names if settings.text_template is None else ():
        if getattr(settings, name) is not None:
            what = f"{_shown(settings, name)} is not used with --response_template, whose rows are rendered already"
            yield Problem(what, remedy="omit one of the two")
    if settings.loss_on == "all":
        what = "--loss_on all is on the whole text, and --response_template marks the answers that the loss is on"
        yield Problem(what, remedy="omit one of the two")


def _shown(settings: FinetuneSettings, name: str) -> str:
    value = getattr(settings, name)
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value).replace("\n", "\\n")
    return f"--{name} {text if len(text) <= 60 else text[:57] + '…'}"
