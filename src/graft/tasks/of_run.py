"""The task of a run or a model, and what its rows become tokens with."""

from __future__ import annotations

from graft.config import DataSettings, ModelSettings
from graft.models.base import Opened, load_tokenizer
from graft.runs.folder import RunFolder
from graft.tasks.base import Codec, Task, longest_row
from graft.tasks.select import task_of


def task_and_codec(opened: Opened, model: ModelSettings, data: DataSettings) -> tuple[Task, Codec]:
    """What a run or a model does, and its tokens, labels and limits.

    Raises:
        InputError: when ``model.task`` names something it cannot do.
    """
    manifest = RunFolder.open(opened.run).manifest if opened.run else {}
    task, head = task_of(opened, manifest, model.task)
    tokenizer = load_tokenizer(opened.base, model.chat_template)
    recorded = (manifest.get("task") or {}).get("max_length")
    longest = recorded if recorded and data.max_length is None else longest_row(data, tokenizer, opened.base)
    return task, Codec(tokenizer, head, longest)
