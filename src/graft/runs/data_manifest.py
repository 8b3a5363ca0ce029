"""The manifest of a prepared data set."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from graft.runs.record import Count, Record
from graft.runs.run_manifest import SCHEMA_VERSION, SourceRecord


class StepRecord(Record):
    """A step that was run: its name, what it does, its settings, and what it did to how many rows.

    The numbers are those of lines of changes.jsonl: a row with changes in two columns has two.
    """

    name: str
    title: str = ""
    settings: dict[str, Any] = Field(default_factory=dict)
    changed: Count = 0
    added: Count = 0
    dropped: Count = 0
    moved: Count = 0

    @property
    def counts(self) -> dict[str, int]:
        """The numbers of changes that are not zero, by what was done."""
        counted = {action: int(getattr(self, action)) for action in ("changed", "added", "dropped", "moved")}
        return {action: count for action, count in counted.items() if count}


class DataManifest(Record):
    """The manifest of a prepared data set.

    ``sources`` says where the rows of each side came from, and ``sides`` which rows there are now: the file in the
    folder, its number of rows, and its SHA-256. ``files`` has the SHA-256 of each file that was read by its path.
    """

    kind: Literal["data"] = "data"
    schema_version: str = SCHEMA_VERSION
    graft: str = ""
    command: str = ""
    status: Literal["finished"] = "finished"
    started: str | None = None
    finished: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    seed: Count | None = None
    sources: dict[str, SourceRecord] = Field(default_factory=dict)
    files: dict[str, str] = Field(default_factory=dict)
    steps: list[StepRecord] = Field(default_factory=list)
    sides: dict[str, SourceRecord] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)

    @property
    def rows(self) -> dict[str, int]:
        """The number of rows of each side."""
        return {side: source.rows or 0 for side, source in self.sides.items()}
