"""Adding an exported bundle to its run's evaluation and report."""

from __future__ import annotations

from graft.evaluation.compare import Evaluation
from graft.evaluation.store import loses_base, record_where_possible
from graft.progress import Reporter
from graft.report import write_pages
from graft.runs.evaluation_document import read_evaluation
from graft.runs.folder import RunFolder


def add_to_report(run: RunFolder, found: Evaluation, reporter: Reporter) -> None:
    """Add the bundle to the run's evaluation and report, unless these hold more rows, or the base, which is gone now.

    A run on read-only media stays as it is, which is noted.
    """
    known = read_evaluation(run.path)
    before = (known.data.rows or 0) if known else 0
    if found.document["data"]["rows"] < before or loses_base(run, found):
        return
    record_where_possible(run, found, reporter, write_pages)
