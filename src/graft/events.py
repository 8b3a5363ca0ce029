"""Events of a run for programs, one JSON object per line, from the first second to the last."""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from graft.errors import GraftError, Interrupted
from graft.files import append_line, end_line
from graft.plain_text import mask_secrets
from graft.progress import Reporter, enter

FILE = "events.jsonl"
PHASES = ("importing", "reading", "loading", "step", "evaluating", "writing", "done", "failed", "interrupted")
SECONDS_BETWEEN = 1.0
"""The interval between events of steps and units of work; the first, the last and new figures are always written."""
KEPT = 1000
"""The maximum number of events kept until the run folder exists."""


class Events:
    """A Reporter that emits an event for each report, and forwards the report to another reporter.

    Args:
        shown: The reporter that shows the progress to a person.
        write: Called with each event as a line of JSON.
    """

    def __init__(self, shown: Reporter, write: Callable[[str], None] | None = None) -> None:
        self.shown = shown
        self._write = write
        self._file: Path | None = None
        self._began, self._phase = time.monotonic(), "importing"
        self._past: deque[str] = deque(maxlen=KEPT)
        self._last: tuple[Any, float] = (None, 0.0)
        self._held: tuple[int, str] | None = None

    @classmethod
    def of(cls, reporter: Reporter) -> Events:
        """Return ``reporter`` itself if it emits events; otherwise an ``Events`` that forwards to it."""
        return reporter if isinstance(reporter, Events) else cls(reporter)

    def phase(self, name: str) -> None:
        """The work enters a phase of ``PHASES``."""
        self._flush()
        self._phase, self._last = name, (None, 0.0)
        self._emit()
        enter(self.shown, name)

    def note(self, text: str) -> None:
        """A message."""
        self._emit(message=text)
        self.shown.note(text)

    def step(self, step: int, steps: int, figures: dict[str, float]) -> None:
        """An optimizer step, or during an evaluation its figures at that step.

        A step is reported when it is done, and again if it has figures. Both reports are one event: a step without
        figures is written when the next report shows that none follow.
        """
        if self._phase != "evaluating":
            self._phase = "step"
        numbers = _figures_of(step, figures)
        if self._held is not None and self._held[0] == step and numbers:
            self._held = None
        self._flush()
        if self._is_due(numbers or self._last[0] or {}, step >= steps):
            line = self._line(self._phase, step=step, steps=steps, figures=numbers)
            self._held = (step, line)
            if numbers:
                self._flush()
        self.shown.step(step, steps, figures)

    def advance(self, what: str, done: int, total: int, detail: str = "") -> None:
        """Units of other work."""
        if self._is_due(what, done >= total):
            self._emit(what=what, done=done, total=total, **({"detail": detail} if detail else {}))
        self.shown.advance(what, done, total, detail)

    @contextmanager
    def into(self, folder: Path) -> Iterator[None]:
        """Also append events to ``events.jsonl`` in ``folder`` within the block, including the earlier ones.

        The last event says how the work ended: ``done``, ``failed`` or ``interrupted``.
        """
        before, path = self._file, folder / FILE
        with suppress(GraftError, OSError):
            end_line(path)
        self._file = path
        while self._past:
            self._append(self._past.popleft())
        ended: BaseException | None = None
        try:
            yield
        except BaseException as error:
            ended = error
            raise
        finally:
            self._flush()
            self._append(self._last_line(ended))
            self._file = before

    def end(self, error: BaseException | None) -> None:
        """The command has ended: ``done``, or with ``error``."""
        self._flush()
        if self._write is not None:
            self._write(self._last_line(error))

    def _last_line(self, error: BaseException | None) -> str:
        if error is None:
            return self._line("done")
        stopped = isinstance(error, (Interrupted, KeyboardInterrupt, SystemExit))
        return self._line("interrupted" if stopped else "failed", message=str(error) or type(error).__name__)

    def _is_due(self, what: Any, is_last: bool) -> bool:
        now = time.monotonic()
        due = is_last or what != self._last[0] or now - self._last[1] >= SECONDS_BETWEEN
        if due:
            self._last = (what, now)
        return due

    def _emit(self, **values: Any) -> None:
        self._flush()
        self._put(self._line(self._phase, **values))

    def _flush(self) -> None:
        """Write the step that is held back."""
        held, self._held = self._held, None
        if held is not None:
            self._put(held[1])

    def _put(self, line: str) -> None:
        if self._write is not None:
            self._write(line)
        self._append(line)

    def _line(self, phase: str, **values: Any) -> str:
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        event = {"time": now, "seconds": round(time.monotonic() - self._began, 3), "phase": phase, **values}
        if "message" in event:
            event["message"] = mask_secrets(str(event["message"]))
        return json.dumps(event)  # in ASCII: a lone surrogate, as in a file name, cannot be encoded

    def _append(self, line: str) -> None:
        if self._file is None:
            self._past.append(line)
            return
        with suppress(GraftError):  # a full disk ends the run where it keeps the run from its work, not here
            append_line(self._file, line)


def _figures_of(step: int, figures: dict[str, float]) -> dict[str, float | None]:
    """The figures, if they are of this step; JSON has no NaN."""
    if figures.get("step", step) != step:
        return {}
    return {name: value if math.isfinite(value) else None for name, value in figures.items() if name != "step"}
