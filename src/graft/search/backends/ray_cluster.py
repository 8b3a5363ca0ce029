"""Workers that are actors of a Ray cluster, on this machine or on several."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from graft.errors import GraftError, InputError, need_extra, reason_of
from graft.progress import Reporter
from graft.runs.search_manifest import TrialRecord
from graft.search.backends.workers import Queue, Task, described, raised
from graft.search.board import Board, BoardError
from graft.search.pruning import RUNGS
from graft.search.study import Runner, Trial

LOCAL = "local"
SECONDS_BETWEEN, SECONDS_TO_REACH = 1.0, 10.0


class SharedBoard:
    """The board of a study on several machines: an actor of Ray, whose scores the study's process writes to its own.

    Args:
        scores: The scores so far, by rung and number.
        ended: The trials that ended.
    """

    def __init__(self, scores: dict[int, dict[int, float]], ended: Sequence[int]) -> None:
        self._scores, self._ended = scores, set(ended)

    def post(self, number: int, rung: int, score: float) -> None:
        """Take a score."""
        self._scores.setdefault(rung, {}).setdefault(number, score)

    def scores(self, rung: int) -> dict[int, float]:
        """Return the scores at a rung."""
        return self._scores.get(rung, {})

    def ended(self) -> set[int]:
        """Return the trials that ended."""
        return self._ended

    def end(self, number: int) -> None:
        """Note that a trial ended."""
        self._ended.add(number)


class BoardOfActor:
    """The board as a worker sees it; without it no trial can go on, and none is to blame.

    Its methods raise ``BoardError`` where the study's process and its board have ended.
    """

    def __init__(self, actor: Any) -> None:
        self.actor = actor

    def post(self, number: int, rung: int, score: float) -> None:
        """Post a score, and wait until it is there."""
        _of_board(self.actor.post.remote(number, rung, score))

    def scores(self, rung: int) -> Mapping[int, float]:
        """Return the scores at a rung."""
        found: Mapping[int, float] = _of_board(self.actor.scores.remote(rung))
        return found

    def ended(self) -> set[int]:
        """Return the trials that ended."""
        found: set[int] = _of_board(self.actor.ended.remote())
        return found


class TrialActor:
    """Runs trials; errors are results, since those of Ray lose what graft's say."""

    def __init__(self, name: str, task: Task, board: Any, folder: str) -> None:
        self.name, self.task, self.board = name, task, BoardOfActor(board)
        self.runner: Runner | None = None
        if Path(folder).is_dir():  # so that relative paths in settings hold, on this machine at least
            os.chdir(folder)

    def run(self, trial: Mapping[str, Any]) -> dict[str, Any]:
        """Return the record of a trial, or what went wrong when the base was loaded."""
        try:
            if self.runner is None:
                self.runner = self.task.runner(self.board)
        except GraftError as error:
            return {"failed": described(error)}
        made = Trial(trial["number"], dict(trial["settings"]), tuple(trial["before"]))
        try:
            return {"record": self.task.run(self.runner, made, self.name).model_dump_json()}
        except GraftError as error:
            return {"failed": described(error)}


class _Actor:
    """An actor as the study's process sees it."""

    def __init__(self, name: str, handle: Any) -> None:
        self.name, self.handle = name, handle


