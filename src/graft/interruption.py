"""Signals that end the work cleanly: Ctrl-C, SIGTERM (``docker stop``, systemd), SIGHUP (a closed terminal).

The command line installs the handlers with ``ending_by_signal``; programs that call graft from Python keep their own.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], None]
NUMBERS = tuple(getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, n))
_received: list[int] = []
"""The signals that this command has received, in order."""


def interrupt(number: int, frame: FrameType | None = None) -> None:
    """Handle a signal as Python handles Ctrl-C.

    Raises:
        KeyboardInterrupt: Always.
    """
    _received.append(number)
    raise KeyboardInterrupt


def exit_code() -> int:
    """The exit code of a command that was interrupted: 128 and the signal's number, so 130 after Ctrl-C."""
    return 128 + int(_received[-1] if _received else signal.SIGINT)


@contextmanager
def ending_by_signal() -> Iterator[None]:
    """Raise KeyboardInterrupt for each signal that asks the process to end, within the block.

    A signal that is ignored stays ignored, as under ``nohup`` and in background jobs of a shell.
    """
    _received.clear()
    with _handled(lambda number: True, interrupt):
        yield


@contextmanager
def handling(handler: Handler) -> Iterator[None]:
    """Pass Ctrl-C, and the other signals that ``ending_by_signal`` handles, to ``handler`` within the block."""

    def received(number: int, frame: FrameType | None) -> None:
        _received.append(number)
        handler(number, frame)

    with _handled(lambda number: number == signal.SIGINT or signal.getsignal(number) is interrupt, received):
        yield


@contextmanager
def postponed() -> Iterator[None]:
    """Defer the signals that ``ending_by_signal`` handles to the end of the block, so that the last write completes."""
    waiting: list[int] = []
    with _handled(lambda number: signal.getsignal(number) is interrupt, lambda number, frame: waiting.append(number)):
        yield
    _received.extend(waiting)


@contextmanager
def _handled(chosen: Callable[[int], bool], handler: Handler) -> Iterator[None]:
    with ExitStack() as stack:
        for number in NUMBERS if threading.current_thread() is threading.main_thread() else ():
            before = signal.getsignal(number)
            if before not in (signal.SIG_IGN, None) and chosen(number):
                signal.signal(number, handler)
                stack.callback(signal.signal, number, before)
        yield
