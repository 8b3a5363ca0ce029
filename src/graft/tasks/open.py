"""The task of an opened run or model, and its encoding."""

from __future__ import annotations

from graft.config import DataSettings, ModelSettings
from graft.models.base import Opened, load_tokenizer
from graft.runs.folder import RunFolder
from graft.tasks.base import Task
from graft.tasks.encoding import Encoding, resolve_max_length
from graft.tasks.select import task_of


def open_task(opened: Opened, model: ModelSettings, data: DataSettings) -> tuple[Task, Encoding]:
    """Return what a run or a model does, and its tokenizer, labels and limits.

    Raises:
        InputError: If ``model.task`` names something that it cannot do.
    """
    recorded = RunFolder.open(opened.run).manifest.task if opened.run else None
    task, label_space = task_of(opened, recorded, model.task)
    tokenizer = load_tokenizer(opened.base, model.chat_template)
    known = recorded.max_length if recorded else None
    longest = known if known and data.max_length is None else resolve_max_length(data, tokenizer, opened.base)
    return task, Encoding(tokenizer, label_space, longest)
