"""How work reports its progress: one protocol, whoever shows it."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """Shows progress to a person: the terminal (``graft.cli.progress.Screen``), a notebook, or nobody (``Silent``)."""

    def phase(self, name: str) -> None:
        """The work enters a phase: importing, reading, loading, step, evaluating, writing.

        Reporters without this method are not told; work calls ``enter``.
        """

    def note(self, text: str) -> None:
        """One message, shown once."""

    def step(self, step: int, steps: int, figures: dict[str, float]) -> None:
        """Training has reached optimizer step ``step`` of ``steps``.

        ``figures`` are the latest metrics that were logged, by name; ``figures["step"]`` is the step that they are of.
        """

    def advance(self, what: str, done: int, total: int, detail: str = "") -> None:
        """``done`` of ``total`` units of the work called ``what`` are done."""


class Silent:
    """A reporter that shows nothing."""

    def phase(self, name: str) -> None:
        """Discard the phase."""

    def note(self, text: str) -> None:
        """Discard the message."""

    def step(self, step: int, steps: int, figures: dict[str, float]) -> None:
        """Discard the figures."""

    def advance(self, what: str, done: int, total: int, detail: str = "") -> None:
        """Discard the progress."""


SILENT: Reporter = Silent()
"""The default of functions that report progress."""


def enter(reporter: Reporter, phase: str) -> None:
    """Tell ``reporter`` that the work enters a phase, if it wants to know."""
    tell = getattr(reporter, "phase", None)
    if tell is not None:
        tell(phase)
