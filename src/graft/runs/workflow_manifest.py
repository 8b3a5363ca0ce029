"""The record of a workflow: its passes, what went into each, and what each left."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from graft.runs.record import Record
from graft.runs.run_manifest import SCHEMA_VERSION

KEPT = ".workflow.json"
"""The record of a workflow with one pass, in the folder of its result, which has a manifest of its own."""


class PassRecord(Record):
    """A pass of a workflow.

    Attributes:
        name: Its name in the workflow file.
        type: The class that carried it out, as ``module:name``.
        status: ``running`` also where the process was killed.
        settings: Its settings as they were given, without secrets.
        content: The SHA-256 of the files that settings name, by the setting.
        before: The key of the pass whose result it took.
        code: The version or the SHA-256 of the code, by its name.
        versions: The versions of libraries.
        key: The SHA-256 of all of these: an equal key means an equal result.
        output: The folder that it wrote, relative to the workflow's.
        artifact: What it left for the next pass, relative to the workflow's folder where it is in it.
        result: The SHA-256 of what it left.
        entries: The files and folders in ``output``, by name.
    """

    name: str
    type: str = ""
    status: Literal["running", "finished", "failed", "interrupted"] = "running"
    error: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    content: dict[str, str] = Field(default_factory=dict)
    before: str | None = None
    code: dict[str, str] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    key: str = ""
    output: str = ""
    artifact: str | None = None
    result: str | None = None
    entries: list[str] = Field(default_factory=list)
    started: str | None = None
    finished: str | None = None
    seconds: float | None = None


class WorkflowManifest(Record):
    """The manifest of a workflow's folder.

    ``file`` is the workflow file, ``passes`` are its passes in their order as far as they were started, and ``former``
    are passes with results in the folder that the file no longer has.
    """

    kind: Literal["workflow"] = "workflow"
    schema_version: str = SCHEMA_VERSION
    graft: str = ""
    command: str = ""
    file: str | None = None
    status: Literal["running", "finished", "failed", "interrupted"] = "running"
    error: str | None = None
    started: str | None = None
    finished: str | None = None
    passes: list[PassRecord] = Field(default_factory=list)
    former: list[PassRecord] = Field(default_factory=list)
