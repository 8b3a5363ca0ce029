"""How work reports its progress: one protocol, whoever shows it."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """Shows progress to a person: the terminal (``graft.cli.progress.Screen``), a notebook, or nobody (``Silent``)."""

    def note(self, text: str) -> None:
        """One message, shown once."""

    def step(self, step: int, steps: int, figures: dict[str, float]) -> None:
        """Training has reached optimizer step ``step`` of ``steps``; ``figures`` are the latest metrics by name."""

    def advance(self, what: str, done: int, total: int, detail: str = "") -> None:
        """``done`` of ``total`` units of the work called ``what`` are done."""


class Silent:
    """A reporter that shows nothing."""

    def note(self, text: str) -> None:
        """Discard the message."""

    def step(self, step: int, steps: int, figures: dict[str, float]) -> None:
        """Discard the figures."""

    def advance(self, what: str, done: int, total: int, detail: str = "") -> None:
        """Discard the progress."""


SILENT: Reporter = Silent()
"""The default of functions that report progress."""
