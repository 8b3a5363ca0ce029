"""Writes an evaluation into a run folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from graft.evaluation.compare import Evaluation
from graft.evaluation.table import headline
from graft.files import ReadOnlyError
from graft.progress import Reporter
from graft.runs.evaluation_document import (
    EVALUATION,
    PREDICTIONS,
    EvaluationDocument,
    PredictionRecord,
    read_evaluation,
)
from graft.runs.folder import BusyError, RunFolder
from graft.runs.links import LinkError
from graft.runs.paths import portable_path
from graft.runs.record import dump_lines, plain_values, validate

ADDED = ("benchmarks", "forgetting", "judgments")
"""Sections of evaluation.json that other commands add to it; a new evaluation of the same run keeps them."""


def record_where_possible(run: RunFolder, result: Evaluation, reporter: Reporter, then: Callable[[Path], None]) -> None:
    """Record a result in a run, and do ``then`` what follows from it, such as to write the pages.

    Where the folder is read-only, has links, or a training is going on in it, that is noted, and the result stays.
    """
    try:
        with run.lock():
            record(run, result)
            then(run.path)
    except (ReadOnlyError, BusyError, LinkError) as error:
        reporter.note(f"nothing was recorded in {run.path}: {error.problems[0].what}")


def loses_base(run: RunFolder, result: Evaluation) -> bool:
    """Whether the run's evaluation has its base, and ``result``, made where the base is gone, has not."""
    known = read_evaluation(run.path)
    return known is not None and "base" in known.predictors and "base" not in result.document["predictors"]


def record(run: RunFolder, result: Evaluation) -> None:
    """Write an evaluation into a run folder, and its headline into the manifest."""
    write_evaluation(run, result)
    run.update_manifest(scores=headline(result.document))


def write_evaluation(folder: RunFolder, result: Evaluation) -> None:
    """Write evaluation.json and predictions.jsonl; rows that the folder holds itself are named relative to it."""
    document = {**_added(folder.path), **plain_values(result.document)}
    document["data"] = {**document["data"], "path": _within(str(document["data"].get("path") or ""), folder.path)}
    folder.write_json(EVALUATION, validate(EvaluationDocument, document, EVALUATION))
    rows = [validate(PredictionRecord, plain_values(row), PREDICTIONS) for row in result.predictions]
    folder.write_text(PREDICTIONS, dump_lines(rows))


def add_section(run: RunFolder, name: str, section: Any) -> None:
    """Write a section into the evaluation of a run, in the place of what it had there; the caller holds the run.

    Args:
        run: The run.
        name: One of ``ADDED``.
        section: Its content, which ``EvaluationDocument`` has a record for.
    """
    assert name in ADDED
    before = read_evaluation(run.path)
    document = {**(before.document() if before else {}), name: plain_values(section)}
    run.write_json(EVALUATION, validate(EvaluationDocument, document, EVALUATION))


def _added(folder: Path) -> dict[str, Any]:
    known = read_evaluation(folder)
    found = known.document() if known is not None else {}
    return {name: found[name] for name in ADDED if found.get(name)}


def _within(path: str, folder: Path) -> str:
    inside = bool(path) and Path(path).resolve().is_relative_to(folder.resolve())
    return portable_path(Path(path), folder) if inside else path
