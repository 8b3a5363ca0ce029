"""What the passes of a workflow have left before: what of it holds, what has changed, and what is replaced."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from graft._version import __version__
from graft.commands.content import clear, entries_of, result_of
from graft.commands.result_keys import Inputs, inputs_of
from graft.commands.workflow_file import Step
from graft.documents import read_object
from graft.errors import InputError
from graft.files import remove, write_whole
from graft.runs.folder import LOCK, held
from graft.runs.kind import FolderKind, folder_kind
from graft.runs.manifest import MANIFEST, PassRecord, WorkflowManifest, read_manifest, timestamp
from graft.runs.record import dump, validate
from graft.runs.workflow_manifest import KEPT
from graft.shell import command

RESUMED = {"run": FolderKind.RUN, "search": FolderKind.SEARCH}
"""What a pass needs in its folder to go on, by the kind that it leaves; of other kinds, the pass itself looks."""
MOST_SAID = 3
"""Changes that are named before the rest is counted."""


class Results:
    """The results in a workflow's folder, and their record.

    Args:
        folder: The folder.
        names: The passes of the workflow. With several, each has a folder of its own.
        file: The workflow file.
    """

    def __init__(self, folder: Path, names: Sequence[str], file: str | None = None) -> None:
        self.folder, self.names, self.file = folder, names, file
        self.several = len(names) > 1
        self._path = folder / (MANIFEST if self.several else KEPT)
        before = self._read()
        records = {record.name: record for record in (*before.former, *before.passes)}
        self._records = {name: records[name] for name in names if name in records}
        self._former = [record for name, record in records.items() if name not in names]
        self._started = timestamp()
        self._there = folder.exists()

    def _read(self) -> WorkflowManifest:
        if not self._path.is_file():
            return WorkflowManifest()
        if not self.several:
            return validate(WorkflowManifest, read_object(self._path), str(self._path))
        found = read_manifest(self.folder)
        if not isinstance(found, WorkflowManifest):
            what = f"the output folder is that of a {found.kind}, and each pass of this workflow needs a folder in it"
            raise InputError(what, where=str(self.folder), remedy="choose another output_path")
        return found

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process; that of a single pass is held by whoever works in it.

        Raises:
            BusyError: If another process holds it.
        """
        if not self.several:
            yield
            return
        with held(self.folder, what="another graft process runs this workflow"):
            yield

    def output(self, name: str) -> Path:
        """The folder of a pass."""
        return self.folder / name if self.several else self.folder

    def state(self, name: str) -> str:
        """What the next pass depends on: the key of a finished pass and its result, which no key tells of a server."""
        record = self._records[name]
        return hashlib.sha256(f"{record.key} {record.result}".encode()).hexdigest()

    def artifact(self, name: str) -> Path:
        """What a finished pass left for the next one."""
        return self.folder / (self._records[name].artifact or "")

    def why(self, step: Step, inputs: Inputs, forced: bool = False) -> list[str] | None:
        """Why a pass has to run; nothing if its result holds, and an empty list if it has none yet."""
        record = self._records.get(step.name)
        if record is None:
            return []
        changes = list(changed(record, inputs))
        if changes:
            return changes
        if record.status != "finished":
            return [{"failed": "it failed"}.get(record.status, "it was interrupted")]
        if forced:
            return ["--force"]
        if record.result != result_of(self.artifact(step.name), self.output(step.name)):
            there = self.artifact(step.name).exists() and self.output(step.name).exists()
            return ["its result was changed" if there else "its result is no longer there"]
        return None

    def may_resume(self, step: Step, inputs: Inputs) -> bool:
        """Whether the pass was interrupted with equal inputs, and left something to go on from."""
        record, expected = self._records.get(step.name), RESUMED.get(step.cls.leaves)
        if not step.cls.resumes or record is None or record.status == "finished" or not inputs.same_as(record):
            return False
        return expected is None or folder_kind(self.output(step.name)) is expected

    def begin(self, step: Step, inputs: Inputs, resume: bool) -> None:
        """Record that a pass runs; what it left before is removed unless it resumes.

        Raises:
            InputError: If its folder holds files of somebody else.
        """
        output, record = self.output(step.name), self._records.get(step.name)
        if not resume and record is not None:
            self._clear(output, record)
        elif record is None and entries_of(output):
            if not self.several or getattr(step.settings, "overwrite", False):
                return  # the pass says whether it may replace what is there
            what = f"the folder of the pass {step.name} holds files that this workflow did not write"
            raise InputError(what, where=str(output), remedy="move them away, or choose another output_path")
        began: dict[str, Any] = {"started": timestamp(), "output": step.name if self.several else "."}
        self._put(PassRecord(name=step.name, status="running", **_fields(inputs), **began), "running")

    def _clear(self, output: Path, record: PassRecord) -> None:
        killed = record.status == "running"  # then nothing says what the pass had written
        others = [] if killed else sorted(set(entries_of(output)) - set(record.entries))
        if others:
            what = f"the folder of the pass {record.name} has files that it did not write: {', '.join(others[:5])}"
            raise InputError(what, where=str(output), remedy="move them away: the pass has to run again")
        clear(output)

    def finish(self, step: Step, inputs: Inputs, artifact: Path, seconds: float) -> None:
        """Record what a pass has left."""
        after = inputs_of(step.cls, step.settings, inputs.before)
        inputs = inputs.with_commits(after.content)
        before = self._records.get(step.name)
        ended: dict[str, Any] = {
            "started": before.started if before else None,
            "finished": timestamp(),
            "seconds": round(seconds, 2),
            "output": step.name if self.several else ".",
            "artifact": self._relative(artifact),
            "result": result_of(artifact, self.output(step.name)),
            "entries": entries_of(self.output(step.name)),
        }
        last = step.name == self.names[-1]
        record = PassRecord(name=step.name, status="finished", **_fields(inputs), **ended)
        self._put(record, "finished" if last else "running")

    def _relative(self, artifact: Path) -> str:
        """Relative to the folder, which may be moved, for what is in it."""
        place, folder = artifact.resolve(), self.folder.resolve()
        return place.relative_to(folder).as_posix() if place.is_relative_to(folder) else str(place)

    def end(self, name: str, status: str, error: str | None = None) -> None:
        """Record that a pass ended without a result; of a single pass that wrote nothing, no folder stays."""
        record = self._records.get(name)
        if record is not None and record.status == "running":
            entries = entries_of(self.output(name))
            if not (self.several or self._there or entries):
                self._forget(name)
                return
            ended = {"status": status, "error": error, "finished": timestamp(), "entries": entries}
            self._put(record.model_copy(update={k: v for k, v in ended.items() if v is not None}), status, error)

    def _forget(self, name: str) -> None:
        del self._records[name]
        remove(self._path)
        remove(self.folder / LOCK)
        with suppress(OSError):  # somebody put a file there
            self.folder.rmdir()

    def close(self) -> None:
        """Record that all passes are finished, where none had to run."""
        if self.several:
            self._write("finished")

    def _put(self, record: PassRecord, status: str, error: str | None = None) -> None:
        self._records[record.name] = record
        self._write(status, error)

    def _write(self, status: str, error: str | None = None) -> None:
        at = None if status == "running" else timestamp()
        document = {
            "kind": "workflow",
            "schema_version": WorkflowManifest().schema_version,
            "graft": __version__,
            "command": command("graft", *sys.argv[1:]),
            "file": self.file,
            "status": status,
            "error": error,
            "started": self._started,
            "finished": at,
            "passes": [self._records[name].document() for name in self.names if name in self._records],
            "former": [record.document() for record in self._former],
        }
        write_whole(self._path, dump({name: value for name, value in document.items() if value is not None}))


