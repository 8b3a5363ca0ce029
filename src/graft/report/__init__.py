"""What people look at when a run is done: the page, the model card, the terminal. Functions of the run's files."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from graft.report.card import write_card
from graft.report.page import write_report
from graft.report.terminal import print_run, run_summary
from graft.runs.view import RunView

__all__ = ["print_run", "run_summary", "write_card", "write_pages", "write_report"]


def write_pages(run: Path, **ended: Any) -> None:
    """Write the report and the model card of the run folder ``run``.

    Args:
        run: The folder.
        ended: Fields of the manifest as they are recorded right after; the pages of a run that ends are written first.
    """
    view = RunView.read(run)
    if view.manifest is not None and ended:
        view = replace(view, manifest=view.manifest.model_copy(update=ended))
    write_report(run, view)
    write_card(run, view)
