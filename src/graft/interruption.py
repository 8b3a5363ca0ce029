"""Signals that end the work in good order: Ctrl-C, SIGTERM (``docker stop``, systemd), SIGHUP (a closed terminal).

The command line installs the handlers with ``ending_by_signal``; whoever calls graft from Python keeps its own.
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
"""The signals of this command, in their order."""


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
    """Within, each signal that asks the process to end raises KeyboardInterrupt.

    One that is ignored stays ignored: so ``nohup`` starts a program, and a shell one in the background.
    """
    _received.clear()
    with _handled(lambda number: True, interrupt):
        yield


@contextmanager
def handling(handler: Handler) -> Iterator[None]:
    """Within, ``handler`` gets Ctrl-C, and of the other signals those that ``ending_by_signal`` handles."""

    def received(number: int, frame: FrameType | None) -> None:
        _received.append(number)
        handler(number, frame)

    with _handled(lambda number: number == signal.SIGINT or signal.getsignal(number) is interrupt, received):
        yield


@contextmanager
def postponed() -> Iterator[None]:
    """Within, the signals that ``ending_by_signal`` handles wait: what is written last must not be cut short."""
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
