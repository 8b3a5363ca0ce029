"""What graft has written below a folder: runs, bundles, searches, prepared data and workflows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from graft.errors import GraftError, InputError
from graft.runs.folder import PARTS, RunFolder
from graft.runs.kind import FolderKind, folder_kind
from graft.runs.links import foreign
from graft.runs.manifest import (
    BundleManifest,
    DataManifest,
    Manifest,
    RunManifest,
    SearchManifest,
    WorkflowManifest,
    read_manifest,
    read_trials,
)

KINDS = {
    FolderKind.RUN: "run",
    FolderKind.BUNDLE: "bundle",
    FolderKind.SEARCH: "search",
    FolderKind.DATA: "data",
    FolderKind.WORKFLOW: "workflow",
}


@dataclass(frozen=True)
class Stored:
    """A folder that graft has written.

    Attributes:
        path: The folder.
        kind: ``run``, ``bundle``, ``search``, ``data`` or ``workflow``.
        status: As recorded; ``interrupted`` where that is ``running`` and no process holds the folder.
        in_use: Whether a process holds it.
        size: Its bytes on disk; a file with several names counts once.
        date: When it was finished, else when it was begun; None if that is not recorded.
        score: What it is worth in a few words; may be empty.
        made_by: The command that wrote it, or the pass of a workflow.
        manifest: Its manifest; None if that is damaged.
    """

    path: Path
    kind: str
    status: str
    in_use: bool
    size: int
    date: datetime | None
    score: str
    made_by: str
    manifest: Manifest | None

    def document(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "path": str(self.path),
            "kind": self.kind,
            "status": self.status,
            "bytes": self.size,
            "date": self.date.isoformat() if self.date else None,
            "score": self.score or None,
            "made_by": self.made_by or None,
        }


def stored_below(folder: Path) -> list[Stored]:
    """Return what graft has written in ``folder`` and below, in the order of paths; links are not followed.

    Raises:
        InputError: If ``folder`` is no folder.
    """
    if not folder.is_dir():
        raise InputError("no such folder", where=str(folder))
    found = list(_walk(folder))
    passes = {
        one.path / record.output: f"pass {record.name} of {one.path.name}"
        for one, manifest in workflows(found)
        for record in (*manifest.former, *manifest.passes)
    }
    return [replace(one, made_by=passes.get(one.path, one.made_by)) for one in found]


def _walk(folder: Path) -> Iterator[Stored]:
    for place, folders, _ in os.walk(folder):
        path = Path(place)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not foreign(path / name))
        kind = folder_kind(path)
        if kind not in KINDS:
            continue
        yield _stored(path, KINDS[kind])
        if kind is FolderKind.RUN:
            folders[:] = [name for name in folders if name not in PARTS]
        elif kind is not FolderKind.WORKFLOW:
            folders.clear()


def _stored(path: Path, kind: str) -> Stored:
    manifest: Manifest | None = None
    with suppress(GraftError):
        manifest = read_manifest(path)
    in_use = RunFolder(path).in_use
    size = size_of([path])
    if manifest is None:
        return Stored(path, kind, "damaged", in_use, size, None, "", "", None)
    status = "interrupted" if manifest.status == "running" and not in_use else manifest.status
    date = _date(manifest.finished) or _date(getattr(manifest, "started", None))
    score = ""
    with suppress(GraftError, LookupError, TypeError, ValueError, StopIteration):
        score = _score(path, manifest)
    return Stored(path, kind, status, in_use, size, date, score, manifest.command, manifest)


def size_of(paths: Iterable[Path]) -> int:
    """The bytes on disk of files and folders; a file with several names counts once."""
    seen: dict[tuple[int, int], int] = {}
    for file in files_of(paths):
        with suppress(OSError):
            status = file.lstat()
            seen[status.st_dev, status.st_ino] = getattr(status, "st_blocks", 0) * 512 or status.st_size
    return sum(seen.values())


def files_of(paths: Iterable[Path]) -> Iterator[Path]:
    """The files in ``paths`` and below; links are not followed."""
    for path in paths:
        if path.is_symlink() or not path.is_dir():
            yield path
            continue
        for place, _, names in os.walk(path):
            yield from (Path(place, name) for name in names)


def _date(text: str | None) -> datetime | None:
    with suppress(ValueError):
        return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None
    return None


def _score(path: Path, manifest: Manifest) -> str:
    if isinstance(manifest, RunManifest):
        return _score_of_run(manifest)
    if isinstance(manifest, BundleManifest):
        speed = manifest.speed.get("tokens_per_second")
        return f"{speed:,.0f} tokens/s" if speed else ""
    if isinstance(manifest, SearchManifest):
        trials = read_trials(path)
        best = next((trial.value for trial in trials if trial.number == manifest.winner), None)
        return f"{len(trials)} trials" + (f", best {manifest.metric} {best:.4g}" if best is not None else "")
    if isinstance(manifest, DataManifest):
        return ", ".join(f"{rows:,} {side}" for side, rows in manifest.rows.items()) + " rows"
    done = sum(record.status == "finished" for record in manifest.passes)
    return f"{done} of {len(manifest.passes)} passes"


def _score_of_run(manifest: RunManifest) -> str:
    found = manifest.scores.document() if manifest.scores is not None else {}
    before, after = found.get("base"), found.get("tuned")
    if isinstance(after, (int, float)):
        start = f"{before:.4g} → " if isinstance(before, (int, float)) else ""
        return f"{found['metric']} {start}{after:.4g}"
    loss = manifest.training.best_eval_loss
    return f"held-out loss {loss:.4g}" if loss is not None else ""


def workflows(found: Iterable[Stored]) -> Iterator[tuple[Stored, WorkflowManifest]]:
    """The workflows among what was found, with their manifests."""
    for one in found:
        if isinstance(one.manifest, WorkflowManifest):
            yield one, one.manifest
