"""What people look at when a run is done: the page, the model card, the terminal. Functions of the run's files."""

from pathlib import Path

from graft.report.card import write_card
from graft.report.page import write_report
from graft.report.terminal import print_run, run_summary

__all__ = ["print_run", "run_summary", "write_card", "write_pages", "write_report"]


def write_pages(run: Path) -> None:
    """Write the report and the model card of the run folder ``run``."""
    write_report(run)
    write_card(run)
