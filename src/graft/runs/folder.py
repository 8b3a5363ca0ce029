"""The run folder: one manifest, files that are complete or absent, one process at a time."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from graft.documents import lines_of, parse_json
from graft.errors import GraftError, InputError
from graft.files import append_line, cannot_write, remove, remove_unfinished, saying_what_failed, write_whole
from graft.runs.evaluation_document import MetricsRecord
from graft.runs.judgment_record import JUDGE, JUDGE_ANSWERS, JUDGMENTS, RATING
from graft.runs.kind import FolderKind, expect_kind, folder_kind
from graft.runs.links import refuse_links
from graft.runs.manifest import MANIFEST, RunManifest, read_run, update_manifest
from graft.runs.record import dump, validate
from graft.runs.workflow_manifest import KEPT

LOCK = ".lock"
PATIENCE = 0.5
"""Seconds to wait for the lock: `graft show` holds it for a moment to see whether the run is running."""
PARTS = ("data", "model", "adapter", "checkpoints", "logs", "benchmarks")
FILES = (
    MANIFEST,
    "config.yaml",
    "overfitting.yaml",
    "divergence.yaml",
    "metrics.jsonl",
    "events.jsonl",
    "evaluation.json",
    "predictions.jsonl",
    "answers.jsonl",
    RATING,
    JUDGMENTS,
    JUDGE,
    JUDGE_ANSWERS,
    "report.html",
    "README.md",
)
OWN = (*PARTS, *FILES, LOCK)
WITH_ROWS = {"data/train.jsonl", "data/eval.jsonl", "predictions.jsonl", RATING, JUDGMENTS, JUDGE}
"""Files that show the user's rows, as report.html does."""


def check_folder(path: Path) -> None:
    """Check that ``path`` is a folder or can become one.

    Raises:
        InputError: If it, or one of its parents, is a file.
    """
    above = next((folder for folder in (path, *path.parents) if folder.exists()), path)
    if above.exists() and not above.is_dir():
        what = "the output folder is a file" if above == path else f"{above} is a file, not a folder"
        raise InputError(what, where=str(path), remedy="choose another --output_path")


def check_evaluation_folder(path: Path) -> None:
    """Check that an evaluation may be written to ``path``.

    Raises:
        InputError: If it is a file, or a file of an evaluation in it is a link.
    """
    check_folder(path)
    refuse_links(path, FILES)


class BusyError(InputError):
    """Another process works in the folder."""


@contextmanager
def held(
    path: Path, seconds: float = PATIENCE, what: str = "another graft process is using this folder"
) -> Iterator[None]:
    """Hold a folder for this process.

    Args:
        path: The folder, which is made if it is not there.
        seconds: How long to wait for another process.
        what: What the error says if another process holds it.

    Raises:
        BusyError: If another process holds it.
        LinkError: If its lock is a link: opening it would empty the file that it leads to.
        GraftError: If the lock cannot be written.
    """
    refuse_links(path, (LOCK,))
    lock = FileLock(path / LOCK)
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=seconds)
    except Timeout:  # which is an OSError
        remedy = "wait for that process or stop it, or choose another --output_path"
        raise BusyError(what, where=str(path), remedy=remedy) from None
    except OSError as error:
        raise cannot_write(path / LOCK, error) from error
    try:
        yield
    finally:
        lock.release()


