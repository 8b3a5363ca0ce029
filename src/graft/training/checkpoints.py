"""Complete checkpoints: a marker is written last, and only a checkpoint with a valid marker is used."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from graft.documents import read_object
from graft.errors import InputError
from graft.files import write_whole
from graft.runs.record import Count, Record, validate

MARKER, STATE = "complete.json", "trainer_state.json"


class StateRecord(Record):
    """What transformers' Trainer goes on from: the step, the number of steps, the losses so far, the best step."""

    global_step: Count
    max_steps: Count
    epoch: float | None = None
    num_train_epochs: float | None = None
    train_batch_size: Count | None = None
    log_history: list[StepRecord] = Field(default_factory=list)
    best_metric: float | None = None
    best_global_step: Count | None = None
    best_model_checkpoint: str | None = None
    stateful_callbacks: dict[str, dict[str, Any] | list[dict[str, Any]]] = Field(default_factory=dict)


class StepRecord(Record):
    """The figures of a step."""

    step: Count


def read_state(checkpoint: Path) -> StateRecord:
    """Read the state of the Trainer in a checkpoint.

    Raises:
        InputError: If it is damaged, or of another step than the checkpoint's name says.
    """
    file = checkpoint / STATE
    remedy = f"remove {checkpoint.name} to resume from the checkpoint before it"
    try:
        found = validate(StateRecord, read_object(file), str(file))
    except InputError as error:
        raise InputError(*[replace(problem, remedy=remedy) for problem in error.problems]) from None
    if found.global_step != step_of(checkpoint):
        what = f"'global_step' is {found.global_step} in the checkpoint of step {step_of(checkpoint)}"
        raise InputError(what, where=str(file), remedy=remedy)
    return found


def seal(checkpoint: Path) -> None:
    """Mark a checkpoint as complete: write the size of each of its files."""
    sizes = {
        str(path.relative_to(checkpoint)): path.stat().st_size
        for path in sorted(checkpoint.rglob("*"))
        if path.is_file() and path.name != MARKER
    }
    write_whole(checkpoint / MARKER, json.dumps(sizes))


def is_whole(checkpoint: Path) -> bool:
    """Whether every file exists and has the size it had when the checkpoint was sealed."""
    try:
        sizes = read_object(checkpoint / MARKER)
        return bool(sizes) and all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
    except (InputError, OSError, ValueError):  # ValueError: a name with a NUL
        return False


def step_of(checkpoint: Path) -> int:
    """The optimizer step after which ``checkpoint-N`` was saved."""
    return int(checkpoint.name.rpartition("-")[2])


def whole_checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints in ``folder``, in the order of their steps."""
    found = [path for path in folder.glob("checkpoint-*") if path.name[11:].isdigit() and is_whole(path)]
    return sorted(found, key=step_of)


def remove_incomplete(folder: Path) -> list[str]:
    """Remove incomplete checkpoints, which an interrupted save leaves; returns their names."""
    broken = [path for path in folder.glob("checkpoint-*") if path.is_dir() and not is_whole(path)]
    for path in broken:
        shutil.rmtree(path)
    return [path.name for path in broken]


def rotate(folder: Path, limit: int, best_step: int | None) -> None:
    """Remove all checkpoints but the newest ``limit`` and the best one."""
    for path in whole_checkpoints(folder)[:-limit]:
        if step_of(path) != best_step:
            shutil.rmtree(path, ignore_errors=True)
