"""Where text leaves for the terminal: control characters of data are made visible, and secrets are masked."""

from __future__ import annotations

import codecs
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from graft.plain_text import escape_controls, mask_secrets

_ERRORS = "graft.escape"


class OutputError(Exception):
    """Standard output cannot be written; ``reason`` is the system's.

    It is no OSError, which whoever handles those of files would take for one of theirs.
    """

    def __init__(self, reason: OSError) -> None:
        super().__init__(reason.strerror)
        self.reason = reason


class GuardedStream:
    """A text stream whose own failures are told from those of files: its pipe, its terminal or its disk is gone.

    Args:
        stream: Where the text goes.
        is_needed: Whether a failure ends the command, by an OutputError; else the text is dropped, as that of stderr:
            no work ends because nobody can read its progress any more.
    """

    def __init__(self, stream: TextIO, is_needed: bool) -> None:
        self._stream, self._is_needed = stream, is_needed

    def write(self, text: str) -> int:
        """Write ``text``; returns its length."""
        with self._guarded():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write out what is buffered."""
        with self._guarded():
            self._stream.flush()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if self._is_needed:
                raise OutputError(error) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class PlainStream:
    """A text stream that writes no control characters but line ends and tabs, and what its encoding lacks as ``\\u``.

    Args:
        stream: Where the text goes.
        masks: Whether secrets are masked.
    """

    def __init__(self, stream: TextIO, masks: bool) -> None:
        self.stream, self._masks = stream, masks
        self.carriage_returns = False
        codecs.register_error(_ERRORS, _as_json)
        with suppress(AttributeError, ValueError, OSError):
            stream.reconfigure(errors=_ERRORS)  # type: ignore[attr-defined]

    def write(self, text: str) -> int:
        """Write ``text``, made visible; returns its length."""
        shown = mask_secrets(text) if self._masks else text
        parts = shown.split("\r") if self.carriage_returns else [shown]
        self.stream.write("\r".join(map(escape_controls, parts)))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def fitted(text: str, width: int | None = None) -> str:
    """Break the lines of ``text`` between words, for a terminal of ``width`` columns.

    Args:
        text: Lines, perhaps indented.
        width: The columns; those of the terminal by default, and no limit for a file or a pipe.
    """
    if width is None:
        if not sys.stdout.isatty():
            return text
        width = shutil.get_terminal_size().columns
    return "\n".join(line if len(line) <= width else _broken(line, width) for line in text.split("\n"))


def _broken(line: str, width: int) -> str:
    below = " " * min(len(line) - len(line.lstrip()) + 2, width // 2)
    return textwrap.fill(line, width, subsequent_indent=below, break_long_words=False, break_on_hyphens=False)


@contextmanager
def plain_output() -> Iterator[None]:
    """Within, whatever is printed goes through a ``PlainStream``, and nothing fails because stderr does.

    Raises:
        OutputError: If stdout cannot be written.
    """
    before = sys.stdout, sys.stderr
    plain: list[Any] = [None if stream is None else _plain(stream, stream is sys.stderr) for stream in before]
    sys.stdout, sys.stderr = plain
    try:
        yield
    finally:
        if sys.stdout is plain[0]:  # None after a closed pipe
            sys.stdout = before[0]
        sys.stderr = before[1]


def _plain(stream: TextIO, is_stderr: bool) -> PlainStream:
    guarded: Any = GuardedStream(stream, is_needed=not is_stderr)
    return PlainStream(guarded, masks=is_stderr)


def _as_json(error: UnicodeError) -> tuple[str, int]:
    """What an encoding lacks, as JSON escapes it: a JSON document stays one."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4)), error.end
