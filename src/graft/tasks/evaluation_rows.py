"""Loads the rows that a run or a model is evaluated on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from graft.config import Component, DataSettings, compose
from graft.data.pipeline import read_examples
from graft.data.sources import sha256_of
from graft.errors import InputError
from graft.evaluation.rows import EvaluationRows
from graft.runs.folder import RunFolder
from graft.runs.kept_rows import read_kept_rows
from graft.runs.prompt_record import PromptRecord, recorded_settings
from graft.runs.trust import refuse_code
from graft.tasks.base import Task
from graft.tasks.label_space import LabelSpace
from graft.tasks.recorded_prompt import prompt_of_run
from graft.tasks.row_columns import with_columns
from graft.tasks.select import default_task


def load_evaluation_rows(
    run: RunFolder | None,
    files: Any,
    given: DataSettings,
    task: Task | None = None,
    label_space: LabelSpace | None = None,
    token: str | None = None,
    prompt: PromptRecord | None = None,
    trusted: bool = False,
    where: str = "",
    by: Sequence[str] = (),
) -> EvaluationRows:
    """Load the rows to evaluate on, with the same columns and templates as the run's own.

    Args:
        run: The run, whose held-out rows are used unless files are named; None for a model without a run.
        files: One data file or several.
        given: The settings that the user gave; they win over those of the run.
        task: What the model does; None for a causal model that writes.
        label_space: The labels of the model's head.
        token: The access token for the Hugging Face hub.
        prompt: How the model is asked; None takes what ``run`` recorded.
        trusted: Whether a column mapping from a file that ``prompt`` names may be run.
        where: The file or folder that ``prompt`` is from, for error messages; the run's own when empty.
        by: Columns by which the rows are evaluated.

    Raises:
        InputError: If there are no rows, or they cannot be read, or a file would be run that the user neither named
            nor trusts.
    """
    listed = named_files(files, given)
    if listed is None and given.data_name is None:
        if run is None:
            raise InputError("no rows to evaluate on are given", remedy="--data_files rows.jsonl")
        rows = _held_out(run)
        return replace(rows, examples=with_columns(rows.examples, by, run)) if by else rows
    task = task or default_task("causal")
    if prompt is None:
        prompt = prompt_of_run(run, task) if run is not None else PromptRecord()
    refuse_code(
        _text(prompt.data.get("column_mapping")),
        where or (str(run.path) if run is not None else ""),
        trusted,
        given="column_mapping" in given.model_fields_set,
        instead="--column_mapping",
    )
    known = list(label_space.names) if label_space is not None else []
    settings = _settings(prompt, listed, given, task)
    labels = prompt.labels or known or None
    read = read_examples(settings, labels, prompt.generation_prompt, recognize=task.recognize, token=token, by=by)
    return EvaluationRows(read.examples, read.mapping.labels, asdict(read.source), read.mapping.kind)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _settings(prompt: PromptRecord, files: tuple[str, ...] | None, given: DataSettings, task: Task) -> DataSettings:
    """Return the recorded settings, the task's own among them, with those that the user gave over them."""
    cls = compose(DataSettings, [Component("task", task.name, task.Config)])
    recorded_settings(cls, prompt.data)  # a damaged value is said to be one, and not the user's
    recorded = {name: value for name, value in prompt.data.items() if name in cls.model_fields}
    chosen = {name: getattr(given, name) for name in given.model_fields_set}
    where = {"data_files": files, "data_name": given.data_name if files is None else None}
    return cls(**{**recorded, **chosen, **where})


def _held_out(run: RunFolder) -> EvaluationRows:
    path, kind = run.path / "data" / "eval.jsonl", run.manifest.data.kind
    examples = read_kept_rows(path, kind)
    if not examples:
        raise InputError("this run held out no rows", where=str(run.path), remedy="--data_files rows.jsonl")
    source = {"path": str(path), "rows": len(examples), "sha256": sha256_of(path)}
    return EvaluationRows(examples, run.manifest.data.labels, source, kind)


def named_files(files: Any, given: DataSettings) -> tuple[str, ...] | None:
    """Return the named data files: those of the argument, else those of the settings."""
    if files is None:
        return given.data_files
    return tuple(str(file) for file in ([files] if isinstance(files, (str, Path)) else files))
