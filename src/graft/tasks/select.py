"""Chooses the task: by its name, or by the model and the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from graft.config import DataSettings
from graft.data.columns.several import several_labels, written_labels
from graft.data.inferred import InferredSetting
from graft.data.readers import Row
from graft.data.values import listed_names
from graft.errors import InputError, did_you_mean
from graft.models.base import Base, Opened, kind_of
from graft.models.load import Kind
from graft.runs.manifest import TaskRecord
from graft.runs.trust import refuse_code
from graft.tasks import TASKS
from graft.tasks.base import Task
from graft.tasks.label_space import LabelSpace

_KINDS: Mapping[Kind, str] = {
    "causal": "a causal language model",
    "encoder": "an encoder",
    "encoder-decoder": "an encoder–decoder (T5, BART)",
}


class SelectedTask(NamedTuple):
    """A task with the labels of the model's head."""

    task: Task
    label_space: LabelSpace


def get_task(name: str) -> Task:
    """Return the task of this name or alias.

    Raises:
        InputError: If there is none, with the nearest name.
    """
    if name in TASKS.names() or ":" in name:
        return TASKS.get(name)
    aliases: dict[str, Task] = {}
    for _, task in TASKS.items():
        for alias in task.aliases:
            aliases.setdefault(alias, task)  # a subclass inherits the aliases of a built-in task, which come first
    if name in aliases:
        return aliases[name]
    hint = did_you_mean(name, [*TASKS.names(), *aliases])
    raise InputError(f"unknown task {name!r}; the tasks are: {', '.join(TASKS.names())}", remedy=hint)


def default_task(kind: Kind, needs_head: bool = True) -> Task:
    """Return what a model of this kind does unless the rows or the user say otherwise.

    Args:
        kind: The kind of the model.
        needs_head: Whether a task may need a head that the model lacks.
    """
    able = [task for task in _by_priority() if kind in task.kinds and (needs_head or not task.head_suffix)]
    return next((task for task in able if kind in task.default_for), able[0])


def task_for_data(name: str | None, rows: Sequence[Row], settings: DataSettings | None = None) -> Task:
    """Return the named task, else the one that the rows are clearly meant for, else that of a causal model."""
    if name is not None:
        return get_task(name)
    return _fitting(_by_priority(), rows, None, settings) or default_task("causal")


def choose_task(
    name: str | None, base: Base, rows: Sequence[Row], settings: DataSettings | None = None
) -> tuple[Task, list[InferredSetting]]:
    """Return the task, and what was inferred about it.

    Raises:
        InputError: If there is no task of this name, or the model cannot do it.
    """
    kind = kind_of(base.config)
    if name is not None:
        return check_model(get_task(name), base), []
    able = [task for task in _by_priority() if kind in task.kinds]
    task = _fitting(able, rows, kind, settings) or default_task(kind)
    if kind == "causal" and kind in task.default_for:
        return task, []  # a language model that writes needs no explanation
    why = f"the model is {_KINDS[kind]}"
    if len(able) > 1:
        why = f"{why}, and the columns are {listed_names(rows[0].columns)}"
    return task, [InferredSetting("task", task.name, why)]


def check_model(task: Task, base: Base) -> Task:
    """Return ``task`` if ``base`` can do it.

    Raises:
        InputError: If it cannot.
    """
    kind = kind_of(base.config)
    if kind in task.kinds:
        return task
    wanted = " or ".join(_KINDS[name] for name in task.kinds)
    able = [name for name, other in TASKS.items() if kind in other.kinds]
    model_type = base.config.get("model_type", "?")
    raise InputError(
        f"{task.name} requires {wanted}, but {base.label} is {_KINDS[kind]} ({model_type})",
        where="--task",
        remedy=f"choose another model, or a task that this model supports: {', '.join(able)}",
    )


def task_of(opened: Opened, recorded: TaskRecord | None, name: str | None) -> SelectedTask:
    """Return the task and the labels of a run, as its manifest says, or of a model folder, as its architecture says.

    Raises:
        InputError: If ``name`` is another task, or the model cannot do it, or the recorded one is in a file that the
            user neither named nor trusts.
    """
    if recorded:
        refuse_code(
            recorded.name,
            str(opened.run or opened.name),
            opened.hub.trust_remote_code,
            given=name == recorded.name,
            what="a task",
        )
        task = get_task(name or recorded.name)
        if task.name != recorded.name:
            said = f"this run's task is {recorded.name}, not {task.name}"
            raise InputError(said, where="--task", remedy="omit --task")
        return SelectedTask(task, LabelSpace.from_record(recorded.label_space))
    named = get_task(name) if name is not None else None
    headed = _task_of_head(opened.base)
    if headed is not None and named in {None, headed}:
        return SelectedTask(headed, LabelSpace.from_config(opened.base.config))
    if named is None:
        return SelectedTask(default_task(kind_of(opened.base.config), needs_head=False), LabelSpace())
    if check_model(named, opened.base).head_suffix:
        what = f"{opened.base.label} has no head for {named.name}"
        raise InputError(what, where="--task", remedy="train one with `graft finetune`, then evaluate the run")
    return SelectedTask(named, LabelSpace())


def _by_priority() -> list[Task]:
    return sorted((task for _, task in TASKS.items()), key=lambda task: task.priority)


def _fitting(
    tasks: Sequence[Task], rows: Sequence[Row], kind: Kind | None = None, settings: DataSettings | None = None
) -> Task | None:
    columns, row = list(rows[0].columns), rows[0].columns
    form = several_labels(columns, rows, settings or DataSettings())
    if form is not None and not form.one_each:  # labels as a list, however the file writes them
        columns = [*(name for name in columns if name not in form.columns), "labels"]
        row = {**row, "labels": list(written_labels(rows[:1], form))}
    return next((task for task in tasks if task.fits(columns, row, kind)), None)


def _task_of_head(base: Base) -> Task | None:
    architecture = str((base.config.get("architectures") or [""])[0])
    headed = (task for task in _by_priority() if task.head_suffix)
    return next((task for task in headed if architecture.endswith(task.head_suffix)), None)
