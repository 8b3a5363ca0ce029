"""rich's Console where the text of data is shown: the only one that commands print with."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

from graft.plain_text import escape_controls, mask_secrets

WIDTH = 120
"""Columns where the output is a file or a pipe, which have no edge to wrap at."""


def is_plain() -> bool:
    """Whether no escape sequences are wanted: ``NO_COLOR``, ``--no-color``, or a terminal that has none."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") in ("dumb", "unknown")


class Console(RichConsole):
    """rich's Console on stdout or stderr: its own styles reach the terminal, control characters of data do not.

    Args:
        stderr: Whether it writes to stderr.
        quiet: Whether it writes nothing.
    """

    def __init__(self, stderr: bool = False, quiet: bool = False) -> None:
        stream = sys.stderr if stderr else sys.stdout
        stream = getattr(stream, "stream", stream)
        self._masks = stderr
        if is_plain():  # neither colors nor bold, and no bar that moves
            super().__init__(file=stream, quiet=quiet, highlight=False, force_terminal=False, color_system=None)
        else:
            super().__init__(file=stream, quiet=quiet, highlight=False)
        self.has_edge = self.is_terminal or bool(getattr(stream, "isatty", bool)())
        if not self.has_edge and "COLUMNS" not in os.environ:  # a file or a pipe
            self.width = WIDTH

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render, with the control characters of texts made visible."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                text = mask_secrets(segment.text) if self._masks else segment.text
                yield segment._replace(text=escape_controls(text))
