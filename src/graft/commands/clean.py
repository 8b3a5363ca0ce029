"""``graft runs clean``: what of stored results can go, and removing it."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from itertools import takewhile
from pathlib import Path
from typing import Any

from graft.commands.content import result_of
from graft.commands.stored import Stored, files_of, size_of, workflows
from graft.errors import GraftError
from graft.files import TEMPORARY, expanded, remove
from graft.runs.folder import LOCK, OWN, held
from graft.runs.links import foreign
from graft.runs.manifest import (
    MANIFEST,
    Manifest,
    PassRecord,
    WorkflowManifest,
    read_manifest,
    read_workflow_manifest,
    update_manifest,
)
from graft.runs.workflow_manifest import KEPT

CHECKPOINTS = "checkpoints"
_CHECKPOINT = re.compile(r"checkpoint-\d+")
UNFINISHED = ("failed", "interrupted")
OF_A_SEARCH = ("search.html", "trials.csv", "trials.jsonl", "rungs.jsonl", "best.yaml", "best", "trials")
"""What a search writes beside the files that a run has, too."""


@dataclass(frozen=True)
class Removal:
    """Something that can go.

    Attributes:
        path: The file or folder.
        why: Why it is not needed any longer.
        owner: The folder whose manifest says so.
        manifest: That manifest.
        former: The record of the pass whose result it is, where a workflow records it.
        size: The bytes that this frees: a file with another name elsewhere frees none.
    """

    path: Path
    why: str
    owner: Path
    manifest: Manifest
    former: PassRecord | None = None
    size: int = 0


@dataclass(frozen=True)
class Plan:
    """What can go, and what cannot and why."""

    removals: Sequence[Removal]
    kept: Sequence[str]


def plan_clean(found: Sequence[Stored], older_than: timedelta | None = None, incomplete: bool = False) -> Plan:
    """Decide what can go: nothing that is in use, that graft did not write, or that another result refers to.

    Args:
        found: What is stored.
        older_than: Only what was finished longer ago than this.
        incomplete: Also whole runs and searches that failed or were interrupted.
    """
    references = list(_references(found))
    removals: list[Removal] = []
    kept: list[str] = []
    for one in _candidates(found, older_than, incomplete):
        reason = _needed(one, references)
        if reason:
            kept.append(f"{one.path}: {reason}")
        elif not any(one.path.is_relative_to(other.path) for other in removals):
            removals.append(replace(one, size=_freed([one.path])))
    return Plan(removals, kept)


def _candidates(found: Sequence[Stored], older_than: timedelta | None, incomplete: bool) -> Iterator[Removal]:
    passes = {one.path / record.output for one, manifest in workflows(found) for record in manifest.passes}
    for one, manifest in workflows(found):
        for record in manifest.former:
            place = one.path / record.output
            own = record.output == record.name == place.name and place not in passes
            if own and place.is_dir() and not one.in_use and _old(one, older_than):
                yield Removal(place, f"the workflow no longer has a pass {record.name}", one.path, manifest, record)
    for one in found:
        if one.in_use or one.manifest is None or not one.manifest.graft or not _old(one, older_than):
            continue
        if incomplete and one.kind in ("run", "search") and one.status in UNFINISHED and one.path not in passes:
            yield Removal(one.path, f"this {one.kind} {_ended(one.status)}", one.path, one.manifest)
        if one.kind == "run" and one.status == "finished" and (one.path / CHECKPOINTS).is_dir():
            yield Removal(one.path / CHECKPOINTS, "checkpoints of a finished run", one.path, one.manifest)


def _ended(status: str) -> str:
    return "failed" if status == "failed" else "was interrupted"


def _old(one: Stored, older_than: timedelta | None) -> bool:
    if older_than is None:
        return True
    return one.date is not None and datetime.now(timezone.utc) - one.date > older_than


def _needed(one: Removal, references: Collection[tuple[Path, Path]]) -> str:
    """Why something has to stay; empty if it can go."""
    if foreign(one.path):
        return f"it is {foreign(one.path)}"
    own = one.path.resolve()
    for source, place in references:
        if not source.resolve().is_relative_to(own) and place.is_relative_to(own):
            return f"{source} refers to it"
    return _foreign_files(one.path, one.former)


def _foreign_files(path: Path, former: PassRecord | None) -> str:
    """Why a folder may hold what graft did not write, as far as a record says so; empty if it does not."""
    names = {entry.name for entry in path.iterdir() if not entry.name.endswith(TEMPORARY)}
    if path.name == CHECKPOINTS and former is None:
        strange = {name for name in names if not _CHECKPOINT.fullmatch(name)}
    else:
        finished = former is not None and former.status == "finished"
        strange = names - {LOCK, KEPT} - (set(former.entries) if finished and former else {*OWN, *OF_A_SEARCH})
    if strange:
        return f"it has files that graft did not write: {', '.join(sorted(strange)[:3])}"
    if former is not None and former.artifact == former.output and former.result != result_of(path, path):
        return "it was changed after the pass"
    return ""


def _references(found: Iterable[Stored]) -> Iterator[tuple[Path, Path]]:
    """What each result refers to: the result, and the place."""
    for one in found:
        if one.manifest is None:
            continue
        document = one.manifest.document()
        for name in ("former", "command"):
            document.pop(name, None)
        for record in document.get("passes", ()):
            record.pop("entries", None)  # names in its own folder
        folders = [Path(), one.path]
        folders += [one.path / record.output for record in getattr(one.manifest, "passes", ())]
        for named in (path for text in _texts(document) for path in _named(text)):
            for folder in folders:
                with suppress(OSError, ValueError):
                    place = (folder / named).resolve()
                    if place.exists() and place != one.path.resolve():
                        yield one.path, place


def _named(text: str) -> Iterator[Path]:
    """The paths that a text may be: itself, that of ``NAME=PATH``; and of a pattern, the folder above its signs."""
    for path in map(expanded, dict.fromkeys((text, text.partition("=")[2]))):
        parts = list(takewhile(lambda part: not set(part) & set("*?["), path.parts))
        if parts:
            yield Path(*parts)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if 0 < len(value) < 1000 and "\n" not in value:
            yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _texts(each)


def _freed(paths: Sequence[Path]) -> int:
    """The bytes of files whose every name is in ``paths``."""
    names: dict[tuple[int, int], list[os.stat_result]] = {}
    for file in files_of(paths):
        with suppress(OSError):
            status = file.lstat()
            names.setdefault((status.st_dev, status.st_ino), []).append(status)
    whole = (each[0] for each in names.values() if len(each) >= each[0].st_nlink)
    return sum(getattr(status, "st_blocks", 0) * 512 or status.st_size for status in whole)


def clean(plan: Plan) -> tuple[int, list[str]]:
    """Remove what a plan says, and what changed since it was made only if it still may go.

    Returns:
        The bytes that were freed, and why something was left.
    """
    freed, left = 0, []
    for one in plan.removals:
        size = _freed([one.path])
        try:
            with _holding(one):
                reason = _changed(one)
                if reason:
                    left.append(f"{one.path}: {reason}")
                    continue
                gone = _remove(one.path)
                if gone and one.former is not None:
                    _forget(one.owner, one.former)
        except (OSError, GraftError) as error:
            left.append(f"{one.path}: {'; '.join(each.what for each in getattr(error, 'problems', ())) or error}")
            continue
        freed += size - (0 if gone else size_of([one.path]))
        if not gone and not _remove(one.path, only_lock=True):
            left.append(f"{one.path}: not all of it could be removed")
    return freed, left


@contextmanager
def _holding(one: Removal) -> Iterator[None]:
    """Hold the folder whose record says what goes, and what goes, if it is a folder that processes hold."""
    with ExitStack() as stack:
        for folder in dict.fromkeys((one.owner, one.path)):
            if (folder / LOCK).exists():
                stack.enter_context(held(folder))
        yield


def _changed(one: Removal) -> str:
    """What has changed since the plan was made; empty if nothing has."""
    if not one.path.is_dir():
        return "it is no longer there"
    now = read_manifest(one.owner)
    if isinstance(now, WorkflowManifest):
        same = one.former in now.former and one.former.output not in {record.output for record in now.passes}
    else:
        same = now == one.manifest
    return _foreign_files(one.path, one.former) if same else "it changed meanwhile"


def _remove(path: Path, only_lock: bool = False) -> bool:
    """Remove a folder, its manifest at last; of a folder that this process holds, Windows keeps the lock.

    Returns:
        Whether it is gone.
    """
    if not only_lock:
        for entry in sorted(path.iterdir(), key=lambda entry: entry.name == MANIFEST):
            if entry.name != LOCK:
                remove(entry)
    with suppress(OSError):
        (path / LOCK).unlink(missing_ok=True)
        path.rmdir()
    return not path.exists()


def _forget(workflow: Path, former: PassRecord) -> None:
    manifest = read_workflow_manifest(workflow)
    update_manifest(workflow, WorkflowManifest, former=[record for record in manifest.former if record != former])
