"""The task of an opened run or model, and its encoding."""

from __future__ import annotations

from pathlib import Path

from graft.config import DataSettings, ModelSettings
from graft.models.base import Base, Opened, load_tokenizer
from graft.runs.folder import RunFolder
from graft.tasks.base import Task
from graft.tasks.encoding import Encoding, resolve_max_length
from graft.tasks.select import task_of

CHAT_TEMPLATE = "chat_template.jinja"
"""The file of a model folder that transformers reads the chat template from first."""


def run_template(run: Path, base: Base) -> str | None:
    """The chat template in the ``model`` folder of ``run``, where its ``base`` is loaded from another folder.

    Returns:
        None if the base brings the template itself.
    """
    folder = run / "model"
    file = folder / CHAT_TEMPLATE
    return file.read_text(encoding="utf-8") if folder.resolve() != base.path.resolve() and file.is_file() else None


def open_task(opened: Opened, model: ModelSettings, data: DataSettings) -> tuple[Task, Encoding]:
    """Return what a run or a model does, and its tokenizer, labels and limits.

    Raises:
        InputError: If ``model.task`` names something that it cannot do.
    """
    recorded = RunFolder.open(opened.run).manifest.task if opened.run else None
    task, label_space = task_of(opened, recorded, model.task)
    template = run_template(opened.run, opened.base) if opened.run is not None else None
    tokenizer = load_tokenizer(opened.base, model.chat_template or template, model.chat_template_kwargs)
    known = recorded.max_length if recorded else None
    longest = known if known and data.max_length is None else resolve_max_length(data, tokenizer, opened.base)
    return task, Encoding(tokenizer, label_space, longest)
