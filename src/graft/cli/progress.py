"""The terminal's Reporter: messages and a progress bar on stderr, which leaves stdout to results."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 15.0
"""Where stderr is not a terminal, a line is printed this seldom instead of a bar."""


class Screen:
    """Shows notes and one progress line at a time; quiet with ``--json``."""

    def __init__(self, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._what = ""
        self._last_line = 0.0
        self._shown = ("", 0, 0)

    def note(self, text: str) -> None:
        """Print a message on stderr."""
        self.console.print(text, markup=False, soft_wrap=not self.console.is_terminal)

    def step(self, step: int, steps: int, figures: dict[str, float]) -> None:
        """Training's line: the step, both losses, and how fast it goes."""
        parts = [f"{name} {figures[key]:.{digits}f}" for key, name, digits in _SHOWN if key in figures]
        self.advance("training", step, steps, " · ".join(parts))

    def advance(self, what: str, done: int, total: int, detail: str = "") -> None:
        """Move the progress bar, or print a line now and then where stderr is not a terminal."""
        if self.console.is_terminal:
            self._show_bar(what, done, total, detail)
        else:
            self._show_line(what, done, total, detail)

    def close(self) -> None:
        """Remove the progress bar."""
        if self._bar is not None:
            self._bar.stop()
        self._bar, self._task, self._what = None, None, ""

    def __enter__(self) -> Screen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _show_bar(self, what: str, done: int, total: int, detail: str) -> None:
        if self._bar is None or self._what != what:
            self.close()
            self._what = what
            columns = (TextColumn("{task.description:<10}"), BarColumn(24), TextColumn("{task.completed}/{task.total}"))
            times = (
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[detail]}"),
            )
            self._bar = Progress(*columns, *times, console=self.console)
            self._bar.start()
            self._task = self._bar.add_task(what, total=total, detail=detail)
        assert self._task is not None
        self._bar.update(self._task, completed=done, total=total, detail=detail)
        if done >= total:
            self.close()

    def _show_line(self, what: str, done: int, total: int, detail: str) -> None:
        now = time.monotonic()
        if (what, done, total) == self._shown and done == total:
            return
        if what == self._what and done < total and now - self._last_line < SECONDS_BETWEEN_LINES:
            return
        if what != self._what:
            self._began = now
        self._what, self._last_line, self._shown = what, now, (what, done, total)
        left = (now - self._began) / done * (total - done) if done and now > self._began else None
        remaining = f" · {left:.0f} s left" if left is not None and done < total else ""
        self.note(f"{what} {done}/{total}{' · ' + detail if detail else ''}{remaining}")


_SHOWN = (
    ("loss", "loss", 3),
    ("eval_loss", "held-out", 3),
    ("rows_per_second", "rows/s", 1),
    ("tokens_per_second", "tokens/s", 0),
)
