"""Workers that are processes of this machine: each loads the base once, and runs trial after trial."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from graft.errors import GraftError
from graft.processes import module_command
from graft.progress import Reporter
from graft.runs.search_manifest import TrialRecord
from graft.search.backends.workers import MOST_STARTS, Queue, Task, raised
from graft.search.study import Trial

SECONDS_TO_END = 10.0
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
Inbox = queue.Queue[tuple["WorkerProcess", dict[str, Any] | None]]


class WorkerProcess:
    """A process that runs trials; ``graft.search.backends.worker`` is what it runs.

    It has a session of its own, so that Ctrl-C reaches the study's process alone, which ends the workers. It ends when
    its standard input does, however the study's process ended.

    Args:
        name: Its name in records.
        task: What it makes its runner of.
        inbox: Where its messages go; None when it has ended.
    """

    def __init__(self, name: str, task: Task, inbox: Inbox) -> None:
        self.name, self.is_ready = name, False
        self._last_lines: deque[str] = deque(maxlen=20)
        self._process = subprocess.Popen(
            module_command("graft.search.backends.worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, **dict.fromkeys(_THREADS, str(task.threads)), "PYTHONUTF8": "1"},
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        self._errors = threading.Thread(target=self._read_errors, daemon=True)
        self._errors.start()
        threading.Thread(target=self._read_messages, args=(inbox,), daemon=True).start()
        self.send({"name": name, **asdict(task)})

    @property
    def pid(self) -> int:
        """Its process ID."""
        return self._process.pid

    def send(self, message: Mapping[str, Any]) -> None:
        """Send it a message; one that has ended gets none, and its end is in the inbox."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()

    def why(self) -> str:
        """Say how it ended."""
        code = self._process.wait()
        self.end()
        if code < 0:
            memory = ", which the system also sends when memory runs out" if code == -9 else ""
            return f"was killed (signal {-code}{memory})"
        return f"ended with exit code {code}{self._said()}"

    def end(self) -> None:
        """Ask it to end, by the end of its standard input."""
        with contextlib.suppress(OSError, ValueError):
            assert self._process.stdin is not None
            self._process.stdin.close()

    def wait(self) -> None:
        """Wait until it has ended, and kill it if it does not."""
        try:
            self._process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()

    def _said(self) -> str:
        self._errors.join(1.0)
        said = [line for line in self._last_lines if line]
        return f": {said[-1]}" if said else ""

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            self._last_lines.extend(line.strip() for line in lines)

    def _read_messages(self, inbox: Inbox) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                with contextlib.suppress(ValueError):  # the last line of a process that was killed
                    inbox.put((self, json.loads(line)))
        inbox.put((self, None))


class LocalWorkers:
    """Runs trials on several processes of this machine; a trial whose process is killed starts again on another.

    Args:
        count: How many processes.
        task: What each makes its runner of.
        reporter: Shows what happens to them.
    """

    def __init__(self, count: int, task: Task, reporter: Reporter) -> None:
        self.count, self.task, self.reporter = count, task, reporter
        self.workers: list[WorkerProcess] = []
        self._inbox: Inbox = queue.Queue()
        self._made = self._failed_starts = 0

    def run(self, trials: Sequence[Trial]) -> Iterator[TrialRecord]:
        """Run trials; see ``graft.search.study.Backend``.

        Raises:
            GraftError: If the workers cannot start.
        """
        left = Queue(list(trials), self.reporter)
        try:
            while left:
                self._employ(left)
                worker, message = self._received()
                record = self._taken(worker, message, left)
                if record is not None:
                    self._employ(left)
                    yield record
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the workers."""
        workers, self.workers = self.workers, []
        try:
            for worker in workers:
                worker.end()
            for worker in workers:
                worker.wait()
        except BaseException:  # Ctrl-C again
            for worker in workers:
                worker.kill()
            raise

    def _employ(self, left: Queue) -> None:
        """Give trials to workers that have none, and start workers where trials wait for one."""
        for worker in self.workers:
            if worker.is_ready and worker not in left.running:
                trial = left.next_for(worker)
                if trial is not None:
                    worker.send({"trial": asdict(trial)})
        free = len(self.workers) - len(left.running)
        while len(self.workers) < self.count and free < len(left.waiting):
            self._made += 1
            free += 1
            self.workers.append(WorkerProcess(f"worker {self._made}", self.task, self._inbox))

    def _received(self) -> tuple[WorkerProcess, dict[str, Any] | None]:
        while True:
            with contextlib.suppress(queue.Empty):
                return self._inbox.get(timeout=0.5)  # Windows reacts to Ctrl-C between the waits alone

    def _taken(self, worker: WorkerProcess, message: dict[str, Any] | None, left: Queue) -> TrialRecord | None:
        """Act on a message; return the record where it is one."""
        if worker not in self.workers:
            return None
        if message is None:
            self.workers.remove(worker)
            return self._ended(worker, left)
        if "failed" in message:
            raise raised(message["failed"])
        if "ready" in message:
            worker.is_ready, self._failed_starts = True, 0
            return None
        left.running.pop(worker, None)
        return TrialRecord.model_validate_json(json.dumps(message["record"]))

    def _ended(self, worker: WorkerProcess, left: Queue) -> TrialRecord | None:
        why = worker.why()
        if not worker.is_ready:
            self._failed_starts += 1
            if self._failed_starts >= MOST_STARTS:
                raise GraftError(
                    f"{worker.name} {why} before it could run a trial", remedy="use fewer --workers, or one"
                )
        return left.lost(worker, why)
