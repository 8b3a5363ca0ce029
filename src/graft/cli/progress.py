"""Progress on stderr, which leaves stdout to results: messages and a bar, or one JSON object a line."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from graft.cli.console import Console
from graft.errors import InputError
from graft.events import Events
from graft.progress import SILENT

SECONDS_BETWEEN_LINES = 15.0
"""The interval between lines, which replace the progress bar if stderr is not a terminal."""


FORMS = ("auto", "jsonl")
_form = "auto"


def choose_form(form: object) -> None:
    """Set the form of progress: for people (``auto``), or for programs (``jsonl``).

    Raises:
        InputError: If the form is unknown.
    """
    global _form  # noqa: PLW0603 - one for the process, as stderr is
    if form not in FORMS:
        raise InputError(f"--progress must be {' or '.join(FORMS)}, not {form!r}")
    _form = str(form)


class Screen(Events):
    """The progress of a command on stderr; quiet with ``--json``, unless it is for programs.

    Args:
        quiet: Whether nothing is shown to people.
        imports: Whether the command imports libraries that take seconds at once.
    """

    def __init__(self, quiet: bool = False, imports: bool = True) -> None:
        self.terminal = Terminal(quiet)
        self._imports = imports
        for_programs = _form == "jsonl"
        super().__init__(SILENT if for_programs else self.terminal, _print_line if for_programs else None)

    def __enter__(self) -> Screen:
        if self._imports:
            self.importing()
        return self

    def importing(self) -> None:
        """Say that libraries will be imported, if they are not there yet."""
        if "torch" not in sys.modules:  # which takes seconds to import
            self.phase("importing")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(error)
        self.terminal.close()


def _print_line(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class Terminal:
    """Shows notes and one progress line at a time."""

    def __init__(self, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._what = ""
        self._last_line = 0.0
        self._shown = ("", 0, 0)
        self._figures: dict[str, float] = {}

    def phase(self, name: str) -> None:
        """Show that libraries are being imported, which takes seconds."""
        if name == "importing":
            self.note("loading libraries …")

    def note(self, text: str) -> None:
        """Print a message on stderr."""
        self.console.print(text, markup=False, soft_wrap=not self.console.is_terminal)

    def step(self, step: int, steps: int, figures: dict[str, float]) -> None:
        """Show the training step, both losses, and the speed."""
        self._figures |= figures  # losses of training and of held-out rows come at different times
        known = self._figures
        parts = [f"{name} {known[key]:.{digits}f}" for key, name, digits in _SHOWN if key in known]
        self.advance("training", step, steps, " · ".join(parts))

    def advance(self, what: str, done: int, total: int, detail: str = "") -> None:
        """Update the progress bar, or print a line at intervals if stderr is not a terminal."""
        if self.console.is_terminal:
            self._show_bar(what, done, total, detail)
        else:
            self._show_line(what, done, total, detail)

    def close(self) -> None:
        """Remove the progress bar."""
        if self._bar is not None:
            self._bar.stop()
        self._bar, self._task, self._what = None, None, ""

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
