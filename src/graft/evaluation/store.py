"""Writes an evaluation into a run folder."""

from __future__ import annotations

import json

from graft.evaluation.compare import Evaluation
from graft.evaluation.table import headline
from graft.runs.evaluation_document import EVALUATION, PREDICTIONS
from graft.runs.folder import RunFolder


def record(run: RunFolder, result: Evaluation) -> None:
    """Write an evaluation into a run folder, and its headline into the manifest."""
    write_evaluation(run, result)
    run.update_manifest(scores=headline(result.document))


def write_evaluation(folder: RunFolder, result: Evaluation) -> None:
    """Write evaluation.json and predictions.jsonl."""
    folder.write_json(EVALUATION, result.document)
    rows = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in result.predictions)
    folder.write_text(PREDICTIONS, rows)
