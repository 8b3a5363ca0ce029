"""Settings that are given and would do nothing are errors: a user who gives one means something by it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from graft.config import FinetuneSettings, MethodSettings
from graft.errors import InputError, Problem
from graft.methods import METHODS
from graft.tasks import TASKS
from graft.tasks.base import TEMPLATES, Task


def check_used(settings: FinetuneSettings, task: Task | None = None) -> None:
    """Whether the method, the task and the templates use all that was given; ``task`` None: it is not known.

    Values that nobody gave are no matter, so a run's own config.yaml, which has what differs from the defaults, runs
    again.

    Raises:
        InputError: naming every setting that would do nothing, with what would use it.
    """
    problems = [*_of_method(settings), *(_of_task(settings, task) if task is not None else ()), *_others(settings)]
    if problems:
        raise InputError(*problems)


def _of_method(settings: FinetuneSettings) -> Iterator[Problem]:
    try:
        used = _uses(METHODS.get(settings.method))
    except InputError:  # which is said by whoever needs it
        return
    among = frozenset(MethodSettings.model_fields) - {"method"}
    users = {name: _uses(METHODS.get(name)) for name in METHODS.builtin}
    yield from _unused(settings, among, used, f"--method {settings.method}", "--method", users)


def _of_task(settings: FinetuneSettings, task: Task) -> Iterator[Problem]:
    users = {name: _uses(TASKS.get(name)) for name in TASKS.builtin}
    among = frozenset().union(*(names for names in users.values() if names is not None))
    yield from _unused(settings, among, _uses(task), f"--task {task.name}", "--task", users)


def _uses(chosen: Any) -> frozenset[str] | None:
    """None of an extension that doesn't say."""
    return getattr(chosen, "uses", None)


def _unused(
    settings: FinetuneSettings,
    among: frozenset[str],
    used: frozenset[str] | None,
    chosen: str,
    option: str,
    users: Mapping[str, frozenset[str] | None],
) -> Iterator[Problem]:
    if used is None:
        return
    for name in FinetuneSettings.model_fields:
        if name in settings.model_fields_set & among - used and getattr(settings, name) is not None:
            takers = [user for user, names in users.items() if names is not None and name in names]
            other = f", or take {option} {' or '.join(', '.join(takers).rsplit(', ', 1))}" if takers else ""
            yield Problem(f"{_shown(settings, name)} is not used by {chosen}", remedy=f"leave it away{other}")


def _others(settings: FinetuneSettings) -> Iterator[Problem]:
    beside = (TEMPLATES - {"text_template"}) | {"system_prompt", "instruction"}
    for name in FinetuneSettings.model_fields:
        if settings.text_template is not None and name in beside and getattr(settings, name) is not None:
            what = f"{_shown(settings, name)} is not used beside --text_template, which has the whole text"
            yield Problem(what, remedy="leave one of the two away")
    if settings.logging_dir is not None and "tensorboard" not in settings.report_to:
        what = f"{_shown(settings, 'logging_dir')} is used by --report_to tensorboard alone"
        yield Problem(what, remedy="give --report_to tensorboard, too, or leave it away; metrics.jsonl is always there")


def _shown(settings: FinetuneSettings, name: str) -> str:
    value = getattr(settings, name)
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value).replace("\n", "\\n")
    return f"--{name} {text if len(text) <= 60 else text[:57] + '…'}"
