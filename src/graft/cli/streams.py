"""Standard error that outlasts its reader: no work ends because nobody can read its progress any more."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, TextIO


class Lasting:
    """A text stream that swallows what cannot be written: its pipe, its terminal or its disk is gone.

    Everything else is the stream's own.

    Args:
        stream: The stream to write to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write ``text``, or drop it; returns its length."""
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write out what is buffered, or drop it."""
        with contextlib.suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def lasting_stderr() -> Iterator[None]:
    """Within, nothing fails because standard error cannot be written."""
    if sys.stderr is None:
        yield
        return
    with contextlib.redirect_stderr(Lasting(sys.stderr)):
        yield
