"""Adding an exported bundle to its run's evaluation and report."""

from __future__ import annotations

from graft.evaluation.compare import Evaluation
from graft.evaluation.store import record
from graft.report import write_pages
from graft.runs.evaluation_document import read_evaluation
from graft.runs.folder import RunFolder


def add_to_report(run: RunFolder, found: Evaluation) -> None:
    """Add the bundle to the run's evaluation and report, unless these hold more rows."""
    known = read_evaluation(run.path)
    before = (known.data.rows or 0) if known else 0
    if found.document["data"]["rows"] >= before:
        record(run, found)
        write_pages(run.path)
