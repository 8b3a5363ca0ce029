"""The file of judgments: each is on the disk before the next is asked for."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from graft.files import append_line, saying_what_failed, write_whole
from graft.runs.judgment_record import JUDGMENTS, JudgmentRecord, read_judgments


class JudgmentStore:
    """Judgments of a folder, for several raters at a time.

    Args:
        folder: The run folder.

    Raises:
        InputError: If the file is damaged elsewhere than in its last line, which a killed process cut off.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / JUDGMENTS
        self._records = read_judgments(folder)
        self._last = {(record.rater, record.item): record for record in self._records}
        self._lock = Lock()
        if self.path.is_file():
            content = self.path.read_bytes()
            whole = content[: content.rfind(b"\n") + 1]
            if whole != content:
                write_whole(self.path, whole)

    @property
    def records(self) -> list[JudgmentRecord]:
        """All judgments, in the order in which they were made."""
        with self._lock:
            return list(self._records)

    def last(self, rater: str, item: str) -> JudgmentRecord | None:
        """Return what a rater said of an item."""
        return self._last.get((rater, item))

    def add(self, records: Sequence[JudgmentRecord]) -> None:
        """Append judgments, and return when they are on the disk.

        Raises:
            GraftError: If they cannot be written.
        """
        if not records:
            return
        lines = "\n".join(json.dumps(record.document(), ensure_ascii=False) for record in records)
        with self._lock:
            append_line(self.path, lines, private=True)
            with saying_what_failed(self.path), self.path.open("rb+") as file:
                os.fsync(file.fileno())
            self._records.extend(records)
            self._last |= {(record.rater, record.item): record for record in records}
