"""Where the trials of a study post their scores while they run, for the pruning of trials with greater numbers."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from graft.errors import GraftError
from graft.runs.record import Count, Record, read_lines
from graft.runs.search_manifest import read_trials
from graft.search.journal import append_durably

RUNGS = "rungs.jsonl"
"""One line a trial and rung, appended when the trial reaches it."""


class Board(Protocol):
    """The scores by rung, and which trials ended; one for a whole study, whichever process a trial runs in."""

    def post(self, number: int, rung: int, score: float) -> None:
        """Trial ``number`` reached ``rung`` with ``score``; a trial that started again posts the same score again."""
        ...

    def scores(self, rung: int) -> Mapping[int, float]:
        """Return the scores at ``rung`` so far, by the number of the trial."""
        ...

    def ended(self) -> Collection[int]:
        """Return the numbers of the trials that ended."""
        ...


class BoardError(GraftError):
    """The scores of the study cannot be read or written, which no trial is to blame for."""


@contextmanager
def _board_errors() -> Iterator[None]:
    try:
        yield
    except GraftError as error:
        raise BoardError(*error.problems) from error


class RungRecord(Record):
    """The score of a trial at a rung."""

    number: Count
    rung: Count
    score: float | None


class FileBoard:
    """A board in the study's folder, for one process or for several of a machine.

    Args:
        folder: The study's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def post(self, number: int, rung: int, score: float) -> None:
        """Append the score, unless it stands there already."""
        if number in self.scores(rung):
            return
        finite = score if math.isfinite(score) else None
        with _board_errors():
            append_durably(self.folder / RUNGS, RungRecord(number=number, rung=rung, score=finite))

    def scores(self, rung: int) -> dict[int, float]:
        """Return the scores at ``rung``; NaN of a trial whose score was no number."""
        with _board_errors():
            lines = read_lines(self.folder / RUNGS, RungRecord)
        return {line.number: float("nan") if line.score is None else line.score for line in lines if line.rung == rung}

    def ended(self) -> set[int]:
        """Return the numbers of the trials in ``trials.jsonl``."""
        with _board_errors():
            return {record.number for record in read_trials(self.folder)}
