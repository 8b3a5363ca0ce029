"""A model in a process of its own that is asked by lines of JSON: the asking side, and the loop of the process.

A request is ``{"what": METHOD, ...}`` with the arguments of a method of the process. The answer is ``{"result": ...}``
or ``{"error": TEXT}``, after any number of ``{"progress": [done, total]}``.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NoReturn, TypeVar, cast

from graft.errors import GraftError
from graft.inference.predictor import Progress
from graft.processes import module_command

SECONDS_TO_END = 10
_Self = TypeVar("_Self", bound="Worker")


class Worker(ABC):
    """Starts the process, asks it, and ends it: a context manager.

    A question that does not come to its answer (an interrupt, an error in ``progress``, silence) ends the process:
    what it answers later would be taken for the answer to the next question.

    Args:
        module: The module to run, which calls ``serve``.
        arguments: Its command line.
        where: The file or folder that it runs, for messages.
        patience: Seconds without an answer or progress after which the process is ended; None to wait.
    """

    def __init__(self, module: str, arguments: list[str], where: Path, patience: float | None = None) -> None:
        self._command = module_command(module, *arguments)
        self.where, self._patience = where, patience
        self._process: subprocess.Popen[str] | None = None
        self._log: IO[bytes] | None = None
        self._reader = threading.Thread()
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._fault = ""

    @abstractmethod
    def ended(self, log: str) -> GraftError:
        """The error for a process that ended by itself, which wrote ``log`` to stderr."""

    @abstractmethod
    def refused(self, said: str) -> GraftError:
        """The error for a question that the process answered with the error ``said``."""

    @abstractmethod
    def silent(self, seconds: float, log: str) -> GraftError:
        """The error for a process that gave no answer for so many seconds, which wrote ``log`` to stderr."""

    def __enter__(self: _Self) -> _Self:
        self._fault, self._lines = "", queue.Queue()
        self._log = tempfile.TemporaryFile()  # a pipe that nobody reads would block the process when it is full
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            encoding="utf-8",
        )
        self._reader = threading.Thread(target=_read, args=(self._process.stdout, self._lines), daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process; nothing happens if it has ended."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(OSError):  # of a process that is dead, to which a question is still to be written
            cast(IO[str], process.stdin).close()
        try:
            process.wait(timeout=SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._reader.join()
        for stream in (process.stdout, self._log):
            cast(IO[Any], stream).close()

    def ask(self, what: str, progress: Progress | None = None, more_seconds: float = 0, **arguments: Any) -> Any:
        """Call a method of the process and return its result as JSON gives it.

        Args:
            what: The method.
            progress: Called with what the process reports.
            more_seconds: What is added to the patience for this question.
            arguments: The method's arguments.

        Raises:
            GraftError: If the process refuses the question, ends, or is silent.
        """
        if self._fault:
            raise self.ended(f"an earlier question ended the process: {self._fault}")
        if self._process is None:
            raise RuntimeError("the process is used outside its `with` block")
        request = json.dumps({"what": what, **arguments})
        try:
            answer = self._answer(self._process, request, progress, more_seconds)
        except BaseException as error:
            self._fault = " ".join(str(error).split()) or type(error).__name__
            self._process.kill()
            self.close()
            raise
        if "error" in answer:
            raise self.refused(answer["error"])
        return answer["result"]

    def _answer(
        self, process: subprocess.Popen[str], request: str, progress: Progress | None, more_seconds: float
    ) -> dict[str, Any]:
        stdin = cast(IO[str], process.stdin)
        try:
            stdin.write(request + "\n")
            stdin.flush()
        except OSError:
            raise self.ended(self._ending(process)) from None
        while True:
            answer = self._next(process, None if self._patience is None else self._patience + more_seconds)
            if "progress" not in answer:
                return answer
            if progress is not None:
                progress(*answer["progress"])

    def _next(self, process: subprocess.Popen[str], seconds: float | None) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            process.kill()
            raise self.silent(seconds or 0, self._said(process)) from None
        if line is None:
            raise self.ended(self._ending(process))
        try:
            found: dict[str, Any] = json.loads(line)
        except ValueError:  # it ended within a line
            raise self.ended(self._ending(process)) from None
        return found

    def _ending(self, process: subprocess.Popen[str]) -> str:
        """What a process wrote before it ended by itself, and how it ended: a crash in a library writes nothing."""
        said, code = self._said(process), process.returncode
        return f"{said}\n{_how(code)}" if code else said

    def _said(self, process: subprocess.Popen[str]) -> str:
        """What a process that is at its end wrote to stderr."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=SECONDS_TO_END)
        log = cast(IO[bytes], self._log)
        log.seek(0)
        return log.read().decode("utf-8", "replace")


def _how(code: int) -> str:
    """How a process with this exit code ended."""
    try:
        name = signal.Signals(-code).name
    except ValueError:
        return f"it ended with the exit code {code}"
    more = "; the system may have run out of memory" if name == "SIGKILL" else ""
    return f"it was ended by the signal {name}{more}"


def _read(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    """Put each line of ``stream`` into ``lines``, and None at its end."""
    for line in stream:
        lines.put(line)
    lines.put(None)


def serve(start: Callable[[], Any], refusal: type[Exception], describe: Callable[[Exception], str] = str) -> NoReturn:
    """Answer each line of stdin by a line on stdout, until stdin closes: the process's side.

    What libraries print goes to stderr, wherever they meant it to go. The process ends with the asking one, however
    that ends, also in the middle of an answer; a Ctrl-C, which the terminal sends to both, is the asking one's.

    Args:
        start: Makes the object whose methods are called; each takes ``progress`` first.
        refusal: The exceptions that are an answer; others end the process.
        describe: Makes the text of such an answer.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_receive, args=(requests,), daemon=True).start()
    served = start()

    def send(document: dict[str, Any]) -> None:
        """Write an answer and flush it: the parent waits for the line."""
        print(json.dumps(document), file=answers, flush=True)

    def progress(done: int, total: int) -> None:
        send({"progress": [done, total]})

    while True:
        request = json.loads(requests.get())
        try:
            send({"result": getattr(served, request.pop("what"))(progress, **request)})
        except refusal as error:
            send({"error": describe(error)})


def _receive(requests: queue.Queue[str]) -> None:
    """Put each line of stdin into ``requests``; at its end nobody waits for an answer any more."""
    for line in sys.stdin:
        requests.put(line)
    os._exit(0)
