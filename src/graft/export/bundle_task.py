"""What a bundle does, and how its rows become tokens, by its own files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from graft.errors import InputError
from graft.runs.manifest import read_bundle
from graft.runs.record import parse, read_text
from graft.tasks.base import Task
from graft.tasks.encoding import DEFAULT_MAX_LENGTH, Encoding
from graft.tasks.label_space import LabelSpace
from graft.tasks.select import get_task

LANGUAGE_MODEL = "text-generation"


def bundle_labels(folder: Path) -> tuple[Task, LabelSpace]:
    """Return the task of the bundle in ``folder``, and the labels of its head.

    Raises:
        InputError: If its manifest or its configuration is damaged, or the task is not installed.
    """
    task = get_task(read_bundle(folder).task or LANGUAGE_MODEL)
    if not task.head_suffix:
        return task, LabelSpace()
    file = folder / "config.json"
    config: Any = parse(read_text(file), str(file))
    if not isinstance(config, dict) or not isinstance(config.get("id2label"), dict):
        raise InputError("this configuration names no labels", where=str(file), remedy="export the run again")
    return task, LabelSpace.from_config(config)


def bundle_task(folder: Path) -> tuple[Task, Encoding]:
    """Return the task of the bundle in ``folder`` with its tokenizer, its labels and its limits.

    Raises:
        InputError: If one of its files is damaged, or the task is not installed.
    """
    from transformers import AutoTokenizer

    from graft.models.load import quiet

    task, labels = bundle_labels(folder)
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    prompt = read_bundle(folder).prompt
    recorded = prompt.max_length if prompt is not None else None
    longest = recorded or min(DEFAULT_MAX_LENGTH, int(tokenizer.model_max_length))
    return task, Encoding(tokenizer, labels, longest)