def changed(record: PassRecord, inputs: Inputs) -> Iterator[str]:
    """What differs from the inputs that a pass had before, for people."""
    if inputs.same_as(record):
        return
    found = list(_changes(record, inputs)) or ["its inputs changed"]
    yield from found[:MOST_SAID]
    if len(found) > MOST_SAID:
        yield f"and {len(found) - MOST_SAID} more"


def _changes(record: PassRecord, inputs: Inputs) -> Iterator[str]:
    if record.type != inputs.type:
        yield f"its type changed from {record.type.rpartition(':')[2]} to {inputs.type.rpartition(':')[2]}"
    for name in dict.fromkeys((*record.settings, *inputs.settings)):
        then, now = record.content.get(name), inputs.content.get(name)
        if (then or now) and then != now and then is not None:
            yield f"the content of {name} changed ({_short(inputs.settings.get(name))})"
        elif not (then and now) and (then or now or record.settings.get(name) != inputs.settings.get(name)):
            yield _of_setting(name, record.settings, inputs.settings)
    if record.before != inputs.before:
        yield "the pass before it ran again" if record.before and inputs.before else "the passes before it changed"
    for name, now in inputs.code.items():
        if record.code.get(name) != now:
            yield f"the code of {name} changed"
    for name in dict.fromkeys((*record.versions, *inputs.versions)):
        if record.versions.get(name) != inputs.versions.get(name):
            yield f"{name} {record.versions.get(name, 'none')} → {inputs.versions.get(name, 'none')}"


def _of_setting(name: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    if name not in then:
        return f"{name} is {_short(now[name])} now"
    if name not in now:
        return f"{name} is no longer given ({_short(then[name])} before)"
    return f"{name} changed {_short(then[name])} → {_short(now[name])}"


def _short(value: Any) -> str:
    if isinstance(value, (list, tuple)) and len(value) == 1:
        return _short(value[0])
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _fields(inputs: Inputs) -> dict[str, Any]:
    return {
        "type": inputs.type,
        "settings": dict(inputs.settings),
        "content": dict(inputs.content),
        "before": inputs.before,
        "code": dict(inputs.code),
        "versions": dict(inputs.versions),
        "key": inputs.key,
    }
