"""The records of a study that is running: lines that survive a kill, appended by one process or by several."""

from __future__ import annotations

import os
from pathlib import Path

from filelock import FileLock

from graft.files import saying_what_failed, write_whole
from graft.runs.record import Record, dump_lines
from graft.runs.search_manifest import TRIALS, TrialRecord, read_trials

LOCK = ".journal.lock"


def append_durably(path: Path, record: Record) -> None:
    """Append a record as a line, on the disk when this returns; a line that a killed process left unfinished goes.

    Raises:
        GraftError: If it cannot be written.
    """
    with saying_what_failed(path), FileLock(path.parent / LOCK), path.open("a+b") as file:
        _drop_unfinished(file.fileno(), path)
        file.write(dump_lines([record]).encode())
        file.flush()
        os.fsync(file.fileno())


def _drop_unfinished(descriptor: int, path: Path) -> None:
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.ftruncate(descriptor, whole)


class Journal:
    """The trials of a study that ended.

    Args:
        folder: The study's folder, which has them in ``trials.jsonl``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self) -> list[TrialRecord]:
        """Return the trials that ended, by number.

        Raises:
            InputError: If a line is damaged.
        """
        return read_trials(self.folder)

    def append(self, record: TrialRecord) -> None:
        """Add a trial that ended.

        Raises:
            GraftError: If it cannot be written.
        """
        append_durably(self.folder / TRIALS, record)

    def replace(self, record: TrialRecord) -> None:
        """Write a trial anew of which more is known now.

        Raises:
            GraftError: If it cannot be written.
        """
        records = [record if other.number == record.number else other for other in self.read()]
        with FileLock(self.folder / LOCK):
            write_whole(self.folder / TRIALS, dump_lines(records))
