"""Evaluations of one model, made from a confusion matrix."""

from __future__ import annotations

import json
from pathlib import Path

from graft.runs.view import RunView

LABELS = ["negative", "neutral", "positive"]


def judged(folder: Path, matrix: list[list[int]], labels: list[str] = LABELS) -> RunView:
    """The evaluation of one model with this confusion matrix."""
    classes = {
        label: {"recall": row[index] / (sum(row) or 1), "support": sum(row)}
        for index, (label, row) in enumerate(zip(labels, matrix, strict=True))
    }
    whole = sum(map(sum, matrix))
    accuracy = sum(row[index] for index, row in enumerate(matrix)) / whole
    score = {"accuracy": {"value": accuracy, "low": accuracy - 0.03, "high": accuracy + 0.03, "n": whole}}
    document = {"data": {}, "labels": labels, "predictors": {"tuned": score}}
    document |= {"confusion": {"tuned": matrix}, "classes": {"tuned": classes}}
    (folder / "evaluation.json").write_text(json.dumps(document), encoding="utf-8")
    return RunView.read(folder)
