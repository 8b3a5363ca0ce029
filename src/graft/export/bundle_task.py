"""What a bundle does, and how its rows become tokens, by its own files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from graft.documents import REMEDY, parse_json, read_text, shown
from graft.errors import InputError, refusing
from graft.runs.manifest import read_bundle
from graft.runs.trust import refuse_code
from graft.tasks.base import Task
from graft.tasks.encoding import DEFAULT_MAX_LENGTH, Encoding
from graft.tasks.label_space import LabelSpace
from graft.tasks.select import get_task

LANGUAGE_MODEL = "text-generation"
CONFIG = "tokenizer_config.json"


def bundle_labels(folder: Path) -> tuple[Task, LabelSpace]:
    """Return the task of the bundle in ``folder``, and the labels of its head.

    Raises:
        InputError: If its manifest or its configuration is damaged, or the task is not installed.
    """
    task = get_task(read_bundle(folder).task or LANGUAGE_MODEL)
    return task, _labels(folder, task)


def _labels(folder: Path, task: Task) -> LabelSpace:
    """The labels that the configuration in ``folder`` names, where ``task`` has a head."""
    if not task.head_suffix:
        return LabelSpace()
    file = folder / "config.json"
    config: Any = parse_json(read_text(file), str(file))
    if not isinstance(config, dict) or not isinstance(config.get("id2label"), dict):
        raise InputError("this configuration names no labels", where=str(file), remedy="export the run again")
    return LabelSpace.from_config(config)


def bundle_task(folder: Path, trusted: bool = False) -> tuple[Task, Encoding]:
    """Return the task of the bundle in ``folder`` with its tokenizer, its labels and its limits.

    Args:
        folder: The bundle.
        trusted: Whether Python files in the folder may be run.

    Raises:
        InputError: If one of its files is damaged, or the task is not installed.
    """
    manifest = read_bundle(folder)
    refuse_code(manifest.task, str(folder), trusted, what="a task")
    task = get_task(manifest.task or LANGUAGE_MODEL)
    recorded = manifest.prompt.max_length if manifest.prompt is not None else None
    return task, folder_encoding(folder, task, recorded, trusted)


def folder_encoding(folder: Path, task: Task, max_length: int | None, trusted: bool = False) -> Encoding:
    """Return the tokenizer and the labels in ``folder``, which need not have a manifest yet.

    Args:
        folder: A model folder.
        task: What its model does.
        max_length: The limit of a row in tokens; None for the tokenizer's own, or the default where that is less.
        trusted: Whether Python files in the folder may be run.

    Raises:
        InputError: If its configuration or its tokenizer is damaged.
    """
    labels = _labels(folder, task)
    tokenizer = bundle_tokenizer(folder, trusted)
    return Encoding(tokenizer, labels, max_length or min(DEFAULT_MAX_LENGTH, int(tokenizer.model_max_length)))


def bundle_tokenizer(folder: Path, trusted: bool = False) -> Any:
    """Return the tokenizer in ``folder`` as transformers opens it.

    Args:
        folder: A bundle or a model folder.
        trusted: Whether Python files in the folder may be run.

    Raises:
        InputError: If one of its files is damaged.
    """
    from transformers import AutoTokenizer

    from graft.models.load import quiet
    from graft.models.tokenizer_paths import refuse_named_files

    refuse_named_files(folder)
    with refusing("the tokenizer cannot be loaded", folder, REMEDY), quiet():
        found = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=trusted)
        found("")
    limit, template = found.model_max_length, found.chat_template
    if not isinstance(limit, (int, float)) or not limit >= 1:
        raise InputError(f"'model_max_length' is {shown(limit)}", where=str(folder / CONFIG), remedy=REMEDY)
    if template is not None and not isinstance(template, (str, dict)):
        raise InputError(f"'chat_template' is {shown(template)}", where=str(folder / CONFIG), remedy=REMEDY)
    return found
