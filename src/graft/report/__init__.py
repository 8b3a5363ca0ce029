"""What people look at when a run is done: the page, the model card, the terminal. Functions of the run's files."""

from graft.report.card import write_card
from graft.report.page import write_report
from graft.report.terminal import show, summary

__all__ = ["show", "summary", "write_card", "write_report"]
