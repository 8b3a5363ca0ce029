"""rich's Console where the text of data is shown: the only one that commands print with."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

from graft.plain_text import escape_controls, mask_secrets


class Console(RichConsole):
    """rich's Console on stdout or stderr: its own styles reach the terminal, control characters of data do not.

    Args:
        stderr: Whether it writes to stderr.
        quiet: Whether it writes nothing.
    """

    def __init__(self, stderr: bool = False, quiet: bool = False) -> None:
        stream = sys.stderr if stderr else sys.stdout
        self._masks = stderr
        super().__init__(file=getattr(stream, "stream", stream), quiet=quiet, highlight=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render, with the control characters of texts made visible."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                text = mask_secrets(segment.text) if self._masks else segment.text
                yield segment._replace(text=escape_controls(text))