class RunFolder:
    """A run folder. ``create`` makes one for a new run, ``open`` opens an existing one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path, overwrite: bool = False, resume: bool = False) -> RunFolder:
        """Make the folder of a run.

        Args:
            path: The folder.
            overwrite: Remove the run that is in it, and no other files; of a link among its parts, the link.
            resume: Keep the run that is in it.

        Raises:
            InputError: If it holds another run, or files that do not belong to a run.
            GraftError: If it cannot be made.
        """
        run = cls(path)
        run.check_free(overwrite, resume)
        if overwrite and not resume and (path / MANIFEST).is_file():
            with held(path):
                run._clear()
        with saying_what_failed(path):
            path.mkdir(parents=True, exist_ok=True)
        return run

    def check_free(self, overwrite: bool = False, resume: bool = False) -> None:
        """Check that a run may be written here; nothing is written.

        Raises:
            InputError: If it holds another run or files that do not belong to a run, a part of a run to resume is a
                link, or another process uses it.
        """
        path, place = self.path, str(self.path)
        check_folder(path)
        there = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
        if resume:
            refuse_links(path, OWN)
        if LOCK in there:
            with held(path):
                pass
        kind = folder_kind(path)
        if kind is FolderKind.RUN and not (overwrite or resume):
            raise InputError(
                f"this folder already has a run ({self.status})",
                where=place,
                remedy="pass --overwrite to replace it or --resume to continue it, or choose another --output_path",
            )
        if kind in (FolderKind.BUNDLE, FolderKind.SEARCH, FolderKind.DATA, FolderKind.WORKFLOW):
            raise InputError(f"the output folder is {kind.value}", where=place, remedy="choose another --output_path")
        others = sorted(there - {LOCK, KEPT})
        if others and kind is not FolderKind.RUN and not (resume and "config.yaml" in there):
            raise InputError(
                f"the output folder has files that do not belong to a run: {', '.join(others[:5])}",
                where=place,
                remedy="choose another --output_path, or empty the folder",
            )

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """The run in ``path``.

        Raises:
            InputError: If ``path`` is another kind of folder.
        """
        expect_kind(path, (FolderKind.RUN,))
        return cls(path)

    def _clear(self) -> None:
        for name in (*PARTS, *FILES):
            remove(self.path / name)

    @property
    def manifest(self) -> RunManifest:
        """The manifest as it is now.

        Raises:
            InputError: If there is none, it is damaged, or it is not a run's.
        """
        return read_run(self.path)

    @property
    def status(self) -> str:
        """The status in the manifest; ``interrupted`` where that is ``running`` and no process holds the folder.

        Raises:
            InputError: As ``manifest``.
        """
        return self.status_of(self.manifest)

    def status_of(self, manifest: RunManifest) -> str:
        """The status as ``status``, by a manifest of this folder that has been read."""
        return "interrupted" if manifest.status == "running" and not self.in_use else manifest.status

    def update_manifest(self, **values: Any) -> None:
        """Write fields of the manifest over those that are there."""
        update_manifest(self.path, RunManifest, **values)

    def write_json(self, name: str, document: Any) -> None:
        """Write a record or a plain value as JSON."""
        self.write_text(name, dump(document))

    def write_text(self, name: str, text: str) -> None:
        """Write a file, complete or not at all; one with rows is for this user alone."""
        write_whole(self.path / name, text, private=name in WITH_ROWS)

    @property
    def in_use(self) -> bool:
        """Whether a process holds the folder; True where this user may not ask, and the manifest is all there is."""
        if not (self.path / LOCK).is_file():
            return False
        try:
            with held(self.path, 0):
                return False
        except BusyError:
            return True
        except GraftError as error:
            return getattr(error.__cause__, "errno", None) != errno.EROFS  # no process works on read-only media

    def append_metrics(self, line: dict[str, Any]) -> None:
        """Append a line to metrics.jsonl."""
        append_line(self.path / "metrics.jsonl", json.dumps(line))

    def truncate_metrics(self, step: int) -> None:
        """Remove what was logged after ``step``, which a resumed run logs again, and lines that are damaged.

        Raises:
            InputError: If the file is no text.
        """
        path = self.path / "metrics.jsonl"
        if not path.is_file():
            return
        kept = []
        for number, line in lines_of(path):
            where = f"{path}:{number}"
            with suppress(InputError):
                if validate(MetricsRecord, parse_json(line, where), where).step <= step:
                    kept.append(line.rstrip("\r\n") + "\n")
        self.write_text("metrics.jsonl", "".join(kept))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for this process, and remove the unfinished files that a killed one left in it.

        Raises:
            BusyError: If another process holds it.
            ReadOnlyError: If nothing can be written there.
            LinkError: If one of its own parts is a link.
        """
        with held(self.path):
            refuse_links(self.path, OWN)
            remove_unfinished(self.path)
            yield
