"""How work reports its progress."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """What shows the work to a person (``graft.cli.progress.Screen`` in the terminal)."""

    def note(self, text: str) -> None: ...

    def step(self, step: int, steps: int, figures: dict[str, float]) -> None: ...

    def advance(self, what: str, done: int, total: int, detail: str = "") -> None: ...


class Silent:
    def note(self, text: str) -> None:
        pass

    def step(self, step: int, steps: int, figures: dict[str, float]) -> None:
        pass

    def advance(self, what: str, done: int, total: int, detail: str = "") -> None:
        pass
