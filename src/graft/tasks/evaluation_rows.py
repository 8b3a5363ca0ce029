"""The rows that a run or a model is judged on."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from graft.config import DataSettings
from graft.data.pipeline import read_examples
from graft.data.sources import sha256_of
from graft.errors import InputError
from graft.evaluation.rows import EvaluationRows
from graft.runs.folder import RunFolder
from graft.runs.rows import from_row
from graft.runs.settings import recorded_data_settings
from graft.tasks.base import Task
from graft.tasks.label_space import LabelSpace
from graft.tasks.select import get_task


def load_evaluation_rows(
    run: RunFolder | None,
    files: Any,
    given: DataSettings,
    task: Task | None = None,
    label_space: LabelSpace | None = None,
    token: str | None = None,
) -> EvaluationRows:
    """The rows to evaluate on, shaped as the run shaped its own."""
    listed = named_files(files, given)
    if run is not None and listed is None and given.data_name is None:
        path, kind = run.path / "data" / "eval.jsonl", run.manifest["data"]["kind"]
        examples = [from_row(json.loads(line), kind) for line in path.read_text(encoding="utf-8").splitlines()]
        if not examples:
            raise InputError("this run held out no rows", where=str(run.path), remedy="--data_files rows.jsonl")
        source = {"path": str(path), "rows": len(examples), "sha256": sha256_of(path)}
        return EvaluationRows(examples, run.manifest["data"]["labels"], source, kind)
    if listed is None and given.data_name is None:
        raise InputError("no rows to evaluate on are given", remedy="--data_files rows.jsonl")
    recorded = recorded_data_settings(run) if run is not None else {}
    chosen = {name: getattr(given, name) for name in given.model_fields_set}
    update = {"data_files": listed, "data_name": given.data_name if listed is None else None}
    settings = DataSettings(**{**recorded, **chosen, **update})
    known = list(label_space.names) if label_space is not None else []
    labels = run.manifest["data"]["labels"] if run is not None else known or None
    recognize = (task or get_task("text-generation")).recognize
    read = read_examples(settings, labels, recognize=recognize, token=token)
    return EvaluationRows(read.examples, read.mapping.labels, asdict(read.source), read.mapping.kind)


def named_files(files: Any, given: DataSettings) -> tuple[str, ...] | None:
    """The data files that are named, by argument or setting."""
    if files is None:
        return given.data_files
    return tuple(str(file) for file in ([files] if isinstance(files, (str, Path)) else files))