class RayWorkers:
    """Runs trials on actors of Ray; a trial whose actor is killed starts again on another.

    Args:
        address: The cluster's address, or ``local`` for one on this machine that ends with the study.
        task: What each actor makes its runner of.
        count: How many actors; None: one for each machine.
        board: The study's board.
        reporter: Shows what happens to them.

    Raises:
        MissingExtra: If Ray is not installed.
        GraftError: If the cluster cannot be reached.
    """

    def __init__(self, address: str, task: Task, count: int | None, board: Board, reporter: Reporter) -> None:
        self.task, self.board, self.reporter = task, board, reporter
        self._made = 0
        self._actors: list[_Actor] = []
        self._connect(address, count or 1)
        self.count = self._room(count)
        self._shared: Any = None

    def _connect(self, address: str, count: int) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reports its use to its makers otherwise
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # without GPUs asked for, hide none
        try:
            ray = _ray()
        except ImportError as error:
            raise need_extra("ray", "ray") from error
        own: dict[str, Any] = {"address": address}
        if address == LOCAL:
            own = {"address": LOCAL, "num_cpus": max(count * self.task.threads, 1), "include_dashboard": False}
        before = signal.getsignal(signal.SIGTERM)
        try:
            _reach(address)
            ray.init(**own, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
        except Exception as error:  # whatever Ray raises: no such address, another version, a timeout
            what = f"the Ray cluster {address} cannot be reached: {reason_of(error)}"
            raise InputError(what, where="--ray", remedy="give its address, HOST:6379, or local") from error
        finally:
            with contextlib.suppress(ValueError):  # in another thread than the main one
                signal.signal(signal.SIGTERM, before)

    def _room(self, count: int | None) -> int:
        """How many actors there are to be."""
        ray = _ray()

        machines = sum(bool(node["Alive"]) for node in ray.nodes())
        wanted = machines if count is None else count
        resources = ray.cluster_resources()
        self._gpus = 1 if resources.get("GPU", 0) >= 1 else 0
        room = int(resources.get("CPU", 1) // self.task.threads)
        if self._gpus:
            room = min(room, int(resources["GPU"]))
        if max(room, 1) < wanted:
            self.reporter.note(f"{max(room, 1)} of {wanted} workers: the cluster has room for no more")
        return min(wanted, max(room, 1))

    def run(self, trials: Sequence[Trial]) -> Iterator[TrialRecord]:
        """Run trials; see ``graft.search.study.Backend``.

        Raises:
            GraftError: If the actors cannot start.
        """
        ray = _ray()

        left, asked = Queue(list(trials), self.reporter), dict[Any, _Actor]()
        try:
            while left:
                self._employ(left, asked)
                done, _ = ray.wait(list(asked), num_returns=1, timeout=SECONDS_BETWEEN)
                self._keep_scores()
                for result in done:
                    record = self._taken(asked.pop(result), result, left)
                    if record is not None:
                        _value(self._board_actor().end.remote(record.number))
                        self._employ(left, asked)
                        yield record
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the actors, and the cluster if it is this study's own."""
        ray = _ray()

        for actor in self._actors:
            with contextlib.suppress(Exception):  # one that has ended
                ray.kill(actor.handle)
        self._actors, self._shared = [], None
        ray.shutdown()

    def _employ(self, left: Queue, asked: dict[Any, _Actor]) -> None:
        busy = list(left.running)
        while left.waiting and len(busy) < self.count:
            idle = [actor for actor in self._actors if actor not in busy]
            actor = idle[0] if idle else self._hired()
            trial = left.next_for(actor)
            assert trial is not None
            asked[actor.handle.run.remote(asdict(trial))] = actor
            busy.append(actor)

    def _hired(self) -> _Actor:
        ray = _ray()

        self._made += 1
        name = f"ray worker {self._made}"
        options = {"num_cpus": self.task.threads, "num_gpus": self._gpus, "max_restarts": 0, "max_task_retries": 0}
        cls: Any = ray.remote(TrialActor)
        made = _Actor(name, cls.options(**options).remote(name, self.task, self._board_actor(), str(Path.cwd())))
        self._actors.append(made)
        return made

    def _board_actor(self) -> Any:
        if self._shared is None:
            ray = _ray()

            scores = {rung: dict(self.board.scores(rung)) for rung in range(len(RUNGS))}
            cls: Any = ray.remote(SharedBoard)
            self._shared = cls.options(num_cpus=0).remote(scores, sorted(self.board.ended()))
        return self._shared

    def _keep_scores(self) -> None:
        """Write the scores that came to the study's own board, which a resumed study reads."""
        for rung in range(len(RUNGS)):
            known = self.board.scores(rung)
            for number, score in _value(self._board_actor().scores.remote(rung)).items():
                if number not in known:
                    self.board.post(number, rung, score)

    def _taken(self, actor: _Actor, result: Any, left: Queue) -> TrialRecord | None:
        ray = _ray()

        try:
            said = ray.get(result)
        except ray.exceptions.RayActorError as error:
            self._actors.remove(actor)
            return left.lost(actor, f"was ended ({_short(error)})")
        except ray.exceptions.RayError as error:
            what = f"{actor.name} failed: {reason_of(error)}"
            raise GraftError(what, remedy="is the same version of graft-slm installed on every machine?") from error
        if "failed" in said:
            raise raised(said["failed"])
        left.running.pop(actor, None)
        return TrialRecord.model_validate_json(said["record"])


def _reach(address: str) -> None:
    """Raise an OSError if nothing answers at an address, which Ray would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS_TO_REACH).close()


def _short(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _of_board(result: Any) -> Any:
    try:
        return _value(result)
    except _ray().exceptions.RayError as error:
        raise BoardError(f"the scores of the study cannot be reached: {reason_of(error)}") from error


def _value(result: Any) -> Any:
    return _ray().get(result)


def _ray() -> Any:
    return importlib.import_module("ray")
