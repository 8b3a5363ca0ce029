"""``graft runs clean``: what of stored results can go, and removing it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from graft.commands.content import entries_of
from graft.commands.stored import Stored, files_of, workflows
from graft.errors import GraftError
from graft.files import remove
from graft.runs.folder import LOCK, OWN
from graft.runs.manifest import WorkflowManifest, read_workflow_manifest, update_manifest

CHECKPOINTS = "checkpoints"
UNFINISHED = ("failed", "interrupted")
OF_A_SEARCH = ("search.html", "trials.csv", "trials.jsonl", "rungs.jsonl", "best.yaml", "best", "trials")
"""What a search writes beside the files that a run has, too."""


@dataclass(frozen=True)
class Removal:
    """Something that can go.

    Attributes:
        path: The file or folder.
        why: Why it is not needed any longer.
        size: The bytes that this frees: a file with another name elsewhere frees none.
        owner: The folder whose lock is held meanwhile.
        former: The pass whose result it is, where a workflow records it.
    """

    path: Path
    why: str
    size: int
    owner: Path
    former: str = ""


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
    for path, why, owner, former in _candidates(found, older_than, incomplete):
        reason = _needed(path, owner, references)
        if reason:
            kept.append(f"{path}: {reason}")
        elif not any(path.is_relative_to(one.path) for one in removals):
            removals.append(Removal(path, why, _freed([path]), owner, former))
    return Plan(removals, kept)


def _candidates(
    found: Sequence[Stored], older_than: timedelta | None, incomplete: bool
) -> Iterator[tuple[Path, str, Path, str]]:
    passes = {one.path / record.output for one, manifest in workflows(found) for record in manifest.passes}
    for one, manifest in workflows(found):
        for record in manifest.former:
            place = one.path / record.output
            if record.output not in ("", ".") and place.is_dir() and not one.in_use and _old(one, older_than):
                yield place, f"the workflow no longer has a pass {record.name}", one.path, record.name
    for one in found:
        if one.in_use or one.manifest is None or not _old(one, older_than):
            continue
        if incomplete and one.kind in ("run", "search") and one.status in UNFINISHED and one.path not in passes:
            yield one.path, f"this {one.kind} {_ended(one.status)}", one.path, ""
        if one.kind == "run" and one.status == "finished" and (one.path / CHECKPOINTS).is_dir():
            yield one.path / CHECKPOINTS, "checkpoints of a finished run", one.path, ""


def _ended(status: str) -> str:
    return "failed" if status == "failed" else "was interrupted"


def _old(one: Stored, older_than: timedelta | None) -> bool:
    if older_than is None:
        return True
    return one.date is not None and datetime.now(timezone.utc) - one.date > older_than


def _needed(path: Path, owner: Path, references: Collection[tuple[Path, Path]]) -> str:
    """Why a path has to stay; empty if it can go."""
    if path.is_symlink():
        return "it is a link"
    own = path.resolve()
    for source, place in references:
        if not source.resolve().is_relative_to(own) and place.is_relative_to(own):
            return f"{source} refers to it"
    strange = [] if path.name == CHECKPOINTS else _strangers(path, owner)
    return f"it has files that graft did not write: {', '.join(strange[:3])}" if strange else ""


def _strangers(path: Path, owner: Path) -> list[str]:
    """What graft did not write into the folder, as far as a record says so."""
    with suppress(GraftError):
        manifest = read_workflow_manifest(owner)
        for record in manifest.former:
            if owner / record.output == path and record.status == "finished":
                return sorted(set(entries_of(path)) - set(record.entries))
        return []
    return sorted(set(entries_of(path)) - {*OWN, *OF_A_SEARCH})


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
        for text in _texts(document):
            for folder in folders:
                with suppress(OSError, ValueError):
                    place = folder / Path(text.partition("=")[2] or text).expanduser()
                    if place.exists() and place.resolve() != one.path.resolve():
                        yield one.path, place.resolve()


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
    """Remove what a plan says.

    Returns:
        The bytes that were freed, and why something was left.
    """
    freed, left = 0, []
    for one in plan.removals:
        lock = FileLock(one.owner / LOCK)
        try:
            lock.acquire(timeout=0.5)
            size = _freed([one.path])
            if one.former:
                _forget(one)
            remove(one.path)
            freed += size
            if one.path.exists() and one.path != one.owner:
                left.append(f"{one.path}: not all of it could be removed")
        except Timeout:
            left.append(f"{one.path}: another graft process uses it now")
        except (OSError, GraftError) as error:
            left.append(f"{one.path}: {error}")
        finally:
            lock.release(force=True)
        if one.path == one.owner:  # the lock was in it
            with suppress(OSError, GraftError):
                remove(one.path)
    return freed, left


def _forget(one: Removal) -> None:
    manifest = read_workflow_manifest(one.owner)
    former = [record for record in manifest.former if record.name != one.former]
    update_manifest(one.owner, WorkflowManifest, former=former)
