"""What workers have in common, wherever they run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from graft.errors import GraftError, InputError, Interrupted, Problem
from graft.hardware.machine import memory_available_mb
from graft.progress import Reporter
from graft.registry import consented, load_attribute, only_consented
from graft.runs.search_manifest import TrialRecord
from graft.search.board import Board
from graft.search.study import Runner, Trial

MOST_STARTS = 3
"""How often a trial is started whose worker ends before it does."""


@dataclass(frozen=True)
class Task:
    """What a worker makes its runner of; plain values, which go to another process.

    Attributes:
        make: ``module:name`` of a function that takes ``given`` and a board, and returns a ``Runner``.
        given: What it is called with.
        folder: The study's folder.
        threads: The threads of each trial.
        consent: The code that the user consented to, as ``graft.registry.only_consented`` takes it.
    """

    make: str
    given: dict[str, Any]
    folder: str
    threads: int
    consent: tuple[str, ...] | None = field(default_factory=consented)

    def runner(self, board: Board) -> Runner:
        """Return the runner, whose trials use so many threads."""
        import torch

        torch.set_num_threads(self.threads)
        with only_consented(self.consent):
            runner: Runner = load_attribute(self.make)(self.given, board)
        return runner

    def run(self, runner: Runner, trial: Trial, worker: str) -> TrialRecord:
        """Run a trial with the user's consent, and note in its record what ran it."""
        with only_consented(self.consent):
            return runner(trial).model_copy(update={"worker": worker})


class Worker(Protocol):
    """A worker as the study's process sees it."""

    name: str


@dataclass
class Queue:
    """The trials that wait for a worker and those that run, by worker."""

    waiting: list[Trial]
    reporter: Reporter
    running: dict[Any, Trial] = field(default_factory=dict)
    starts: Counter[int] = field(default_factory=Counter)

    def __bool__(self) -> bool:
        return bool(self.waiting or self.running)

    def next_for(self, worker: Any) -> Trial | None:
        """Return the trial of the lowest number, which now runs on ``worker``; None where none is left.

        Of those that run, the lowest never waits for another trial, so that every trial ends.
        """
        if not self.waiting:
            return None
        self.waiting.sort(key=lambda trial: trial.number)
        self.running[worker] = trial = self.waiting.pop(0)
        self.starts[trial.number] += 1
        return trial

    def lost(self, worker: Worker, why: str) -> TrialRecord | None:
        """Let the trial of a worker that ended wait again; return its record where it was started often enough."""
        trial = self.running.pop(worker, None)
        if trial is None:
            self.reporter.note(f"{worker.name} {why}; another one takes its place")
            return None
        if self.starts[trial.number] >= MOST_STARTS:
            error = f"its worker ended in each of {MOST_STARTS} attempts; the last one {why}"
            return TrialRecord(
                number=trial.number, settings=trial.settings, status="failed", worker=worker.name, error=error
            )
        self.reporter.note(f"{worker.name} {why}; trial {trial.number} starts again on another one")
        self.waiting.append(trial)
        return None


def limited(workers: int, needed_mb: float | None, reporter: Reporter) -> int:
    """Return how many workers there are to be: as many as asked for, or as the free memory has room for."""
    if not needed_mb or workers == 1:
        return workers
    free = memory_available_mb()
    room = max(1, int(free // needed_mb))
    if room >= workers:
        return workers
    reporter.note(
        f"{room} of {workers} workers: each takes about {needed_mb:,.0f} MB, and {free:,.0f} MB of memory are free"
    )
    return room


def trial_threads(workers: int) -> int:
    """Return the threads of each trial: those of this process, divided among the workers.

    Results of different numbers of threads differ in their roundings, so it is the same for all trials of a study.
    """
    import torch

    return max(1, torch.get_num_threads() // workers)


def described(error: GraftError) -> dict[str, Any]:
    """Return an error as plain values, which ``raised`` makes an error of again."""
    return {
        "exit_code": error.exit_code,
        "problems": [[problem.what, problem.where, problem.remedy] for problem in error.problems],
    }


def raised(said: Mapping[str, Any]) -> GraftError:
    """Return the error that a worker met."""
    problems: Sequence[Problem] = [Problem(*parts) for parts in said["problems"]]
    kinds: dict[int, type[GraftError]] = {InputError.exit_code: InputError, Interrupted.exit_code: Interrupted}
    return kinds.get(said["exit_code"], GraftError)(*problems)
