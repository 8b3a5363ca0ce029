"""Which task: named, or told by the model and the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graft.data.inferred import InferredSetting
from graft.data.readers import Row
from graft.errors import InputError
from graft.models.base import Base, Opened, kind_of
from graft.tasks import ALIASES, TASKS
from graft.tasks.base import Task
from graft.tasks.label_space import LabelSpace

_HEADS = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
}
_KINDS = {
    "causal": "a causal language model",
    "encoder": "an encoder",
    "encoder-decoder": "an encoder–decoder (T5, BART)",
}
BY_DATA = ("feature-extraction", "token-classification", "text-classification")


def get_task(name: str) -> Task:
    """The task of this name.

    Raises:
        InputError: with the nearest name, when there is none.
    """
    return TASKS.get(ALIASES.get(name, name))


def task_for_data(name: str | None, rows: Sequence[Row]) -> Task:
    """The task that is named, or the one the data can only be meant for, or text-generation."""
    if name is not None:
        return get_task(name)
    columns, row = list(rows[0].columns), rows[0].columns
    if get_task("text-generation").fits(columns, row):
        return get_task("text-generation")
    fitting = (task for task in map(get_task, BY_DATA) if task.fits(columns, row))
    return next(fitting, get_task("text-generation"))


def choose_task(name: str | None, base: Base, rows: Sequence[Row]) -> tuple[Task, list[InferredSetting]]:
    """The task, and what was inferred of it.

    Raises:
        InputError: when there is no such task, or the model cannot do it.
    """
    kind = kind_of(base.config)
    if name is not None:
        return check_model(get_task(name), base), []
    columns, row = list(rows[0].columns), rows[0].columns
    if kind == "encoder-decoder":
        return get_task("summarization"), [_inferred("summarization", "the model is an encoder–decoder")]
    if kind == "causal" and (found := _without_head(columns, rows)):
        return get_task(found), []
    task = next((task for task in map(get_task, BY_DATA) if task.fits(columns, row)), get_task("text-classification"))
    why = "the model is an encoder" if kind == "encoder" else "no text to write"
    return task, [_inferred(task.name, f"{why}, and the columns are {', '.join(columns)}")]


def _without_head(columns: Sequence[str], rows: Sequence[Row]) -> str | None:
    """A causal model writes, unless the rows are pairs, spans or lists of labels."""
    row = rows[0].columns
    if get_task("text-generation").fits(columns, row) or {"tokens", "tags"} <= set(columns):
        return "text-generation"
    return None if any(get_task(name).fits(columns, row) for name in BY_DATA) else "text-generation"


def _inferred(name: str, why: str) -> InferredSetting:
    return InferredSetting("task", name, why)


def check_model(task: Task, base: Base) -> Task:
    """``task``, when ``base`` can do it.

    Raises:
        InputError: when it can't.
    """
    kind = kind_of(base.config)
    if kind in task.kinds:
        return task
    wanted = " or ".join(_KINDS[name] for name in task.kinds)
    able = [name for name in TASKS.builtin if kind in get_task(name).kinds]
    model_type = base.config.get("model_type", "?")
    raise InputError(
        f"{task.name} needs {wanted}, and {base.label} is {_KINDS[kind]} ({model_type})",
        where="--task",
        remedy=f"take another model, or a task it can do: {', '.join(able)}",
    )


def task_of(opened: Opened, manifest: Mapping[str, Any], name: str | None) -> tuple[Task, LabelSpace]:
    """The task and the head of a run (as its manifest says) or of a model folder (as its architecture says).

    Raises:
        InputError: when ``name`` is another task, or the model cannot do it.
    """
    recorded = manifest.get("task")
    if recorded:
        task = get_task(name or recorded["name"])
        if task.name != recorded["name"]:
            said = f"this run's task is {recorded['name']}, not {task.name}"
            raise InputError(said, where="--task", remedy="leave --task away")
        return task, LabelSpace.from_record(recorded.get("head") or {})
    architecture = str((opened.base.config.get("architectures") or [""])[0])
    found = next((task for ending, task in _HEADS.items() if architecture.endswith(ending)), None)
    if found is not None and name in {None, found}:
        return get_task(found), LabelSpace.from_config(opened.base.config)
    if name is not None:
        task = check_model(get_task(name), opened.base)
        if task.name in _HEADS.values():
            what = f"{opened.base.label} has no head for {task.name}"
            raise InputError(what, where="--task", remedy="train one by `graft finetune`, and evaluate the run")
        return task, LabelSpace()
    by_kind = {"encoder": "feature-extraction", "encoder-decoder": "summarization"}
    return get_task(by_kind.get(kind_of(opened.base.config), "text-generation")), LabelSpace()
