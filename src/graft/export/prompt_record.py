"""How a bundle is asked, recorded in its manifest: the one place where every target gets it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from graft.data.chat_template import Renderer
from graft.data.example import AnswerExample, Example
from graft.data.personal import find
from graft.documents import NotPermitted, read_object
from graft.export.source import ExportSource
from graft.models.base import Base
from graft.runs.folder import RunFolder
from graft.runs.kept_rows import read_kept_rows
from graft.runs.prompt_record import PromptRecord
from graft.runs.record import Record, validate
from graft.tasks.recorded_prompt import prompt_of_run
from graft.tasks.select import get_task


def prompt_record(source: ExportSource) -> PromptRecord | None:
    """Return how a bundle of ``source`` is asked; None for the base of several adapters, which have one each.

    Raises:
        InputError: If the run's manifest or its rows are damaged.
    """
    if source.adapters:
        return None
    task, encoding = source.task, source.encoding
    found = prompt_of_run(source.run, task, source.tokenizer) if source.run is not None else PromptRecord()
    update: dict[str, Any] = {
        "labels": found.labels or list(encoding.label_space.names) or None,
        "max_length": encoding.max_length,
    }
    if not task.head_suffix and task.chat != "none":  # it writes text
        update["stop"] = stop_texts(source.base, source.tokenizer)
    if source.run is not None:
        update["example"] = first_prompt(source.run, source.tokenizer)
    return _set(found, update)


def adapter_prompt_record(
    run: Path | None,
    base: Base,
    tokenizer: Any,
    chat_template: str | None = None,
    chat_template_sha256: str | None = None,
) -> PromptRecord | None:
    """Return how one of several adapters is asked; None for one that is no run's and has no chat template of its own.

    Args:
        run: The run that trained it.
        base: The model under it.
        tokenizer: The tokenizer, with the chat template that the adapter was trained with.
        chat_template: The file of that template in the bundle, where it is not the bundle's own.
        chat_template_sha256: Its SHA-256.

    Raises:
        InputError: If the run's manifest or its rows are damaged.
    """
    if run is None:
        if chat_template is None:
            return None
        own = PromptRecord(chat_template=chat_template, chat_template_sha256=chat_template_sha256)
        return _set(own, {"stop": stop_texts(base, tokenizer)})
    folder = RunFolder.open(run)
    recorded = folder.manifest.task
    found = prompt_of_run(folder, get_task(recorded.name if recorded else "text-generation"), tokenizer)
    update: dict[str, Any] = {
        "chat_template": chat_template,
        "chat_template_sha256": chat_template_sha256,
        "stop": stop_texts(base, tokenizer),
        "example": first_prompt(folder, tokenizer),
    }
    return _set(found, update)


def _set(record: PromptRecord, values: dict[str, Any]) -> PromptRecord:
    known = {name: value for name, value in values.items() if value is not None}
    return record.model_copy(update=known)


def stop_texts(base: Base, tokenizer: Any) -> list[str]:
    """Return the texts that end an answer: those of the model's own list, the tokenizer's, and the end of a turn."""
    ends = {tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(Renderer(tokenizer).turn_end)}
    ends |= _listed_ends(base)
    return [str(tokenizer.decode([end])) for end in sorted(int(end) for end in ends if end is not None)]


class _EndTokens(Record):
    """What is read of a model's generation settings."""

    eos_token_id: int | list[int] | None = None


def _listed_ends(base: Base) -> set[int | None]:
    """``eos_token_id`` as transformers reads it: of generation_config.json, else of the model's configuration."""
    file = base.path / "generation_config.json"
    config = read_object(file) if file.is_file() else base.text_config
    listed = validate(_EndTokens, config, str(file)).eos_token_id
    return set(listed if isinstance(listed, list) else [listed])


MOST_ROWS = 100
"""In which one without personal data is looked for."""


def first_prompt(run: RunFolder, tokenizer: Any) -> list[dict[str, Any]] | str | None:
    """Return the prompt of the first held-out row, or else of the first training row; None where none can be read.

    It is shown to readers of a bundle: rows with personal data are passed over.

    It is messages, or the very text that the model reads where messages alone do not give it: from a row with tools or
    variables of the chat template, or without a chat template.

    Raises:
        InputError: If the row is damaged.
    """
    example = _first_row(run)
    if not isinstance(example, AnswerExample):
        return example.prompt_text if example is not None else None
    more = example.tools is not None or example.template_kwargs is not None
    if isinstance(example.prompt, str) or more or not tokenizer.chat_template:
        return Renderer(tokenizer).prompt(example)
    return [dict(message) for message in example.prompt]


def _first_row(run: RunFolder) -> Example | None:
    """The first row without personal data, which a README shows; most often the first of all, which alone is read."""
    for name in ("eval.jsonl", "train.jsonl"):
        file = run.path / "data" / name
        for most in (1, MOST_ROWS) if file.is_file() else ():
            with suppress(NotPermitted):
                for row in read_kept_rows(file, run.manifest.data.kind, most=most):
                    if not find(row.input_text):
                        return row
    return None
