"""The manifest of a search, and the records of its trials."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from graft.runs.record import Count, Record, read_lines
from graft.runs.run_manifest import SCHEMA_VERSION, BaseModelRecord, MachineRecord, SourceRecord

TRIALS = "trials.jsonl"
"""One line a trial that ended, appended when it ends: what a resumed search goes on from."""
WINNER = "best"
"""The folder of the winner in the search folder: an ordinary run."""


class TrialRecord(Record):
    """A trial that ended.

    Attributes:
        number: From 0, which has the defaults.
        settings: The values of the searched settings, by their names.
        status: ``pruned``: stopped because its score fell behind. ``duplicate``: equal to trial ``same_as``, and not
            run; its figures are those of that trial.
        value: Its best score on the selection rows: the held-out loss in nats a token, or the metric of the study.
        best_step: The step of it.
        steps: The optimizer steps that were made.
        history: The score by step, as measured.
        seconds: The wall-clock time of the trial.
        weights: The SHA-256 of the tuned weights at ``best_step``; none of trials that were pruned.
        untouched: The score on rows that no trial is selected by; of the first trial and of the winner.
        untouched_rows: By row of these, in their order: the sum of the losses of its tokens, and their number; of
            another metric the row's score, and 1.
        worker: What ran it: ``local``, or the name of a worker.
        error: Why it failed.
    """

    number: Count
    settings: dict[str, Any] = Field(default_factory=dict)
    status: Literal["completed", "pruned", "failed", "duplicate"] = "completed"
    same_as: Count | None = None
    value: float | None = None
    best_step: Count | None = None
    steps: Count = 0
    history: list[Annotated[tuple[Count, float], Field(strict=False)]] = Field(default_factory=list)
    seconds: float = 0.0
    weights: str | None = None
    untouched: float | None = None
    untouched_rows: list[Annotated[tuple[float, Count], Field(strict=False)]] = Field(default_factory=list)
    worker: str = "local"
    error: str | None = None


class SearchManifest(Record):
    """The manifest of a search folder.

    ``threads`` are those of each trial, on which roundings depend: the same for all trials, wherever they run.
    ``settings`` are those that all trials share; ``space`` and ``strategy`` say what was searched, and how. ``metric``
    is what trials are compared by, on ``selection_rows`` held-out rows; ``untouched_rows`` others are kept for the
    winner.
    """

    kind: Literal["search"] = "search"
    schema_version: str = SCHEMA_VERSION
    graft: str = ""
    command: str = ""
    status: Literal["running", "finished", "failed", "interrupted"] = "running"
    error: str | None = None
    started: str | None = None
    finished: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    space: dict[str, Any] = Field(default_factory=dict)
    strategy: str = "random"
    num_trials: Count = 0
    seed: Count | None = None
    threads: Count = 0
    metric: str = "loss"
    greater_is_better: bool = False
    selection_rows: Count = 0
    untouched_rows: Count = 0
    base: BaseModelRecord | None = None
    sources: dict[str, SourceRecord] = Field(default_factory=dict)
    machine: MachineRecord | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    seconds: float | None = None
    winner: Count | None = None


def read_trials(folder: Path) -> list[TrialRecord]:
    """Return the trials of a search that ended, by number.

    Raises:
        InputError: If a line is damaged; a last line that is cut off is omitted.
    """
    return sorted(read_lines(folder / TRIALS, TrialRecord), key=lambda trial: trial.number)
